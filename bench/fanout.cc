#include "bench/fanout.h"

#include <chrono>
#include <memory>
#include <numeric>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/traffic.h"
#include "common/base/error.h"

namespace im::bench {
namespace {

absl::Status Run(const Target& target, const FanoutOptions& options, Outcome* outcome) {
  Progress progress;
  IM_ASSIGN_OR_RETURN(const auto crowd,
                      Crowd::Gather(target, "fanout", options.members + 1, &progress));
  Traffic traffic(crowd.get(), &progress);
  std::vector<size_t> everybody(crowd->size());
  std::iota(everybody.begin(), everybody.end(), size_t{0});
  IM_ASSIGN_OR_RETURN(const size_t group, traffic.AddGroup(everybody));
  IM_RETURN_IF_ERROR(traffic.Connect());
  const auto send = [&] { traffic.Send(group, 0, std::chrono::steady_clock::now()); };
  bool finishing = false;
  crowd->loop()->Do([&] {
    traffic.OnLanded([&](size_t) {
      if (!finishing) send();
    });
    for (int i = 0; i < options.window; ++i) send();
  });
  Measure(
      target, options.seconds, &progress,
      [&](bool on) { crowd->loop()->Do([&, on] { traffic.Measure(on); }); },
      [&] { return !traffic.failed(); }, outcome);
  crowd->loop()->Do([&] { finishing = true; });
  traffic.Drain();
  const absl::Status judged = traffic.Judge(outcome);
  const auto deliveries = static_cast<double>(traffic.deliveries());
  outcome->per_second = deliveries / outcome->seconds;
  const auto gateway = outcome->processes.find("gateway");
  const double each = gateway == outcome->processes.end() || deliveries == 0
                          ? 0
                          : static_cast<double>(gateway->second.cpu.count()) / deliveries;
  outcome->more.Add("members", options.members)
      .Add("window", options.window)
      .Add("cpu_us_per_delivery", each);
  outcome->more_text =
      absl::StrFormat("%d members, window %d, %.1f us of the gateway's CPU for each\n",
                      options.members, options.window, each);
  return judged;
}

}  // namespace

Outcome MeasureFanout(const Target& target, const FanoutOptions& options) {
  Outcome outcome{.scenario = "fanout", .counted = "deliveries"};
  outcome.failure = Run(target, options, &outcome);
  return outcome;
}

}  // namespace im::bench
