#include "bench/pairs.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/json.h"
#include "bench/progress.h"
#include "common/base/error.h"

namespace im::bench {
namespace {

using std::chrono::steady_clock;

// Connections, caches and the writers' memory warm up meanwhile.
constexpr double kWarmUpSeconds = 2;
constexpr std::chrono::seconds kConnectLimit(60);
constexpr std::chrono::seconds kLandingLimit(10);
constexpr std::chrono::milliseconds kLook(10);
constexpr int kReaders = 4;

class Run {
 public:
  Run(const Target& target, const PairsOptions& options) : target_(target), options_(options) {}

  PairsResult Go() {
    absl::Status status = Prepare();
    if (status.ok()) Play();
    for (const auto& pair : pairs_) {
      if (status.ok()) status = pair->failure();
    }
    if (started_) JudgeAll();
    if (!status.ok()) result_.sum.failure = status;
    return std::move(result_);
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

  // Sleeps. False: a pair has failed.
  bool Pass(double seconds) {
    const auto end =
        steady_clock::now() + std::chrono::microseconds(static_cast<int64_t>(seconds * 1'000'000));
    while (steady_clock::now() < end) {
      std::this_thread::sleep_until(
          std::min(end, steady_clock::now() + std::chrono::milliseconds(200)));
      for (const auto& pair : pairs_) {
        if (!pair->failure().ok()) return false;
      }
      progress_.Done(
          std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - began_).count());
    }
    return true;
  }

  void Play() {
    const double warm_up = std::min(kWarmUpSeconds, options_.seconds / 4);
    progress_.Begin("measuring", static_cast<int64_t>(warm_up + options_.seconds));
    began_ = steady_clock::now();
    started_ = true;
    for (const auto& pair : pairs_) pair->Start();
    if (Pass(warm_up)) {
      const auto from = steady_clock::now();
      for (const auto& pair : pairs_) pair->Measure(true);
      Pass(options_.seconds);
      for (const auto& pair : pairs_) pair->Measure(false);
      result_.seconds = std::chrono::duration<double>(steady_clock::now() - from).count();
    }
    for (const auto& pair : pairs_) pair->Finish();
    // What has not landed by then is lost, which the judge says.
    Await(kLandingLimit, "", [](const Pair& pair) { return pair.landed(); }).IgnoreError();
  }

  void JudgeAll() {
    progress_.Begin("checking", options_.pairs);
    std::atomic<size_t> next = 0, done = 0;
    Mutex mu;
    std::vector<std::thread> readers;
    for (int i = 0; i < kReaders; ++i) {
      readers.emplace_back([&] {
        for (size_t which; (which = next++) < pairs_.size();) {
          const Pair::Result one = pairs_[which]->Judge();
          progress_.Done(static_cast<int64_t>(++done));
          MutexLock lock(&mu);
          Pair::Result& sum = result_.sum;
          sum.measured += one.measured;
          sum.latency.Add(one.latency);
          sum.messages += one.messages;
          sum.lost += one.lost;
          sum.duplicated += one.duplicated;
          sum.reordered += one.reordered;
          sum.corrupted += one.corrupted;
          sum.repeats += one.repeats;
          if (sum.failure.ok()) sum.failure = one.failure;
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
  }

  const Target& target_;
  const PairsOptions& options_;
  Progress progress_;
  std::unique_ptr<Crowd> crowd_;
  std::vector<std::unique_ptr<Pair>> pairs_;
  steady_clock::time_point began_;
  bool started_ = false;
  PairsResult result_;
};

double Milliseconds(int64_t micros) { return static_cast<double>(micros) / 1000; }

double PerSecond(const PairsResult& result) {
  return result.seconds > 0 ? static_cast<double>(result.sum.measured) / result.seconds : 0;
}

std::string ToJson(const PairsResult& result, const PairsOptions& options) {
  const Pair::Result& sum = result.sum;
  JsonObject latency;
  latency.Add("p50", Milliseconds(sum.latency.Quantile(0.5)))
      .Add("p90", Milliseconds(sum.latency.Quantile(0.9)))
      .Add("p99", Milliseconds(sum.latency.Quantile(0.99)))
      .Add("max", Milliseconds(sum.latency.max()));
  JsonObject object;
  object.Add("scenario", "pairs")
      .Add("pairs", options.pairs)
      .Add("window", options.window)
      .Add("per_second", PerSecond(result))
      .Add("latency_ms", latency)
      .Add("lost", sum.lost)
      .Add("duplicated", sum.duplicated)
      .Add("reordered", sum.reordered)
      .Add("corrupted", sum.corrupted)
      .Add("seconds", result.seconds)
      .Add("messages", sum.messages)
      .Add("repeats_on_wire", sum.repeats);
  if (!sum.failure.ok()) object.Add("error", sum.failure.ToString());
  return object.text();
}

std::string ToText(const PairsResult& result, const PairsOptions& options) {
  const Pair::Result& sum = result.sum;
  std::string text = absl::StrFormat(
      "%d pairs, window %d, %.1f s: %.0f messages/s stored and delivered\n"
      "latency ms, sent to received: p50 %.2f, p90 %.2f, p99 %.2f, max %.2f\n"
      "lost %d, duplicated %d, reordered %d, corrupted %d of %d\n",
      options.pairs, options.window, result.seconds, PerSecond(result),
      Milliseconds(sum.latency.Quantile(0.5)), Milliseconds(sum.latency.Quantile(0.9)),
      Milliseconds(sum.latency.Quantile(0.99)), Milliseconds(sum.latency.max()), sum.lost,
      sum.duplicated, sum.reordered, sum.corrupted, sum.messages);
  if (!sum.failure.ok()) absl::StrAppend(&text, "did not end: ", sum.failure.ToString(), "\n");
  return text + (result.Passed() ? "PASSED\n" : "FAILED\n");
}

}  // namespace

PairsResult MeasurePairs(const Target& target, const PairsOptions& options) {
  return Run(target, options).Go();
}

int RunPairs(const PairsOptions& options) {
  const auto target = FindTarget(options.target);
  if (!target.ok()) {
    std::fprintf(stderr, "im-bench: %s\n", target.status().ToString().c_str());
    return 2;
  }
  const PairsResult result = MeasurePairs(*target, options);
  std::fputs(
      options.json ? (ToJson(result, options) + "\n").c_str() : ToText(result, options).c_str(),
      stdout);
  return result.Passed() ? 0 : 1;
}

}  // namespace im::bench
