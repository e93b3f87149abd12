#include <google/protobuf/unknown_field_set.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/crowd.h"
#include "bench/lean_client.h"
#include "bench/parts.h"
#include "common/base/error.h"

namespace im::bench {
namespace {

using gateway::v1::ConnectRequest;
using gateway::v1::ServerFrame;
using std::chrono::steady_clock;

// No frame of a client has this number, nor will one soon: the gateway answers that it does not
// know it.
constexpr int kUnknownFrame = 1999;
// Of the SendMessageRequest with a message of kBodyBytes.
constexpr size_t kFrameBytes = 130;
constexpr char kReason[] = "UNKNOWN_METHOD";
constexpr std::chrono::seconds kAnswerLimit(30);
constexpr std::chrono::milliseconds kLook(5);

class Echo {
 public:
  Echo(const Target& target, const PairsOptions& options, Outcome* outcome)
      : target_(target), options_(options), outcome_(outcome) {}
  ~Echo() {
    if (crowd_ != nullptr) crowd_->loop()->Do([this] { closing_ = true; });
    devices_.clear();
  }

  absl::Status Run() {
    IM_ASSIGN_OR_RETURN(crowd_, Crowd::Gather(target_, "echo", 2 * options_.pairs, &progress_));
    ClientLoop& loop = *crowd_->loop();
    IM_RETURN_IF_ERROR(OpenStreams(
        crowd_->size(), &progress_,
        [&](size_t i) {
          devices_.push_back(std::make_unique<Device>(this, i, &loop, (*crowd_)[i].token));
        },
        [this] { return ready_.load(); }, [this] { return Failure(); }));
    loop.Do([this] {
      for (size_t pair = 0; pair < devices_.size() / 2; ++pair) {
        for (int i = 0; i < options_.window; ++i) Send(2 * pair);
      }
    });
    Measure(
        target_, options_.seconds, &progress_, [&](bool on) { loop.Do([&] { measuring_ = on; }); },
        [this] { return Failure().ok(); }, outcome_);
    loop.Do([this] { finishing_ = true; });
    const auto deadline = steady_clock::now() + kAnswerLimit;
    for (size_t in_flight = 1; in_flight > 0 && steady_clock::now() < deadline && Failure().ok();) {
      std::this_thread::sleep_for(kLook);
      loop.Do([&] { in_flight = sent_.size(); });
    }
    loop.Do([this] {
      outcome_->latency = latency_;
      outcome_->lost = static_cast<int64_t>(sent_.size());
      outcome_->duplicated = duplicated_;
      outcome_->reordered = reordered_;
      outcome_->corrupted = corrupted_;
    });
    outcome_->per_second = static_cast<double>(outcome_->latency.count()) / outcome_->seconds;
    outcome_->more.Add("pairs", options_.pairs).Add("window", options_.window);
    outcome_->more_text = absl::StrFormat("%d streams, %d frames in flight\n", 2 * options_.pairs,
                                          options_.pairs * options_.window);
    return Failure();
  }

 private:
  class Device : public LeanClient::Listener {
   public:
    Device(Echo* echo, size_t place, ClientLoop* loop, const std::string& token)
        : echo_(echo), place_(place), stream_(loop, token, this) {}
    void OnFrame(const ServerFrame& frame) override { echo_->OnFrame(place_, frame); }
    void OnClosed(const absl::Status& status) override {
      echo_->Fail(status.ok() ? absl::UnavailableError("a stream ended") : status);
    }
    void Send(const ConnectRequest& frame) { stream_.Send(frame); }

    uint64_t newest_answer = 0;

   private:
    Echo* const echo_;
    const size_t place_;
    LeanClient stream_;
  };

  absl::Status Failure() {
    absl::Status failure;
    crowd_->loop()->Do([&] { failure = failure_; });
    return failure;
  }
  void Fail(const absl::Status& status) {
    if (!closing_ && failure_.ok()) failure_ = status;
  }

  void Send(size_t device) {
    ConnectRequest frame;
    frame.set_call_id(++last_call_);
    frame.GetReflection()->MutableUnknownFields(&frame)->AddLengthDelimited(
        kUnknownFrame, std::string(kFrameBytes, '.'));
    sent_[last_call_] = {device, steady_clock::now()};
    devices_[device]->Send(frame);
  }

  void OnFrame(size_t place, const ServerFrame& frame) {
    if (frame.has_caught_up()) ++ready_;
    if (frame.has_session_end()) Fail(absl::AbortedError("the server ended a stream"));
    if (!frame.has_answer()) return;
    const auto& answer = frame.answer();
    const auto found = sent_.find(answer.call_id());
    if (found == sent_.end()) {
      ++duplicated_;
      return;
    }
    if (found->second.device != place || answer.failure().reason() != kReason) ++corrupted_;
    uint64_t& newest = devices_[place]->newest_answer;
    if (answer.call_id() < newest) ++reordered_;
    newest = answer.call_id();
    if (measuring_) {
      latency_.Record(std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() -
                                                                            found->second.at)
                          .count());
    }
    sent_.erase(found);
    // The other of the two, as a message's receiver does.
    if (!finishing_) Send(place ^ 1);
  }

  const Target& target_;
  const PairsOptions& options_;
  Outcome* const outcome_;
  Progress progress_;
  std::unique_ptr<Crowd> crowd_;
  std::atomic<size_t> ready_{0};

  // The loop's.
  struct Sent {
    size_t device = 0;
    steady_clock::time_point at;
  };
  std::unordered_map<uint64_t, Sent> sent_;
  uint64_t last_call_ = 0;
  bool measuring_ = false;
  bool finishing_ = false;
  bool closing_ = false;
  int64_t duplicated_ = 0;
  int64_t reordered_ = 0;
  int64_t corrupted_ = 0;
  Histogram latency_;
  absl::Status failure_;

  // Last: they call back until they are gone.
  std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace

Outcome MeasureEcho(const Target& target, const PairsOptions& options) {
  Outcome outcome{.scenario = "echo", .counted = "round trips"};
  outcome.failure = Echo(target, options, &outcome).Run();
  return outcome;
}

}  // namespace im::bench
