#include "bench/rate.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/traffic.h"
#include "common/base/error.h"

namespace im::bench {
namespace {

using std::chrono::steady_clock;

// Out of a hundred conversations, and how many members these have: most are of two.
struct Share {
  int percent;
  size_t members;
};
constexpr Share kSizes[] = {{70, 2}, {20, 5}, {8, 20}, {2, 100}};
constexpr std::chrono::microseconds kStep(500);

size_t SizeOf(int conversation) {
  int place = conversation * 37 % 100;  // mixed, and the same in every run
  for (const Share& share : kSizes) {
    if (place < share.percent) return share.members;
    place -= share.percent;
  }
  return 2;
}

absl::Status Run(const Target& target, const RateOptions& options, Outcome* outcome) {
  Progress progress;
  IM_ASSIGN_OR_RETURN(const auto crowd, Crowd::Gather(target, "rate", options.clients, &progress));
  Traffic traffic(crowd.get(), &progress);
  std::mt19937 random(1);
  progress.Begin("conversations", options.conversations);
  for (int i = 0; i < options.conversations; ++i) {
    std::vector<size_t> members;
    const size_t size = std::min(SizeOf(i), crowd->size());
    while (members.size() < size) {
      const size_t one = random() % crowd->size();
      if (std::find(members.begin(), members.end(), one) == members.end()) members.push_back(one);
    }
    IM_RETURN_IF_ERROR(traffic.AddGroup(members).status());
    progress.Done(i + 1);
  }
  IM_RETURN_IF_ERROR(traffic.Connect());

  std::atomic<bool> over{false};
  std::thread sender([&] {
    const auto from = steady_clock::now();
    int64_t count = 0;
    while (!over.load() && !traffic.failed()) {
      const auto now = steady_clock::now();
      const double elapsed = std::chrono::duration<double>(now - from).count();
      // The first one is due at once.
      const auto due_now = static_cast<int64_t>(elapsed * options.rate) + 1;
      if (due_now > count) {
        crowd->loop()->Post([&, from, first = count, last = due_now, seed = random()]() mutable {
          for (int64_t i = first; i < last; ++i) {
            const size_t group = seed % static_cast<size_t>(options.conversations);
            const auto& members = traffic.members(group);
            const auto due = from + std::chrono::microseconds(static_cast<int64_t>(
                                        static_cast<double>(i) / options.rate * 1e6));
            traffic.Send(group, members[seed / 7919 % members.size()], due);
            seed = seed * 1664525u + 1013904223u;
          }
        });
        count = due_now;
      }
      std::this_thread::sleep_for(kStep);
    }
  });
  Measure(
      target, options.seconds, &progress,
      [&](bool on) { crowd->loop()->Do([&, on] { traffic.Measure(on); }); },
      [&] { return !traffic.failed(); }, outcome);
  over.store(true);
  sender.join();
  traffic.Drain();
  const absl::Status judged = traffic.Judge(outcome);
  outcome->per_second = static_cast<double>(traffic.landed()) / outcome->seconds;
  const double deliveries = static_cast<double>(traffic.deliveries()) / outcome->seconds;
  double cpu = 0;
  for (const auto& [name, share] : outcome->processes) {
    if (name != "bench") cpu += static_cast<double>(share.cpu.count());
  }
  const double each = traffic.landed() > 0 ? cpu / static_cast<double>(traffic.landed()) : 0;
  outcome->more.Add("rate", options.rate)
      .Add("conversations", options.conversations)
      .Add("clients", options.clients)
      .Add("deliveries_per_second", deliveries)
      .Add("cpu_us_per_message", each);
  outcome->more_text = absl::StrFormat(
      "%.0f/s were due, in %d conversations of %d people; %.0f deliveries/s; %.0f us of the "
      "services' and PostgreSQL's CPU for each message\n",
      options.rate, options.conversations, options.clients, deliveries, each);
  return judged;
}

}  // namespace

Outcome MeasureRate(const Target& target, const RateOptions& options) {
  Outcome outcome{.scenario = "rate"};
  outcome.failure = Run(target, options, &outcome);
  return outcome;
}

}  // namespace im::bench
