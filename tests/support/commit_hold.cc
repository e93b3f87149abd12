#include "tests/support/commit_hold.h"

#include <chrono>
#include <stdexcept>
#include <thread>

namespace im::testing {
namespace {

constexpr std::chrono::seconds kPatience{20};

// Looks again every few milliseconds until the query says so.
template <typename Predicate>
void Await(const TestDatabase& database, const std::string& query, const Predicate& predicate) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  pqxx::connection connection(database.url());
  int last = 0;
  while (std::chrono::steady_clock::now() < until) {
    pqxx::nontransaction transaction(connection);
    last = transaction.exec(query).at(0).at(0).as<int>();
    if (predicate(last)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  throw std::runtime_error("waited in vain, last seen " + std::to_string(last) + ": " + query);
}

// Shared by those who stand still, so that they do not wait for each other.
constexpr char kHeld[] =
    "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
    "WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objid = 4711 "
    "AND NOT l.granted";

}  // namespace

CommitHold::CommitHold(TestDatabase* database, const std::string& table, const std::string& when)
    : database_(database), holder_(std::make_unique<pqxx::connection>(database->url())) {
  // Whatever patience the connection has with locks, it waits for this one.
  database_->Exec(
      "CREATE FUNCTION public.hold_commit() RETURNS trigger LANGUAGE plpgsql "
      "SET lock_timeout = 0 SET statement_timeout = 0 AS $$ BEGIN "
      "PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$; "
      "CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON " +
      table + " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (" + when +
      ") EXECUTE FUNCTION public.hold_commit()");
}

CommitHold::~CommitHold() {
  // The connection's end releases the lock.
  holder_.reset();
}

void CommitHold::Hold() {
  if (held_) return;
  pqxx::nontransaction(*holder_).exec("SELECT pg_advisory_lock(4711)");
  held_ = true;
}

void CommitHold::Release() {
  if (!held_) return;
  pqxx::nontransaction(*holder_).exec("SELECT pg_advisory_unlock(4711)");
  held_ = false;
}

void CommitHold::AwaitHeld(int count) {
  Await(*database_, kHeld, [count](int held) { return held >= count; });
}

void CommitHold::AwaitNoneHeld() {
  Await(*database_, kHeld, [](int held) { return held == 0; });
}

void AwaitRowWaiters(TestDatabase* database, int count) {
  Await(*database,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock' AND wait_event IN ('transactionid', 'tuple')",
        [count](int waiting) { return waiting >= count; });
}

}  // namespace im::testing
