// People for a run.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/seed.h"
#include "bench/target.h"

namespace im::bench {

// Seeds them if the database can be reached, else registers them one by one and says so on stderr.
// Anyone may add them to groups and write to them.
absl::StatusOr<std::vector<Account>> MakeAccounts(const Target& target,
                                                  const std::vector<NewAccount>& accounts);

}  // namespace im::bench
