// Log-ins with real passwords, and what they cost those who chat meanwhile.
#pragma once

#include "bench/outcome.h"

namespace im::bench {

struct LoginOptions {
  // Log-ins under way at once.
  int clients = 8;
  double seconds = 10;
};

// Counts log-ins, then exchanges of refresh tokens. Beside them two people answer each other's
// messages, before as well as while others log in. A latency is that of a log-in. What the cores
// hash when they do nothing else, with im-auth's default parameters, is measured first.
Outcome MeasureLogin(const Target& target, const LoginOptions& options);

}  // namespace im::bench
