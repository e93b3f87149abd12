// What a message costs while the data grows.
#pragma once

#include "bench/outcome.h"

namespace im::bench {

struct GrowthOptions {
  // Each axis goes up to here by factors of ten: stored messages from 10,000 on, users from 1,000
  // on, members of the groups from 2 and 10 on.
  int64_t max_messages = 1'000'000;
  int64_t max_users = 100'000;
  int max_members = 1'000;
  // Messages a second at each step, and for how long. In large groups fewer, for as many
  // deliveries.
  double rate = 500;
  double seconds = 10;
};

// The scenario `rate` at each step of three axes. Stored messages grow in 500 conversations of
// 1,000 people; then people grow, and with each two of them a conversation that holds ten messages.
// Who sends are the members of 200 conversations out of all that are there, of the same mix of
// sizes at every step. Members grow in groups that are new.
Outcome MeasureGrowth(const Target& target, const GrowthOptions& options);

}  // namespace im::bench
