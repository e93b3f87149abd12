#include "bench/online.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/crowd.h"
#include "bench/lean_client.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "im/chat/v1/messages.grpc.pb.h"

namespace im::bench {

using chat::v1::MessageService;
using gateway::v1::ServerFrame;
using std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kReturnLimit(60);
constexpr std::chrono::milliseconds kLook(2);

// A device, with what it knows; the loop's own but for the atomics.
class Client : public LeanClient::Listener {
 public:
  // `caught_up` counts those who have.
  Client(ClientLoop* loop, const Person& person, std::atomic<size_t>* caught_up)
      : loop_(loop), person_(person), all_caught_up_(caught_up) {}

  void Connect() {
    gateway::v1::Hello hello = LeanClient::Nothing();
    if (epoch_ != 0) {
      auto* have = hello.mutable_have();
      have->set_only_listed(false);
      have->set_epoch(epoch_);
      have->set_own_log_position(own_log_position_);
      if (conversation_id_ != 0) {
        auto* one = have->add_conversations();
        one->set_conversation_id(conversation_id_);
        one->set_seq(seq_);
      }
    }
    caught_up_ = false;
    stream_ = std::make_unique<LeanClient>(loop_, person_.token, this, std::move(hello));
  }
  void Disconnect() { stream_.reset(); }
  // The loop's.
  void Expect(int64_t conversation_id, int64_t seq) {
    conversation_id_ = conversation_id;
    seq_ = seq;
  }

  void OnFrame(const ServerFrame& frame) override {
    if (frame.has_welcome()) epoch_ = frame.welcome().epoch();
    if (frame.has_chat() && frame.chat().has_entry()) {
      const chat::v1::Entry& entry = frame.chat().entry();
      if (entry.conversation_id() != conversation_id_) return;
      if (entry.seq() == seq_ + 1) {
        ++received_;
        seq_ = entry.seq();
      } else if (entry.seq() > seq_) {
        ++missed_;
      }
    }
    if (frame.has_caught_up()) {
      own_log_position_ = frame.caught_up().own_log_position();
      caught_up_at_ = steady_clock::now();
      caught_up_ = true;
      ++*all_caught_up_;
    }
    if (frame.has_resync()) ++errors_;
    if (frame.has_session_end()) ++errors_;
  }
  void OnClosed(const absl::Status& status) override {
    ++errors_;
    failure_ = status.ok() ? absl::UnavailableError("a stream ended") : status;
  }

  const Person& person() const { return person_; }
  // The loop's.
  const absl::Status& failure() const { return failure_; }
  bool caught_up() const { return caught_up_.load(); }
  int errors() const { return errors_.load(); }
  steady_clock::time_point caught_up_at() const { return caught_up_at_; }
  int received() const { return received_.load(); }
  int missed() const { return missed_.load(); }

 private:
  ClientLoop* const loop_;
  const Person& person_;
  std::atomic<size_t>* const all_caught_up_;
  int64_t epoch_ = 0;
  int64_t own_log_position_ = 0;
  int64_t conversation_id_ = 0;
  int64_t seq_ = 0;
  steady_clock::time_point caught_up_at_;
  absl::Status failure_;
  std::atomic<int> received_{0};
  std::atomic<int> missed_{0};
  std::atomic<int> errors_{0};
  std::atomic<bool> caught_up_{false};
  std::unique_ptr<LeanClient> stream_;
};

// Clients who are to be connected, and are.
class Online {
 public:
  Online(const Target& target, int clients) : target(target), count_(clients) {}

  absl::Status Gather(const std::string& name) {
    IM_ASSIGN_OR_RETURN(crowd, Crowd::Gather(target, name, count_, &progress));
    for (size_t i = 0; i < crowd->size(); ++i) {
      clients.push_back(std::make_unique<Client>(crowd->loop(), (*crowd)[i], &caught_up_));
    }
    return absl::OkStatus();
  }

  absl::Status Connect() {
    return OpenStreams(
        clients.size(), &progress, [this](size_t i) { clients[i]->Connect(); },
        [this] { return caught_up_.load(); }, [this] { return Failure(); });
  }

  // Of the first that has failed.
  absl::Status Failure() {
    absl::Status failure;
    if (std::any_of(clients.begin(), clients.end(),
                    [](const auto& client) { return client->errors() > 0; })) {
      crowd->loop()->Do([&] {
        for (const auto& client : clients) {
          if (failure.ok()) failure = client->failure();
        }
      });
      if (failure.ok()) return absl::AbortedError("the server ended streams");
    }
    return failure;
  }

  const Target& target;
  Progress progress;
  std::unique_ptr<Crowd> crowd;
  std::vector<std::unique_ptr<Client>> clients;

 private:
  const int count_;
  std::atomic<size_t> caught_up_{0};
};

absl::Status Idle(Online* online, const IdleOptions& options, Outcome* outcome) {
  IM_RETURN_IF_ERROR(online->Gather("idle"));
  const ProcessUses before = LookAtProcesses(online->target);
  const auto from = steady_clock::now();
  IM_RETURN_IF_ERROR(online->Connect());
  outcome->per_second =
      options.clients / std::chrono::duration<double>(steady_clock::now() - from).count();
  Measure(
      online->target, options.seconds, &online->progress, [](bool) {}, [] { return true; },
      outcome);
  for (const auto& client : online->clients) outcome->lost += client->errors();
  const ProcessUses after = LookAtProcesses(online->target);
  const auto of = [](const ProcessUses& uses) {
    const auto found = uses.find("gateway");
    return found == uses.end() ? 0 : found->second.rss_bytes;
  };
  const double each = static_cast<double>(of(after) - of(before)) / options.clients;
  outcome->more.Add("clients", options.clients).Add("rss_bytes_per_client", each);
  outcome->more_text = absl::StrFormat("%d clients, %.0f bytes of the gateway's memory for each\n",
                                       options.clients, each);
  return absl::OkStatus();
}

class Storm {
 public:
  Storm(Online* online, const StormOptions& options, Outcome* outcome)
      : online_(online), options_(options), outcome_(outcome) {}

  absl::Status Run() {
    IM_RETURN_IF_ERROR(online_->Gather("storm"));
    conversations_.resize(online_->clients.size() / 2);
    IM_RETURN_IF_ERROR(OpenDirects(online_->crowd.get(), &online_->progress, &conversations_));
    IM_RETURN_IF_ERROR(SendToAll(0));
    IM_RETURN_IF_ERROR(online_->Connect());
    online_->crowd->loop()->Do([this] {
      for (size_t i = 0; i < online_->clients.size(); ++i) {
        online_->clients[i]->Expect(conversations_[i / 2], 1);
      }
    });
    const ProcessUses before = LookAtProcesses(online_->target);
    cut_ = steady_clock::now();
    online_->crowd->loop()->Do([this] {
      for (const auto& client : online_->clients) client->Disconnect();
    });
    online_->progress.Begin("coming back", static_cast<int64_t>(online_->clients.size()));
    // A message for each two is stored while they come.
    std::thread reconnect([this] { ComeBack(); });
    const absl::Status sent = SendToAll(1);
    reconnect.join();
    IM_RETURN_IF_ERROR(sent);
    AwaitAll();
    outcome_->seconds = std::chrono::duration<double>(steady_clock::now() - cut_).count();
    outcome_->processes = Between(before, LookAtProcesses(online_->target), outcome_->seconds);
    return Judge();
  }

 private:
  // Into every conversation, by one of its two.
  absl::Status SendToAll(size_t sender) {
    return CallAll(conversations_.size(), &online_->progress,
                   [&](size_t i, std::function<void(absl::Status)> done) {
                     chat::v1::SendMessageRequest request;
                     request.set_conversation_id(conversations_[i]);
                     request.set_request_id(RandomBytes(16));
                     request.mutable_content()->mutable_text()->set_body("message of a storm");
                     online_->crowd->channel().Call<MessageService>(
                         &MessageService::Stub::async::SendMessage, request,
                         online_->clients[2 * i + sender]->person().token,
                         [done](const absl::StatusOr<chat::v1::SendMessageResponse>& sent) {
                           done(sent.status());
                         });
                   });
  }

  // Each when its time has come.
  void ComeBack() {
    std::vector<std::pair<steady_clock::time_point, Client*>> returns;
    for (const auto& client : online_->clients) {
      const double wait = options_.jitter_seconds * RandomBelow(1u << 20) / double(1u << 20);
      returns.emplace_back(cut_ + std::chrono::microseconds(static_cast<int64_t>(wait * 1e6)),
                           client.get());
    }
    std::sort(returns.begin(), returns.end());
    for (const auto& [when, client] : returns) {
      std::this_thread::sleep_until(when);
      client->Connect();
    }
  }

  void AwaitAll() {
    const auto deadline = cut_ + kReturnLimit;
    for (const auto& client : online_->clients) {
      while ((!client->caught_up() || client->received() + client->missed() == 0) &&
             steady_clock::now() < deadline && client->errors() == 0) {
        std::this_thread::sleep_for(kLook);
      }
    }
  }

  absl::Status Judge() {
    int errors = 0;
    int behind = 0;
    online_->crowd->loop()->Do([&] {
      for (const auto& client : online_->clients) {
        errors += client->errors();
        outcome_->lost += client->received() == 1 ? 0 : 1;
        if (!client->caught_up()) {
          ++behind;
          continue;
        }
        outcome_->latency.Record(
            std::chrono::duration_cast<std::chrono::microseconds>(client->caught_up_at() - cut_)
                .count());
      }
    });
    const double last = static_cast<double>(outcome_->latency.max());
    outcome_->per_second = options_.clients / outcome_->seconds;
    outcome_->more.Add("clients", options_.clients)
        .Add("jitter_seconds", options_.jitter_seconds)
        .Add("all_caught_up_ms", last / 1000)
        .Add("errors", errors);
    outcome_->more_text =
        absl::StrFormat("%d clients, all caught up %.1f s after the cut; %d errors\n",
                        options_.clients, last / 1e6, errors);
    IM_RETURN_IF_ERROR(online_->Failure());
    if (behind == 0) return absl::OkStatus();
    return absl::DeadlineExceededError(absl::StrFormat("%d clients did not catch up", behind));
  }

  Online* const online_;
  const StormOptions& options_;
  Outcome* const outcome_;
  // Of each two, in their order.
  std::vector<int64_t> conversations_;
  steady_clock::time_point cut_;
};

}  // namespace

Outcome MeasureIdle(const Target& target, const IdleOptions& options) {
  Outcome outcome{.scenario = "idle", .counted = "connections opened"};
  Online online(target, options.clients);
  outcome.failure = Idle(&online, options, &outcome);
  return outcome;
}

Outcome MeasureStorm(const Target& target, const StormOptions& options) {
  Outcome outcome{.scenario = "storm", .counted = "clients back"};
  Target tried = target;
  tried.resume_tls = options.resume_tls;
  Online online(tried, options.clients / 2 * 2);
  outcome.failure = Storm(&online, options, &outcome).Run();
  return outcome;
}

}  // namespace im::bench
