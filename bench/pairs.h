// N pairs of clients in ping-pong: delivered messages a second, and how long each took.
#pragma once

#include "bench/outcome.h"
#include "bench/target.h"

namespace im::bench {

struct PairsOptions {
  int pairs = 50;
  // Messages in flight for each pair.
  int window = 1;
  double seconds = 10;
};

Outcome MeasurePairs(const Target& target, const PairsOptions& options);

}  // namespace im::bench
