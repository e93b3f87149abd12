// Many clients that are just there, and many that come back at once.
#pragma once

#include "bench/outcome.h"

namespace im::bench {

struct IdleOptions {
  int clients = 1'000;
  // After all are connected.
  double seconds = 10;
};

// N connected clients with heartbeats: what the gateway holds for each of them.
Outcome MeasureIdle(const Target& target, const IdleOptions& options);

struct StormOptions {
  // Even: each has a conversation with one other.
  int clients = 1'000;
  // Each comes back at a time of its own within this.
  double jitter_seconds = 5;
  // Through TLS: with the sessions they had, and not with a whole handshake.
  bool resume_tls = false;
};

// N clients that are cut off at once and come back, with a message for each of them meanwhile. A
// latency is from the cut until the client has caught up.
Outcome MeasureStorm(const Target& target, const StormOptions& options);

}  // namespace im::bench
