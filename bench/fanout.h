// One sender and a large group, every member online on a connection of its own.
#pragma once

#include "bench/outcome.h"

namespace im::bench {

struct FanoutOptions {
  // Without the sender.
  int members = 1'000;
  // Messages in flight; one is until its last receiver has it.
  int window = 1;
  double seconds = 10;
};

Outcome MeasureFanout(const Target& target, const FanoutOptions& options);

}  // namespace im::bench
