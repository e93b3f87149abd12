#include "common/pg/pool.h"

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/secrets.h"

namespace im::pg {
namespace {

// Statements end by themselves rather than hold a lock for ever; writers with other needs set their
// own.
constexpr char kSessionSettings[] =
    "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '30s'; "
    "SET client_min_messages = 'warning'";

bool HasClass(const std::string& sqlstate, std::string_view prefix) {
  return std::string_view(sqlstate).substr(0, prefix.size()) == prefix;
}

}  // namespace

Session::Session(const std::string& url) : connection_(url) {
  pqxx::nontransaction transaction(connection_);
  transaction.exec(kSessionSettings);
}

const std::string& Session::Prepare(const char* sql) {
  auto [entry, added] = prepared_.try_emplace(sql);
  if (added) {
    entry->second = absl::StrCat("s", prepared_.size());
    try {
      connection_.prepare(entry->second, sql);
    } catch (...) {
      prepared_.erase(entry);
      throw;
    }
  }
  return entry->second;
}

bool BreaksConnection(const std::exception& exception) {
  if (dynamic_cast<const pqxx::broken_connection*>(&exception) != nullptr) return true;
  if (dynamic_cast<const pqxx::in_doubt_error*>(&exception) != nullptr) return true;
  // Without its SQLSTATE in libpqxx 6, but the server's word: a right that is missing.
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&exception) != nullptr) return false;
  if (const auto* error = dynamic_cast<const pqxx::sql_error*>(&exception)) {
    // 08: connection; 57P01..03: shutdown. An empty SQLSTATE is libpq's own word: the server is
    // gone.
    const std::string state = error->sqlstate();
    return state.empty() || HasClass(state, "08") || HasClass(state, "57P");
  }
  return false;
}

absl::Status StatusFromException(const std::exception& exception, bool writing) {
  if (BreaksConnection(exception)) {
    return Error(writing ? Reason::OUTCOME_UNKNOWN : Reason::DATABASE_UNAVAILABLE);
  }
  // Deadlocks and the like; in libpqxx 6 they are no sql_error.
  if (dynamic_cast<const pqxx::transaction_rollback*>(&exception) != nullptr) {
    Log(LogLevel::kWarning, "database_rolled_back");
    return Error(Reason::DATABASE_UNAVAILABLE);
  }
  if (const auto* error = dynamic_cast<const pqxx::sql_error*>(&exception)) {
    const std::string state = error->sqlstate();
    if (state == "55P03") return Error(Reason::CONVERSATION_BUSY);
    // 40: serialisation, deadlock; 53: no space, memory, connections; 57014: timeout; 25006:
    // standby; 58: disk.
    if (HasClass(state, "40") || HasClass(state, "53") || state == "57014" || state == "25006" ||
        HasClass(state, "58")) {
      Log(LogLevel::kWarning, "database_refused", {{"sqlstate", state}});
      return Error(Reason::DATABASE_UNAVAILABLE);
    }
    const std::string id = RandomHex(6);
    // The message of PostgreSQL may quote values, so only the code and the statement are logged.
    Log(LogLevel::kError, "database_error",
        {{"id", id}, {"sqlstate", state}, {"statement", error->query()}});
    return Error(Reason::INTERNAL, absl::StrCat("internal error ", id));
  }
  const std::string id = RandomHex(6);
  Log(LogLevel::kError, "database_client_error",
      {{"id", id}, {"what", WithoutPasswords(exception.what())}});
  return Error(Reason::INTERNAL, absl::StrCat("internal error ", id));
}

Pool::Pool(PoolOptions options) : options_(std::move(options)) {}
Pool::~Pool() = default;

absl::Status Pool::Acquire(std::unique_ptr<Session>* session) {
  {
    MutexLock lock(&mu_);
    while (leased_ >= options_.connections) freed_.Wait(&mu_);
    ++leased_;
    if (!idle_.empty()) {
      *session = std::move(idle_.back());
      idle_.pop_back();
      return absl::OkStatus();
    }
  }
  try {
    auto fresh = std::make_unique<Session>(options_.url);
    if (options_.on_connect) options_.on_connect(*fresh);
    *session = std::move(fresh);
    return absl::OkStatus();
  } catch (const std::exception& e) {
    Discard(nullptr, true);
    Log(LogLevel::kWarning, "database_connect_failed", {{"what", WithoutPasswords(e.what())}});
    return Error(Reason::DATABASE_UNAVAILABLE);
  }
}

void Pool::Release(std::unique_ptr<Session> session) {
  MutexLock lock(&mu_);
  idle_.push_back(std::move(session));
  --leased_;
  freed_.NotifyOne();
}

void Pool::Discard(std::unique_ptr<Session> session, bool broken) {
  std::vector<std::unique_ptr<Session>> dead;
  MutexLock lock(&mu_);
  if (broken) {
    dead.swap(idle_);
  } else if (session != nullptr) {
    idle_.push_back(std::move(session));
  }
  --leased_;
  freed_.NotifyOne();
}

bool Pool::Ping() {
  return Read([](Session& session) { session.Exec("SELECT 1"); }).ok();
}

std::string TextArray(const std::vector<std::string>& texts) {
  std::string array = "{";
  for (const std::string& text : texts) {
    if (array.size() > 1) array += ',';
    array += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return array += '}';
}

}  // namespace im::pg
