// Messages at a rate that does not wait for anybody, in conversations of mixed size.
#pragma once

#include "bench/outcome.h"

namespace im::bench {

struct RateOptions {
  // Messages a second.
  double rate = 500;
  int conversations = 100;
  // People, all online, each in several conversations.
  int clients = 200;
  double seconds = 10;
};

// A latency is from the moment at which a message was due, not sent: the waits that a stall causes
// are in it (no coordinated omission).
Outcome MeasureRate(const Target& target, const RateOptions& options);

}  // namespace im::bench
