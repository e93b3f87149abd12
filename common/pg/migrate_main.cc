// im-migrate: brings the database to the schema of this version, and its roles to their rights.
#include <iostream>
#include <string>

#include "common/base/config.h"
#include "common/pg/migrate.h"

namespace {

int Fail(const absl::Status& status) {
  std::cerr << "im-migrate: " << status.message() << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  im::Config config("im-migrate",
                    "Brings the database to the schema of this version, and gives each service's "
                    "role what it needs.");
  std::string url;
  bool restored = false, log_out = false;
  config
      .Add("database.url", &url, "PostgreSQL connection URL of im_owner, the owner of the schemas.")
      ->required();
  auto* after_restore = config.app().add_flag(
      "--restored", restored,
      "The data came out of a backup: refuse a newer version's, and tell clients.");
  config.app()
      .add_flag("--log-out", log_out, "With --restored: no device stays logged in.")
      ->needs(after_restore);
  if (auto exit_code = config.Parse(argc, argv)) return *exit_code;

  if (restored) {
    const absl::Status known = im::pg::CheckKnown(url, im::pg::AllMigrations());
    if (!known.ok()) return Fail(known);
  }
  const auto applied = im::pg::Migrate(url, im::pg::AllMigrations());
  if (!applied.ok()) return Fail(applied.status());
  if (restored) {
    const absl::Status marked = im::pg::MarkRestored(url, log_out);
    if (!marked.ok()) return Fail(marked);
  }
  const absl::Status granted = im::pg::Grant(url);
  if (!granted.ok()) return Fail(granted);
  for (const std::string& name : *applied) std::cout << "applied " << name << "\n";
  if (applied->empty()) std::cout << "nothing to do\n";
  return 0;
}
