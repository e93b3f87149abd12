// Plays a real group chat through real clients and checks every delivery.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "bench/delivery_check.h"
#include "bench/histogram.h"
#include "bench/script.h"
#include "bench/target.h"

namespace im::bench {

struct ReplayOptions {
  std::string file;
  // Times real time; 0: as fast as the system takes it.
  double speed = 0;
  double timeout_seconds = 900;
  bool json = false;
  TargetOptions target;
};

struct ReplayResult {
  // Stored and acknowledged.
  int64_t messages = 0;
  int64_t speakers = 0;
  // Faults of what came by itself, of what history says, and of the answers.
  Verdict verdict;
  int64_t history_entries = 0;
  // From the first message to the last delivery, without the check of history.
  double seconds = 0;
  // From the moment a message is sent to its arrival at each other member, in microseconds.
  Histogram latency;
  // How the clients fared.
  int64_t repeats_on_wire = 0;
  int64_t reconnects = 0;
  int64_t loads = 0;
  // Why it did not come to its end; OK if it did.
  absl::Status failure;

  bool Passed() const { return failure.ok() && verdict.Clean(); }
};

ReplayResult Replay(const Script& script, const Target& target, const ReplayOptions& options);

// One object, without a line feed.
std::string ToJson(const ReplayResult& result);
std::string ToText(const ReplayResult& result);

// The command: exit status.
int RunReplay(const ReplayOptions& options);

}  // namespace im::bench
