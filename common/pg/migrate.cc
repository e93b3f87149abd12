#include "common/pg/migrate.h"

#include <algorithm>
#include <functional>
#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/secrets.h"

namespace im::pg {
namespace {

constexpr char kQuiet[] = "SET client_min_messages = 'warning'";
// Any number; the same for all versions.
constexpr char kLock[] = "SELECT pg_advisory_lock(7310561)";

constexpr char kTable[] =
    "CREATE TABLE IF NOT EXISTS public.im_migrations ("
    " service text NOT NULL, number int NOT NULL, name text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (service, number))";
constexpr char kIsKnown[] = "SELECT 1 FROM public.im_migrations WHERE service = $1 AND number = $2";
constexpr char kNote[] =
    "INSERT INTO public.im_migrations (service, number, name) VALUES ($1, $2, $3)";
constexpr char kHasTable[] = "SELECT to_regclass('public.im_migrations') IS NOT NULL";
constexpr char kApplied[] =
    "SELECT service, number, name FROM public.im_migrations ORDER BY service, number";

// Functions run with the rights of who calls them (a test holds them to it), so that one gives
// nobody more than the tables' grants do: a service's role may run all of its schema.
constexpr char kOnlyOwn[] = R"(
DO $$ DECLARE
  one text;
BEGIN
  FOREACH one IN ARRAY ARRAY['auth', 'chat', 'presence'] LOOP
    EXECUTE format('
      REVOKE ALL ON SCHEMA %1$I FROM PUBLIC, im_auth, im_chat, im_presence;
      REVOKE ALL ON ALL TABLES IN SCHEMA %1$I FROM PUBLIC, im_auth, im_chat, im_presence;
      REVOKE ALL ON ALL SEQUENCES IN SCHEMA %1$I FROM PUBLIC, im_auth, im_chat, im_presence;
      REVOKE ALL ON ALL ROUTINES IN SCHEMA %1$I FROM PUBLIC, im_auth, im_chat, im_presence;
      GRANT USAGE ON SCHEMA %1$I TO %2$I;
      GRANT EXECUTE ON ALL ROUTINES IN SCHEMA %1$I TO %2$I', one, 'im_' || one);
  END LOOP;
END $$)";

constexpr char kLogOut[] = "SELECT set_config('im.log_out', $1, true)";

absl::Status Failed(const std::string& what, const std::exception& e) {
  return absl::UnavailableError(absl::StrCat(what, ": ", WithoutPasswords(e.what())));
}

// One transaction, under the lock of migrations.
absl::Status InOneTransaction(const std::string& url, const std::string& what,
                              const std::function<void(pqxx::work&)>& work) {
  try {
    pqxx::connection connection(url);
    {
      pqxx::nontransaction outside(connection);
      outside.exec(kQuiet);
      outside.exec(kLock);
    }
    pqxx::work transaction(connection);
    work(transaction);
    transaction.commit();
    return absl::OkStatus();
  } catch (const std::exception& e) {
    return Failed(what, e);
  }
}

}  // namespace

absl::StatusOr<std::vector<std::string>> Migrate(const std::string& url,
                                                 const std::vector<Migration>& migrations) {
  std::vector<std::string> applied;
  std::string current = "connecting";
  try {
    pqxx::connection connection(url);
    {
      pqxx::nontransaction outside(connection);
      outside.exec(kQuiet);
      outside.exec(kLock);
      outside.exec(kTable);
    }
    for (const Migration& migration : migrations) {
      current = absl::StrCat(migration.service, "/", migration.name);
      pqxx::work transaction(connection);
      if (!transaction.exec_params(kIsKnown, migration.service, migration.number).empty()) continue;
      transaction.exec(migration.sql);
      transaction.exec_params(kNote, migration.service, migration.number, migration.name);
      transaction.commit();
      applied.push_back(current);
    }
  } catch (const std::exception& e) {
    return Failed(current, e);
  }
  return applied;
}

absl::Status Grant(const std::string& url) {
  return InOneTransaction(url, "grants (roles come from deploy/postgresql/roles.sql)",
                          [](pqxx::work& transaction) {
                            transaction.exec(kOnlyOwn);
                            for (const ServiceSql& grants : AllGrants()) {
                              transaction.exec(grants.sql);
                            }
                          });
}

absl::Status CheckKnown(const std::string& url, const std::vector<Migration>& migrations) {
  std::vector<std::string> unknown;
  bool any = false;
  const absl::Status read = InOneTransaction(url, "versions", [&](pqxx::work& transaction) {
    if (!transaction.exec(kHasTable).at(0).at(0).as<bool>()) return;
    for (const auto& row : transaction.exec(kApplied)) {
      any = true;
      const bool known =
          std::any_of(migrations.begin(), migrations.end(), [&row](const Migration& one) {
            return one.service == row[0].as<std::string>() && one.number == row[1].as<int>() &&
                   one.name == row[2].as<std::string>();
          });
      if (!known) {
        unknown.push_back(absl::StrCat(row[0].as<std::string>(), "/", row[2].as<std::string>()));
      }
    }
  });
  if (!read.ok()) return read;
  if (!any) return absl::FailedPreconditionError("there is no data of IM in it");
  if (unknown.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the data is of a newer version, with ", absl::StrJoin(unknown, ", ")));
}

absl::Status MarkRestored(const std::string& url, bool log_out) {
  return InOneTransaction(url, "restored", [log_out](pqxx::work& transaction) {
    transaction.exec_params(kLogOut, log_out ? "on" : "off");
    for (const ServiceSql& restored : AllRestored()) transaction.exec(restored.sql);
  });
}

}  // namespace im::pg
