#include "bench/outcome.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/awake.h"

namespace im::bench {

using std::chrono::steady_clock;

namespace {

// Connections, caches and the writers' memory warm up meanwhile.
constexpr double kWarmUpSeconds = 2;

}  // namespace

JsonObject LatencyJson(const Histogram& latency) {
  JsonObject object;
  object.Add("p50", Milliseconds(latency.Quantile(0.5)))
      .Add("p90", Milliseconds(latency.Quantile(0.9)))
      .Add("p99", Milliseconds(latency.Quantile(0.99)))
      .Add("max", Milliseconds(latency.max()));
  return object;
}

std::string LatencyText(const Histogram& latency) {
  return absl::StrFormat("p50 %.2f, p90 %.2f, p99 %.2f, max %.2f",
                         Milliseconds(latency.Quantile(0.5)), Milliseconds(latency.Quantile(0.9)),
                         Milliseconds(latency.Quantile(0.99)), Milliseconds(latency.max()));
}

std::string ToJson(const Outcome& outcome) {
  JsonObject object;
  object.Add("scenario", outcome.scenario)
      .Add("per_second", outcome.per_second)
      .Add("latency_ms", LatencyJson(outcome.latency))
      .Add("lost", outcome.lost)
      .Add("duplicated", outcome.duplicated)
      .Add("reordered", outcome.reordered)
      .Add("corrupted", outcome.corrupted)
      .Add("seconds", outcome.seconds)
      .Add("messages", outcome.messages)
      .Add("processes", ToJson(outcome.processes))
      .AddAll(outcome.more);
  if (!outcome.failure.ok()) object.Add("error", outcome.failure.ToString());
  return object.text();
}

std::string ToText(const Outcome& outcome) {
  std::string text = absl::StrFormat("%s, %.1f s: %.0f %s/s\n", outcome.scenario, outcome.seconds,
                                     outcome.per_second, outcome.counted);
  if (outcome.latency.count() > 0) {
    absl::StrAppend(&text, "latency ms: ", LatencyText(outcome.latency), "\n");
  }
  absl::StrAppend(&text, outcome.more_text, ToText(outcome.processes), "\n");
  absl::StrAppendFormat(&text, "lost %d, duplicated %d, reordered %d, corrupted %d\n", outcome.lost,
                        outcome.duplicated, outcome.reordered, outcome.corrupted);
  if (!outcome.failure.ok()) {
    absl::StrAppend(&text, "did not end: ", outcome.failure.ToString(), "\n");
  }
  return text + (outcome.Passed() ? "PASSED\n" : "FAILED\n");
}

void Measure(const Target& target, double seconds, Progress* progress,
             const std::function<void(bool on)>& measuring, const std::function<bool()>& goes_on,
             Outcome* outcome, std::chrono::milliseconds look) {
  const double warm_up = std::min(kWarmUpSeconds, seconds / 4);
  progress->Begin("measuring", static_cast<int64_t>(warm_up + seconds));
  const auto began = steady_clock::now();
  const auto wait_until = [&](steady_clock::time_point end) {
    while (steady_clock::now() < end && goes_on()) {
      std::this_thread::sleep_until(std::min(end, steady_clock::now() + look));
      progress->Done(
          std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - began).count());
    }
  };
  const auto of = [](double time) {
    return std::chrono::microseconds(static_cast<int64_t>(time * 1e6));
  };
  wait_until(began + of(warm_up));
  const ProcessUses before = LookAtProcesses(target);
  const auto from = steady_clock::now();
  measuring(true);
  wait_until(from + of(seconds));
  measuring(false);
  outcome->seconds = std::chrono::duration<double>(steady_clock::now() - from).count();
  outcome->processes = Between(before, LookAtProcesses(target), outcome->seconds);
}

int Report(const Outcome& outcome, bool json) {
  std::fputs(json ? (ToJson(outcome) + "\n").c_str() : ToText(outcome).c_str(), stdout);
  return outcome.Passed() ? 0 : 1;
}

int RunScenario(const TargetOptions& target_options, const RunOptions& options,
                const std::function<Outcome(const Target&)>& scenario) {
  const auto cannot = [](const absl::Status& why) {
    std::fprintf(stderr, "im-bench: %s\n", why.ToString().c_str());
    return 2;
  };
  const auto target = FindTarget(target_options);
  if (!target.ok()) return cannot(target.status());
  std::optional<AwakeCores> awake;
  if (options.keep_awake) {
    absl::StatusOr<AwakeCores> kept = AwakeCores::Keep();
    if (!kept.ok()) return cannot(kept.status());
    awake = *std::move(kept);
  }
  Outcome outcome = scenario(*target);
  if (awake) {
    outcome.more.Add("kept_awake", 1);
    absl::StrAppend(&outcome.more_text, "idle cores kept awake\n");
  }
  return Report(outcome, options.json);
}

}  // namespace im::bench
