// N pairs of clients in ping-pong: delivered messages a second, and how long each took.
#pragma once

#include "bench/pair.h"
#include "bench/target.h"

namespace im::bench {

struct PairsOptions {
  int pairs = 50;
  // Messages in flight for each pair.
  int window = 1;
  double seconds = 10;
  bool json = false;
  TargetOptions target;
};

struct PairsResult {
  // Of all pairs.
  Pair::Result sum;
  // How long was measured.
  double seconds = 0;

  bool Passed() const {
    return sum.failure.ok() && sum.lost == 0 && sum.duplicated == 0 && sum.reordered == 0 &&
           sum.corrupted == 0;
  }
};

PairsResult MeasurePairs(const Target& target, const PairsOptions& options);

// The command: exit status.
int RunPairs(const PairsOptions& options);

}  // namespace im::bench
