// What a scenario says at its end.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "bench/histogram.h"
#include "bench/json.h"
#include "bench/processes.h"
#include "bench/progress.h"
#include "bench/target.h"

namespace im::bench {

struct Outcome {
  std::string scenario;
  // Of what the scenario counts, while measuring, and for how long that was.
  std::string counted = "messages";
  double per_second = 0;
  double seconds = 0;
  // Stored and acknowledged, warm-up included.
  int64_t messages = 0;
  // Microseconds.
  Histogram latency;
  int64_t lost = 0;
  int64_t duplicated = 0;
  int64_t reordered = 0;
  int64_t corrupted = 0;
  ProcessShares processes;
  // What the scenario adds: for programs, and for people, whole lines.
  JsonObject more;
  std::string more_text;
  // Why it did not come to its end.
  absl::Status failure;

  bool Passed() const {
    return failure.ok() && lost == 0 && duplicated == 0 && reordered == 0 && corrupted == 0;
  }
};

inline double Milliseconds(int64_t micros) { return static_cast<double>(micros) / 1000; }
// Of microseconds, in milliseconds: p50, p90, p99 and max.
JsonObject LatencyJson(const Histogram& latency);
std::string LatencyText(const Histogram& latency);

std::string ToJson(const Outcome& outcome);
std::string ToText(const Outcome& outcome);

// Waits out a warm-up, then `seconds` in which `measuring` is on, as long as `goes_on`, which is
// asked every `look`; fills in the seconds and the processes.
void Measure(const Target& target, double seconds, Progress* progress,
             const std::function<void(bool on)>& measuring, const std::function<bool()>& goes_on,
             Outcome* outcome, std::chrono::milliseconds look = std::chrono::milliseconds(200));

// Prints it; the exit status of the command.
int Report(const Outcome& outcome, bool json);
struct RunOptions {
  bool json = false;
  // See bench/awake.h.
  bool keep_awake = false;
};

// Finds the target, runs the scenario, reports.
int RunScenario(const TargetOptions& target_options, const RunOptions& options,
                const std::function<Outcome(const Target&)>& scenario);

}  // namespace im::bench
