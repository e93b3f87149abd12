#include "bench/fanout.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/crowd.h"
#include "bench/lean_client.h"
#include "bench/request_id.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"

namespace im::bench {

using gateway::v1::ConnectRequest;
using gateway::v1::ServerFrame;
using std::chrono::steady_clock;

namespace {

constexpr size_t kBodyBytes = 100;
constexpr int kAddedAtOnce = 1'000;
constexpr int kPage = 200;
// Streams that are being opened at once.
constexpr int kOpening = 200;
constexpr std::chrono::seconds kConnectLimit(60);
constexpr std::chrono::seconds kLandingLimit(10);
constexpr std::chrono::milliseconds kLook(5);

// What belongs to the loop's thread is not locked: the main thread looks by ClientLoop::Do.
class Run {
 public:
  Run(const Target& target, const FanoutOptions& options) : target_(target), options_(options) {}
  ~Run() {
    receivers_.clear();
    sender_.reset();
  }

  Outcome Go() {
    outcome_.scenario = "fanout";
    outcome_.counted = "deliveries";
    outcome_.failure = Prepare();
    if (outcome_.failure.ok()) Play();
    if (outcome_.failure.ok()) Judge();
    return std::move(outcome_);
  }

 private:
  struct Flight {
    steady_clock::time_point sent;
    int64_t seq = 0;
    int missing = 0;
  };
  class Receiver : public LeanClient::Listener {
   public:
    explicit Receiver(Run* run) : run_(run) {}
    bool OnBytes(std::string_view message) override { return run_->Received(this, message); }
    void OnFrame(const ServerFrame& frame) override { run_->OnFrame(frame); }
    void OnClosed(const absl::Status& status) override { run_->Fail(status); }

    std::unique_ptr<LeanClient> client;
    int64_t last_seq = 0;

   private:
    Run* const run_;
  };
  class Sender : public LeanClient::Listener {
   public:
    explicit Sender(Run* run) : run_(run) {}
    void OnFrame(const ServerFrame& frame) override {
      if (frame.has_answer() && frame.answer().has_failure()) {
        run_->Fail(absl::AbortedError(frame.answer().failure().reason()));
      }
      run_->OnFrame(frame);
    }
    void OnClosed(const absl::Status& status) override { run_->Fail(status); }

    std::unique_ptr<LeanClient> client;

   private:
    Run* const run_;
  };

  absl::Status Prepare() {
    IM_ASSIGN_OR_RETURN(crowd_, Crowd::Gather(target_, "fanout", options_.members + 1, &progress_));
    const std::string& token = (*crowd_)[0].token;
    using chat::v1::ConversationService;
    chat::v1::CreateGroupRequest create;
    create.set_request_id(RandomBytes(16));
    create.set_title("Fan-out");
    const auto created =
        crowd_->channel().Call(&ConversationService::Stub::CreateGroup, create, token);
    if (!created.ok()) return created.status();
    conversation_id_ = created->conversation().conversation_id();
    for (int first = 1; first <= options_.members; first += kAddedAtOnce) {
      chat::v1::AddMembersRequest add;
      add.set_conversation_id(conversation_id_);
      add.set_request_id(RandomBytes(16));
      for (int i = first; i < std::min(first + kAddedAtOnce, options_.members + 1); ++i) {
        add.add_user_ids((*crowd_)[static_cast<size_t>(i)].account.user_id);
      }
      const auto added = crowd_->channel().Call(&ConversationService::Stub::AddMembers, add, token);
      if (!added.ok()) return added.status();
    }
    progress_.Begin("connecting", options_.members);
    sender_ = std::make_unique<Sender>(this);
    sender_->client = std::make_unique<LeanClient>(crowd_->loop(), token, sender_.get());
    const auto deadline = steady_clock::now() + kConnectLimit;
    for (int i = 1; i <= options_.members; ++i) {
      receivers_.push_back(std::make_unique<Receiver>(this));
      Receiver* const receiver = receivers_.back().get();
      receiver->client = std::make_unique<LeanClient>(
          crowd_->loop(), (*crowd_)[static_cast<size_t>(i)].token, receiver);
      progress_.Done(i);
      IM_RETURN_IF_ERROR(AwaitReady(i + 1 - kOpening, deadline));
    }
    return AwaitReady(options_.members + 1, deadline);
  }

  absl::Status AwaitReady(int count, steady_clock::time_point deadline) {
    while (ready_.load() < count) {
      if (steady_clock::now() > deadline) return absl::DeadlineExceededError("not connected");
      if (failed_.load()) return Failure();
      std::this_thread::sleep_for(kLook);
    }
    return absl::OkStatus();
  }

  void Play() {
    crowd_->loop()->Do([this] {
      for (int i = 0; i < options_.window; ++i) Throw();
    });
    Measure(
        target_, options_.seconds, &progress_,
        [this](bool on) { crowd_->loop()->Do([this, on] { measuring_ = on; }); },
        [this] { return !failed_.load(); }, &outcome_);
    crowd_->loop()->Do([this] { finishing_ = true; });
    const auto deadline = steady_clock::now() + kLandingLimit;
    size_t in_flight = 1;
    while (in_flight > 0 && steady_clock::now() < deadline && !failed_.load()) {
      std::this_thread::sleep_for(kLook);
      crowd_->loop()->Do([&] { in_flight = flights_.size(); });
    }
    crowd_->loop()->Do([this] {
      outcome_.latency = latency_;
      for (const auto& [number, flight] : flights_) outcome_.lost += flight.missing;
      closing_ = true;
    });
    outcome_.failure = Failure();
    const auto deliveries = static_cast<double>(measured_);
    outcome_.per_second = deliveries / outcome_.seconds;
    const auto gateway = outcome_.processes.find("gateway");
    const double each = gateway == outcome_.processes.end() || measured_ == 0
                            ? 0
                            : static_cast<double>(gateway->second.cpu.count()) / deliveries;
    outcome_.more.Add("members", options_.members)
        .Add("window", options_.window)
        .Add("cpu_us_per_delivery", each);
    outcome_.more_text =
        absl::StrFormat("%d members, window %d, %.1f us of the gateway's CPU for each\n",
                        options_.members, options_.window, each);
  }

  // The loop's thread from here on.
  void Throw() {
    const uint32_t number = next_++;
    ConnectRequest frame;
    frame.set_call_id(number + 1);
    auto* message = frame.mutable_send_message();
    message->set_conversation_id(conversation_id_);
    message->set_request_id(RequestNumber{.c = number}.ToId());
    message->mutable_content()->mutable_text()->set_body(Body(number));
    flights_[number] = {steady_clock::now(), 0, options_.members};
    sender_->client->Send(frame);
  }

  static std::string Body(uint32_t number) {
    std::string body = absl::StrCat("message ", number, " ");
    body.resize(std::max(body.size(), kBodyBytes), '.');
    return body;
  }

  void OnFrame(const ServerFrame& frame) {
    if (frame.has_caught_up()) ++ready_;
    if (frame.has_resync()) Fail(absl::AbortedError("the server said Resync"));
    if (frame.has_session_end()) Fail(absl::AbortedError("the server ended a stream"));
  }

  // The same bytes come to every receiver: they are read once.
  bool Received(Receiver* receiver, std::string_view message) {
    for (const Seen& seen : seen_) {
      if (seen.bytes == message) return Delivered(receiver, seen.number, seen.seq), true;
    }
    gateway::v1::ConnectResponse response;
    if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) return false;
    const auto& frame = response.frame();
    if (!frame.has_chat() || !frame.chat().has_entry()) return false;
    const chat::v1::Entry& entry = frame.chat().entry();
    if (!entry.has_message()) return true;  // of the group's making
    const auto number = RequestNumber::FromId(entry.request_id());
    if (!number || entry.conversation_id() != conversation_id_ ||
        entry.message().text().body() != Body(number->c)) {
      ++outcome_.corrupted;
      return true;
    }
    seen_.push_front({std::string(message), number->c, entry.seq()});
    if (seen_.size() > 2 * static_cast<size_t>(options_.window)) seen_.pop_back();
    Delivered(receiver, number->c, entry.seq());
    return true;
  }

  void Delivered(Receiver* receiver, uint32_t number, int64_t seq) {
    const auto found = flights_.find(number);
    if (found == flights_.end()) {
      ++outcome_.duplicated;
      return;
    }
    Flight& flight = found->second;
    if (flight.seq == 0) flight.seq = seq;
    if (flight.seq != seq) ++outcome_.duplicated;
    if (seq <= receiver->last_seq) ++outcome_.reordered;
    receiver->last_seq = seq;
    if (measuring_) ++measured_;
    if (--flight.missing > 0) return;
    if (measuring_) {
      latency_.Record(
          std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - flight.sent)
              .count());
    }
    seqs_[number] = flight.seq;
    flights_.erase(found);
    if (!finishing_) Throw();
  }

  void Fail(const absl::Status& status) {
    if (closing_ || failed_.exchange(true)) return;
    failure_ = status.ok() ? absl::UnavailableError("a stream ended") : status;
  }

  // Of the main thread again.
  absl::Status Failure() {
    absl::Status failure;
    crowd_->loop()->Do([&] { failure = failure_; });
    return failure;
  }

  // Reads the group's history back.
  void Judge() {
    progress_.Begin("checking", 0);
    std::map<uint32_t, int64_t> stored;
    chat::v1::ListEntriesRequest request;
    request.set_conversation_id(conversation_id_);
    request.set_page_size(kPage);
    request.set_after_seq(0);
    do {
      const auto page = crowd_->channel().Call(&chat::v1::MessageService::Stub::ListEntries,
                                               request, (*crowd_)[0].token);
      if (!page.ok()) {
        outcome_.failure = page.status();
        return;
      }
      for (const auto& entry : page->entries()) {
        const auto number = RequestNumber::FromId(entry.request_id());
        if (!number) continue;
        if (!stored.emplace(number->c, entry.seq()).second) ++outcome_.duplicated;
      }
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    for (const auto& [number, seq] : seqs_) {
      if (stored.count(number) == 0)
        ++outcome_.lost;
      else if (stored[number] != seq)
        ++outcome_.duplicated;
    }
    outcome_.messages = static_cast<int64_t>(stored.size());
  }

  const Target& target_;
  const FanoutOptions& options_;
  Progress progress_;
  std::unique_ptr<Crowd> crowd_;
  int64_t conversation_id_ = 0;
  std::atomic<int> ready_{0};
  std::atomic<bool> failed_{false};

  // The loop's.
  struct Seen {
    std::string bytes;
    uint32_t number;
    int64_t seq;
  };
  std::deque<Seen> seen_;
  std::map<uint32_t, Flight> flights_;
  std::map<uint32_t, int64_t> seqs_;
  uint32_t next_ = 0;
  bool measuring_ = false;
  bool finishing_ = false;
  bool closing_ = false;
  int64_t measured_ = 0;
  Histogram latency_;
  absl::Status failure_;
  Outcome outcome_;

  std::unique_ptr<Sender> sender_;
  std::vector<std::unique_ptr<Receiver>> receivers_;
};

}  // namespace

Outcome MeasureFanout(const Target& target, const FanoutOptions& options) {
  return Run(target, options).Go();
}

}  // namespace im::bench
