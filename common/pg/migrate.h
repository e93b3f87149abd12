// Schema migrations: numbered SQL files of each service, forward only and additive, so that old and
// new binaries both run on the new schema. With them what stands beside them in services/NAME:
// grants.sql, what the service's role may do, and restored.sql, what data from a backup needs.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace im::pg {

struct Migration {
  std::string service;  // "auth", "chat", "presence": also the schema it belongs to
  int number = 0;
  std::string name;
  std::string sql;
};

// SQL of a service that has no number.
struct ServiceSql {
  std::string service;
  std::string sql;
};

// Those built into the program, by service and number.
const std::vector<Migration>& AllMigrations();
const std::vector<ServiceSql>& AllGrants();
const std::vector<ServiceSql>& AllRestored();

// Applies what is missing, each in a transaction of its own, under an advisory lock so that two who
// migrate at once do it once. Returns the names of those applied: "chat/0001_schema".
//
// `url` is that of the role im_owner, in a database prepared by deploy/postgresql/roles.sql.
absl::StatusOr<std::vector<std::string>> Migrate(const std::string& url,
                                                 const std::vector<Migration>& migrations);

// Gives each service's role what its grants.sql says, and takes all else in the schemas away from
// it and from everybody: in one transaction, so that whoever works meanwhile notices nothing.
absl::Status Grant(const std::string& url);

// FAILED_PRECONDITION if migrations were applied that are not among those: the data is of a newer
// version, or not of IM at all.
absl::Status CheckKnown(const std::string& url, const std::vector<Migration>& migrations);

// Makes what came out of a backup data of its own, in one transaction: see restored.sql of each
// service. `log_out`: no device stays logged in.
absl::Status MarkRestored(const std::string& url, bool log_out);

}  // namespace im::pg
