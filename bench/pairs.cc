#include "bench/pairs.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/pair.h"
#include "bench/progress.h"
#include "common/base/error.h"

namespace im::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kConnectLimit(60);
constexpr std::chrono::seconds kLandingLimit(10);
constexpr std::chrono::milliseconds kLook(10);
constexpr int kReaders = 4;

class Run {
 public:
  Run(const Target& target, const PairsOptions& options) : target_(target), options_(options) {}

  Outcome Go() {
    absl::Status status = Prepare();
    const bool started = status.ok();
    if (started) Play();
    for (const auto& pair : pairs_) {
      if (status.ok()) status = pair->failure();
    }
    if (started) JudgeAll();
    outcome_.failure = status;
    outcome_.scenario = "pairs";
    outcome_.counted = "messages stored and delivered";
    outcome_.more.Add("pairs", options_.pairs)
        .Add("window", options_.window)
        .Add("repeats_on_wire", repeats_);
    outcome_.more_text = absl::StrFormat("%d pairs, window %d\n", options_.pairs, options_.window);
    return std::move(outcome_);
  }

 private:
  absl::Status Prepare() {
    IM_ASSIGN_OR_RETURN(crowd_, Crowd::Gather(target_, "pairs", 2 * options_.pairs, &progress_));
    progress_.Begin("connecting", options_.pairs);
    for (int i = 0; i < options_.pairs; ++i) {
      pairs_.push_back(
          std::make_unique<Pair>(static_cast<uint32_t>(i), options_.window, crowd_.get()));
      IM_RETURN_IF_ERROR(pairs_.back()->Connect());
      progress_.Done(i + 1);
    }
    return Await(kConnectLimit, "the streams did not open",
                 [](const Pair& pair) { return pair.ready(); });
  }

  // Until it holds for all pairs, or one has failed.
  template <typename Condition>
  absl::Status Await(steady_clock::duration limit, const char* otherwise, Condition holds) {
    const auto deadline = steady_clock::now() + limit;
    for (;;) {
      bool all = true;
      for (const auto& pair : pairs_) {
        const absl::Status failure = pair->failure();
        if (!failure.ok()) return failure;
        all = all && holds(*pair);
      }
      if (all) return absl::OkStatus();
      if (steady_clock::now() >= deadline) return absl::DeadlineExceededError(otherwise);
      std::this_thread::sleep_for(kLook);
    }
  }

  void Play() {
    for (const auto& pair : pairs_) pair->Start();
    Measure(
        target_, options_.seconds, &progress_,
        [this](bool on) {
          for (const auto& pair : pairs_) pair->Measure(on);
        },
        [this] {
          return std::all_of(pairs_.begin(), pairs_.end(),
                             [](const auto& pair) { return pair->failure().ok(); });
        },
        &outcome_);
    for (const auto& pair : pairs_) pair->Finish();
    // What has not landed by then is lost, which the judge says.
    Await(kLandingLimit, "", [](const Pair& pair) { return pair.landed(); }).IgnoreError();
  }

  void JudgeAll() {
    progress_.Begin("checking", options_.pairs);
    std::atomic<size_t> next = 0, done = 0;
    Mutex mu;
    double measured = 0;
    std::vector<std::thread> readers;
    for (int i = 0; i < kReaders; ++i) {
      readers.emplace_back([&] {
        for (size_t which; (which = next++) < pairs_.size();) {
          const Pair::Result one = pairs_[which]->Judge();
          progress_.Done(static_cast<int64_t>(++done));
          MutexLock lock(&mu);
          measured += static_cast<double>(one.measured);
          outcome_.latency.Add(one.latency);
          outcome_.messages += one.messages;
          outcome_.lost += one.lost;
          outcome_.duplicated += one.duplicated;
          outcome_.reordered += one.reordered;
          outcome_.corrupted += one.corrupted;
          repeats_ += one.repeats;
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
    if (outcome_.seconds > 0) outcome_.per_second = measured / outcome_.seconds;
  }

  const Target& target_;
  const PairsOptions& options_;
  Progress progress_;
  std::unique_ptr<Crowd> crowd_;
  std::vector<std::unique_ptr<Pair>> pairs_;
  int64_t repeats_ = 0;
  Outcome outcome_;
};

}  // namespace

Outcome MeasurePairs(const Target& target, const PairsOptions& options) {
  return Run(target, options).Go();
}

}  // namespace im::bench
