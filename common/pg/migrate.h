// Schema migrations: numbered SQL files of each service, forward only and additive, so that old and
// new binaries both run on the new schema.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace im::pg {

struct Migration {
  std::string service;  // "auth", "chat", "presence": also the schema it belongs to
  int number = 0;
  std::string name;
  std::string sql;
};

// Those built into the program, by service and number.
const std::vector<Migration>& AllMigrations();

// Applies what is missing, each in a transaction of its own, under an advisory lock so that two who
// migrate at once do it once. Returns the names of those applied: "chat/0001_schema".
absl::StatusOr<std::vector<std::string>> Migrate(const std::string& url,
                                                 const std::vector<Migration>& migrations);

}  // namespace im::pg
