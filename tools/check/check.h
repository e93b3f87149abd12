// Holds the data to the rules that the services rely on: every conversation, account and mark.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace im::check {

// Something that cannot be. Names no text that a person wrote.
struct Finding {
  std::string rule;                                        // "seq_dense"
  std::vector<std::pair<std::string, std::string>> where;  // {"conversation_id", "5"}, ...
  std::string what;                                        // "comes after 3"
};

struct Totals {
  int64_t conversations = 0;
  int64_t entries = 0;
  int64_t accounts = 0;
};

struct CheckOptions {
  // Of im_owner, or of somebody else who may read everything.
  std::string database_url;
  // Entries and members looked at by one query.
  int64_t page = 200000;
  // Called as they are found; after 1,000 of one page and query the rest of these is not told.
  std::function<void(const Finding&)> on_finding;
  // Called after each page.
  std::function<void(const Totals&)> on_progress;
};

// Reads one snapshot, whatever is written meanwhile, and changes nothing. An error: the data could
// not be read, or is of a version that this program does not know.
absl::StatusOr<Totals> Check(const CheckOptions& options);

}  // namespace im::check
