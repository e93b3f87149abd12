// What a replay tells people and programs.
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/json.h"
#include "bench/replay.h"

namespace im::bench {
namespace {

double Milliseconds(int64_t micros) { return static_cast<double>(micros) / 1000; }

std::string Message(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

}  // namespace

std::string ToJson(const ReplayResult& result) {
  const Verdict& verdict = result.verdict;
  JsonObject latency;
  latency.Add("p50", Milliseconds(result.latency.Quantile(0.5)))
      .Add("p90", Milliseconds(result.latency.Quantile(0.9)))
      .Add("p99", Milliseconds(result.latency.Quantile(0.99)))
      .Add("max", Milliseconds(result.latency.max()));
  JsonObject object;
  object.Add("scenario", "replay")
      .Add("messages", result.messages)
      .Add("speakers", result.speakers)
      .Add("deliveries_expected", verdict.expected)
      .Add("deliveries", verdict.arrived)
      .Add("lost", verdict.lost)
      .Add("duplicated", verdict.duplicated)
      .Add("reordered", verdict.reordered)
      .Add("corrupted", verdict.corrupted)
      .Add("leaked", verdict.leaked)
      .Add("seconds", result.seconds)
      .Add("latency_ms", latency)
      .Add("history_entries", result.history_entries)
      .Add("repeats_on_wire", result.repeats_on_wire)
      .Add("reconnects", result.reconnects)
      .Add("loads", result.loads);
  if (!result.failure.ok()) object.Add("error", Message(result.failure));
  return object.text();
}

std::string ToText(const ReplayResult& result) {
  const Verdict& verdict = result.verdict;
  std::string text = absl::StrFormat(
      "%d messages of %d speakers in %.1f s, %.0f messages/s\n"
      "%d of %d deliveries, %.0f deliveries/s, %d entries read back\n"
      "latency ms: p50 %.1f, p99 %.1f, max %.1f\n"
      "lost %d, duplicated %d, reordered %d, corrupted %d, leaked %d\n"
      "repeats on the wire %d, reconnects %d, loads %d\n",
      result.messages, result.speakers, result.seconds,
      static_cast<double>(result.messages) / std::max(result.seconds, 1e-9), verdict.arrived,
      verdict.expected, static_cast<double>(verdict.arrived) / std::max(result.seconds, 1e-9),
      result.history_entries, Milliseconds(result.latency.Quantile(0.5)),
      Milliseconds(result.latency.Quantile(0.99)), Milliseconds(result.latency.max()), verdict.lost,
      verdict.duplicated, verdict.reordered, verdict.corrupted, verdict.leaked,
      result.repeats_on_wire, result.reconnects, result.loads);
  if (!result.failure.ok()) absl::StrAppend(&text, "did not end: ", Message(result.failure), "\n");
  return text + (result.Passed() ? "PASSED\n" : "FAILED\n");
}

int RunReplay(const ReplayOptions& options) {
  const auto script = ReadScript(options.file);
  const auto target = FindTarget(options.target);
  for (const absl::Status& status : {script.status(), target.status()}) {
    if (status.ok()) continue;
    std::fprintf(stderr, "im-bench: %s\n", Message(status).c_str());
    return 2;
  }
  const ReplayResult result = Replay(*script, *target, options);
  std::fputs(options.json ? (ToJson(result) + "\n").c_str() : ToText(result).c_str(), stdout);
  return result.Passed() ? 0 : 1;
}

}  // namespace im::bench
