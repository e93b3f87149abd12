#include "common/pg/migrate.h"

#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"

namespace im::pg {
namespace {

// Any number; the same for all versions.
constexpr char kLock[] = "SELECT pg_advisory_lock(7310561)";

constexpr char kTable[] =
    "CREATE TABLE IF NOT EXISTS public.im_migrations ("
    " service text NOT NULL, number int NOT NULL, name text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (service, number))";

}  // namespace

absl::StatusOr<std::vector<std::string>> Migrate(const std::string& url,
                                                 const std::vector<Migration>& migrations) {
  std::vector<std::string> applied;
  std::string current = "connecting";
  try {
    pqxx::connection connection(url);
    {
      pqxx::nontransaction outside(connection);
      outside.exec("SET client_min_messages = 'warning'");
      outside.exec(kLock);
      outside.exec(kTable);
    }
    for (const Migration& migration : migrations) {
      current = absl::StrCat(migration.service, "/", migration.name);
      pqxx::work transaction(connection);
      const pqxx::result known = transaction.exec_params(
          "SELECT 1 FROM public.im_migrations WHERE service = $1 AND number = $2",
          migration.service, migration.number);
      if (!known.empty()) continue;
      transaction.exec(migration.sql);
      transaction.exec_params(
          "INSERT INTO public.im_migrations (service, number, name) VALUES ($1, $2, $3)",
          migration.service, migration.number, migration.name);
      transaction.commit();
      applied.push_back(current);
    }
  } catch (const std::exception& e) {
    return absl::UnavailableError(absl::StrCat(current, ": ", e.what()));
  }
  return applied;
}

}  // namespace im::pg
