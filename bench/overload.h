// More than the machine can take: what becomes of what is accepted, and of what is not.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "bench/outcome.h"

namespace im::bench {

struct OverloadOptions {
  // Clients that send, each to a conversation with the next one.
  int clients = 100;
  // How many times what was measured to be possible.
  double times = 3;
  // Of the overload; what is possible is measured for a third of it.
  double seconds = 15;
  // Tests: called when the overload begins (true) and when it is over (false).
  std::function<void(bool)> on_overload;
};

// per_second and latency are of what was accepted; messages are those that were acknowledged. The
// seconds last until the last answer.
struct OverloadResult : Outcome {
  // Messages a second: with 32 in flight for each client; offered then.
  double possible = 0;
  double offered = 0;
  // Microseconds from the moment when it was due to the answer.
  Histogram refused_latency;
  // How long a list of conversations and a unary message took meanwhile, refused or not.
  Histogram unary_latency;
  int64_t sent = 0;
  int64_t refused = 0;
  // Refusals other than OVERLOADED with a time to wait; these and what follows are failures.
  int64_t untyped = 0;
  // By "kind reason": what came of unary calls.
  std::map<std::string, int64_t> unary;
  // Neither: no answer a while after the end.
  int64_t unanswered = 0;
  // Milliseconds from the end of the overload until a message took no longer than before it, and
  // was not refused.
  double recovery_ms = 0;
};

OverloadResult MeasureOverload(const Target& target, const OverloadOptions& options);

}  // namespace im::bench
