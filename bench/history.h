// Pages out of conversations that hold much.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/outcome.h"

namespace im::bench {

struct HistoryOptions {
  // Messages in each conversation; they are seeded.
  std::vector<int64_t> messages = {1'000, 100'000};
  // For each conversation and kind of page.
  double seconds = 2;
};

// One reader, pages of 50: the newest, and from any place by its key. A latency is that of a page.
Outcome MeasureHistory(const Target& target, const HistoryOptions& options);

}  // namespace im::bench
