#include "bench/rate.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <unordered_set>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/base/error.h"

namespace im::bench {
namespace {

using std::chrono::steady_clock;

struct Share {
  int percent;
  size_t members;
};
constexpr Share kSizes[] = {{70, 2}, {20, 5}, {8, 20}, {2, 100}};
constexpr std::chrono::microseconds kStep(500);

// Sends what is due, until it is told to stop.
class Pacer {
 public:
  Pacer(double rate, Traffic* traffic, ClientLoop* loop)
      : rate_(rate), traffic_(traffic), loop_(loop), thread_([this] { Run(); }) {}
  ~Pacer() {
    over_.store(true);
    thread_.join();
  }

 private:
  void Run() {
    std::mt19937 random(1);
    const auto from = steady_clock::now();
    int64_t count = 0;
    while (!over_.load() && !traffic_->failed()) {
      const double elapsed = std::chrono::duration<double>(steady_clock::now() - from).count();
      // The first one is due at once.
      const auto due_now = static_cast<int64_t>(elapsed * rate_) + 1;
      if (due_now > count) {
        loop_->Post([this, from, first = count, last = due_now, seed = random()] {
          Send(from, first, last, seed);
        });
        count = due_now;
      }
      std::this_thread::sleep_for(kStep);
    }
  }

  // Those with these numbers.
  void Send(steady_clock::time_point from, int64_t first, int64_t last, uint_fast32_t seed) {
    std::minstd_rand random(static_cast<uint32_t>(seed));
    for (int64_t i = first; i < last; ++i) {
      const size_t group = random() % traffic_->groups();
      const auto& members = traffic_->members(group);
      const double due = static_cast<double>(i) / rate_;
      traffic_->Send(group, members[random() % members.size()],
                     from + std::chrono::microseconds(static_cast<int64_t>(due * 1e6)));
    }
  }

  const double rate_;
  Traffic* const traffic_;
  ClientLoop* const loop_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace

size_t MembersOf(int64_t conversation) {
  auto place = static_cast<int>(conversation % kMix * 37 % kMix);  // not all large ones together
  for (const Share& share : kSizes) {
    if (place < share.percent) return share.members;
    place -= share.percent;
  }
  return 2;
}

absl::Status SendAtRate(const Target& target, double rate, double seconds, Traffic* traffic,
                        Crowd* crowd, Progress* progress, Outcome* outcome, RateCost* cost) {
  crowd->loop()->Do([&] {
    for (size_t i = 0; i < traffic->groups(); ++i) {
      traffic->Send(i, traffic->members(i)[0], steady_clock::now());
    }
  });
  traffic->Drain();
  {
    Pacer pacer(rate, traffic, crowd->loop());
    Measure(
        target, seconds, progress,
        [&](bool on) { crowd->loop()->Do([&, on] { traffic->Measure(on); }); },
        [&] { return !traffic->failed(); }, outcome);
  }
  traffic->Drain();
  const absl::Status judged = traffic->Judge(outcome);
  const auto landed = static_cast<double>(traffic->landed());
  const auto deliveries = static_cast<double>(traffic->deliveries());
  outcome->per_second = landed / outcome->seconds;
  double cpu = 0;
  for (const auto& [name, share] : outcome->processes) {
    if (name != "bench") cpu += static_cast<double>(share.cpu.count());
  }
  cost->deliveries_per_second = deliveries / outcome->seconds;
  cost->cpu_us_per_message = landed > 0 ? cpu / landed : 0;
  cost->cpu_us_per_delivery = deliveries > 0 ? cpu / deliveries : 0;
  return judged;
}

absl::Status RunRate(const Target& target, const RateOptions& options, Outcome* outcome,
                     RateCost* cost) {
  Progress progress;
  IM_ASSIGN_OR_RETURN(const auto crowd, Crowd::Gather(target, "rate", options.clients, &progress));
  Traffic traffic(crowd.get(), &progress);
  std::mt19937 random(1);
  progress.Begin("conversations", options.conversations);
  for (int i = 0; i < options.conversations; ++i) {
    std::vector<size_t> members;
    const size_t wanted = options.members > 0 ? static_cast<size_t>(options.members) : MembersOf(i);
    const size_t size = std::min(wanted, crowd->size());
    std::unordered_set<size_t> taken;
    while (members.size() < size) {
      const size_t one = random() % crowd->size();
      if (taken.insert(one).second) members.push_back(one);
    }
    IM_RETURN_IF_ERROR(traffic.AddGroup(members).status());
    progress.Done(i + 1);
  }
  IM_RETURN_IF_ERROR(traffic.Connect());
  return SendAtRate(target, options.rate, options.seconds, &traffic, crowd.get(), &progress,
                    outcome, cost);
}

Outcome MeasureRate(const Target& target, const RateOptions& options) {
  Outcome outcome{.scenario = "rate"};
  RateCost cost;
  outcome.failure = RunRate(target, options, &outcome, &cost);
  outcome.more.Add("rate", options.rate)
      .Add("conversations", options.conversations)
      .Add("clients", options.clients)
      .Add("deliveries_per_second", cost.deliveries_per_second)
      .Add("cpu_us_per_message", cost.cpu_us_per_message)
      .Add("cpu_us_per_delivery", cost.cpu_us_per_delivery);
  outcome.more_text = absl::StrFormat(
      "%.0f/s were due, in %d conversations of %d people; %.0f deliveries/s; %.0f us of the "
      "services' and PostgreSQL's CPU for each message, %.1f for each delivery\n",
      options.rate, options.conversations, options.clients, cost.deliveries_per_second,
      cost.cpu_us_per_message, cost.cpu_us_per_delivery);
  return outcome;
}

}  // namespace im::bench
