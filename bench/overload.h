// More than the machine can take: what becomes of what is accepted, and of what is not.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "bench/histogram.h"
#include "bench/target.h"

namespace im::bench {

struct OverloadOptions {
  // Clients that send, each to a conversation with the next one.
  int clients = 100;
  // How many times what was measured to be possible.
  double times = 3;
  // Of the overload; what is possible is measured for a third of it.
  double seconds = 15;
  bool json = false;
  TargetOptions target;
  // Tests: called when the overload begins (true) and when it is over (false).
  std::function<void(bool)> on_overload;
};

struct OverloadResult {
  // Messages a second: with 32 in flight for each client; offered then; of those accepted.
  double possible = 0;
  double offered = 0;
  double accepted = 0;
  // Microseconds from the moment when it was due to the answer.
  Histogram accepted_latency;
  Histogram refused_latency;
  // How long a list of conversations and a unary message took meanwhile, refused or not.
  Histogram unary_latency;
  int64_t sent = 0;
  int64_t acknowledged = 0;
  int64_t refused = 0;
  // Refusals other than OVERLOADED with a time to wait.
  int64_t untyped = 0;
  // By "kind reason": what came of unary calls.
  std::map<std::string, int64_t> unary;
  // Neither: no answer a while after the end.
  int64_t unanswered = 0;
  // Acknowledged and not stored, or stored twice.
  int64_t lost = 0;
  int64_t duplicated = 0;
  // Milliseconds from the end of the overload until a message took no longer than before it, and
  // was not refused.
  double recovery_ms = 0;
  absl::Status failure;

  bool Passed() const {
    return failure.ok() && untyped == 0 && unanswered == 0 && lost == 0 && duplicated == 0;
  }
};

OverloadResult MeasureOverload(const Target& target, const OverloadOptions& options);

// The command: exit status.
int RunOverload(const OverloadOptions& options);

}  // namespace im::bench
