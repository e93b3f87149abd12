// im-migrate: brings the database to the schema of this version.
#include <iostream>
#include <string>

#include "common/base/config.h"
#include "common/pg/migrate.h"

int main(int argc, char** argv) {
  im::Config config("im-migrate", "Brings the database to the schema of this version.");
  std::string url;
  config.Add("database.url", &url, "PostgreSQL connection URL of the schemas' owner.")->required();
  if (auto exit_code = config.Parse(argc, argv)) return *exit_code;

  const auto applied = im::pg::Migrate(url, im::pg::AllMigrations());
  if (!applied.ok()) {
    std::cerr << "im-migrate: " << applied.status().message() << "\n";
    return 1;
  }
  for (const std::string& name : *applied) std::cout << "applied " << name << "\n";
  if (applied->empty()) std::cout << "nothing to do\n";
  return 0;
}
