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
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"

namespace im::bench {

using chat::v1::ConversationService;
using chat::v1::MessageService;
using gateway::v1::ServerFrame;
using std::chrono::steady_clock;

namespace {

constexpr int kOpening = 200;
constexpr size_t kCallsAtOnce = 32;
constexpr std::chrono::seconds kConnectLimit(120);
constexpr std::chrono::seconds kReturnLimit(60);
constexpr std::chrono::milliseconds kLook(2);

// Unary calls, many at once; `one(i, done)` begins the one with that number.
absl::Status CallAll(size_t count, Progress* progress,
                     const std::function<void(size_t, std::function<void(absl::Status)>)>& one) {
  Mutex mu;
  CondVar changed;
  size_t under_way = 0;
  absl::Status failure;
  for (size_t i = 0; i < count; ++i) {
    {
      MutexLock lock(&mu);
      while (under_way >= kCallsAtOnce) changed.Wait(&mu);
      if (!failure.ok()) break;
      ++under_way;
    }
    one(i, [&](const absl::Status& status) {
      MutexLock lock(&mu);
      if (!status.ok()) failure = status;
      --under_way;
      changed.NotifyAll();
    });
    progress->Done(static_cast<int64_t>(i) + 1);
  }
  MutexLock lock(&mu);
  while (under_way > 0) changed.Wait(&mu);
  return failure;
}

// A device, with what it knows; the loop's own but for the atomics.
class Client : public LeanClient::Listener {
 public:
  Client(ClientLoop* loop, const Person& person) : loop_(loop), person_(person) {}

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

class Run {
 public:
  Run(const Target& target, int clients) : target_(target), count_(clients) {}
  ~Run() { clients_.clear(); }

  absl::Status Gather(const std::string& name) {
    IM_ASSIGN_OR_RETURN(crowd_, Crowd::Gather(target_, name, count_, &progress_));
    for (size_t i = 0; i < crowd_->size(); ++i) {
      clients_.push_back(std::make_unique<Client>(crowd_->loop(), (*crowd_)[i]));
    }
    return absl::OkStatus();
  }

  absl::Status Connect(size_t first) {
    progress_.Begin("connecting", static_cast<int64_t>(clients_.size()));
    const auto deadline = steady_clock::now() + kConnectLimit;
    for (size_t i = first; i < clients_.size(); ++i) {
      clients_[i]->Connect();
      progress_.Done(static_cast<int64_t>(i));
      if (i >= first + kOpening) IM_RETURN_IF_ERROR(Await(*clients_[i - kOpening], deadline));
    }
    for (size_t i = first; i < clients_.size(); ++i) {
      IM_RETURN_IF_ERROR(Await(*clients_[i], deadline));
    }
    return absl::OkStatus();
  }

  static absl::Status Await(const Client& client, steady_clock::time_point deadline) {
    while (!client.caught_up()) {
      if (client.errors() > 0) return absl::UnavailableError("a stream ended");
      if (steady_clock::now() > deadline) return absl::DeadlineExceededError("not caught up");
      std::this_thread::sleep_for(kLook);
    }
    return absl::OkStatus();
  }

  const Target& target_;
  const int count_;
  Progress progress_;
  std::unique_ptr<Crowd> crowd_;
  std::vector<std::unique_ptr<Client>> clients_;
};

absl::Status Idle(Run* run, const IdleOptions& options, Outcome* outcome) {
  IM_RETURN_IF_ERROR(run->Gather("idle"));
  const ProcessUses before = LookAtProcesses(run->target_);
  const auto from = steady_clock::now();
  IM_RETURN_IF_ERROR(run->Connect(0));
  outcome->per_second =
      options.clients / std::chrono::duration<double>(steady_clock::now() - from).count();
  Measure(
      run->target_, options.seconds, &run->progress_, [](bool) {}, [] { return true; }, outcome);
  for (const auto& client : run->clients_) outcome->lost += client->errors();
  const ProcessUses after = LookAtProcesses(run->target_);
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

absl::Status Storm(Run* run, const StormOptions& options, Outcome* outcome) {
  IM_RETURN_IF_ERROR(run->Gather("storm"));
  auto& clients = run->clients_;
  client::Channel& channel = run->crowd_->channel();
  // The conversation of each two, with a first message.
  std::vector<int64_t> conversations(clients.size() / 2);
  const auto send = [&](size_t pair, size_t sender, std::function<void(absl::Status)> done) {
    chat::v1::SendMessageRequest request;
    request.set_conversation_id(conversations[pair]);
    request.set_request_id(RandomBytes(16));
    request.mutable_content()->mutable_text()->set_body("message of a storm");
    channel.Call<MessageService>(
        &MessageService::Stub::async::SendMessage, request, clients[sender]->person().token,
        [done](const absl::StatusOr<chat::v1::SendMessageResponse>& sent) { done(sent.status()); });
  };
  run->progress_.Begin("conversations", static_cast<int64_t>(conversations.size()));
  IM_RETURN_IF_ERROR(CallAll(
      conversations.size(), &run->progress_, [&](size_t i, std::function<void(absl::Status)> done) {
        chat::v1::OpenDirectRequest request;
        request.set_user_id(clients[2 * i + 1]->person().account.user_id);
        channel.Call<ConversationService>(
            &ConversationService::Stub::async::OpenDirect, request, clients[2 * i]->person().token,
            [&, i, done](const absl::StatusOr<chat::v1::OpenDirectResponse>& opened) {
              if (!opened.ok()) return done(opened.status());
              conversations[i] = opened->conversation().conversation_id();
              send(i, 2 * i, done);
            });
      }));
  IM_RETURN_IF_ERROR(run->Connect(0));
  for (size_t i = 0; i < clients.size(); ++i) clients[i]->Expect(conversations[i / 2], 1);

  const ProcessUses before = LookAtProcesses(run->target_);
  const auto cut = steady_clock::now();
  run->crowd_->loop()->Do([&] {
    for (const auto& client : clients) client->Disconnect();
  });
  // Each comes back when its time has come; a message for each two is stored meanwhile.
  std::vector<std::pair<steady_clock::time_point, Client*>> returns;
  for (const auto& client : clients) {
    const double wait = options.jitter_seconds * RandomBelow(1u << 20) / double(1u << 20);
    returns.emplace_back(cut + std::chrono::microseconds(static_cast<int64_t>(wait * 1e6)),
                         client.get());
  }
  std::sort(returns.begin(), returns.end());
  std::thread reconnect([&] {
    for (const auto& [when, client] : returns) {
      std::this_thread::sleep_until(when);
      client->Connect();
    }
  });
  run->progress_.Begin("coming back", static_cast<int64_t>(clients.size()));
  Progress quiet;
  const absl::Status sent =
      CallAll(conversations.size(), &quiet, [&](size_t i, std::function<void(absl::Status)> done) {
        send(i, 2 * i + 1, std::move(done));
      });
  reconnect.join();
  IM_RETURN_IF_ERROR(sent);
  const auto deadline = cut + kReturnLimit;
  for (const auto& client : clients) {
    while ((!client->caught_up() || client->received() + client->missed() == 0) &&
           steady_clock::now() < deadline && client->errors() == 0) {
      std::this_thread::sleep_for(kLook);
    }
  }
  outcome->seconds = std::chrono::duration<double>(steady_clock::now() - cut).count();
  outcome->processes = Between(before, LookAtProcesses(run->target_), outcome->seconds);
  int errors = 0;
  int behind = 0;
  absl::Status failure;
  run->crowd_->loop()->Do([&] {
    for (const auto& client : clients) {
      errors += client->errors();
      outcome->lost += client->received() == 1 ? 0 : 1;
      if (failure.ok()) failure = client->failure();
      if (!client->caught_up()) {
        ++behind;
        continue;
      }
      outcome->latency.Record(
          std::chrono::duration_cast<std::chrono::microseconds>(client->caught_up_at() - cut)
              .count());
    }
  });
  outcome->per_second = options.clients / outcome->seconds;
  outcome->more.Add("clients", options.clients)
      .Add("jitter_seconds", options.jitter_seconds)
      .Add("all_caught_up_ms", static_cast<double>(outcome->latency.max()) / 1000)
      .Add("errors", errors);
  outcome->more_text =
      absl::StrFormat("%d clients, all caught up %.1f s after the cut; %d errors\n",
                      options.clients, static_cast<double>(outcome->latency.max()) / 1e6, errors);
  if (behind > 0) {
    return absl::DeadlineExceededError(absl::StrFormat("%d clients did not catch up", behind));
  }
  if (errors > 0 && failure.ok()) return absl::AbortedError("the server ended streams");
  return failure;
}

}  // namespace

Outcome MeasureIdle(const Target& target, const IdleOptions& options) {
  Outcome outcome{.scenario = "idle", .counted = "connections opened"};
  Run run(target, options.clients);
  outcome.failure = Idle(&run, options, &outcome);
  return outcome;
}

Outcome MeasureStorm(const Target& target, const StormOptions& options) {
  Outcome outcome{.scenario = "storm", .counted = "clients back"};
  Run run(target, options.clients / 2 * 2);
  outcome.failure = Storm(&run, options, &outcome);
  return outcome;
}

}  // namespace im::bench
