#include "bench/overload.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/crowd.h"
#include "bench/messages.h"
#include "bench/overload_client.h"
#include "bench/progress.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"

namespace im::bench {
namespace {

using std::chrono::steady_clock;

// In flight for each client while what is possible is measured.
constexpr int kWindow = 32;
constexpr std::chrono::seconds kConnectLimit(60);
constexpr std::chrono::seconds kAnswerLimit(30);
constexpr std::chrono::milliseconds kLook(2);
// Unary calls of each kind a second.
constexpr int kProbes = 10;

std::chrono::microseconds Micros(double seconds) {
  return std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
}

class Run {
 public:
  Run(const Target& target, const OverloadOptions& options) : target_(target), options_(options) {}

  OverloadResult Go() {
    result_.failure = Prepare();
    if (result_.failure.ok()) Play();
    clients_.clear();
    return std::move(result_);
  }

 private:
  absl::Status Prepare() {
    IM_ASSIGN_OR_RETURN(crowd_, Crowd::Gather(target_, "overload", options_.clients, &progress_));
    progress_.Begin("connecting", options_.clients);
    for (size_t i = 0; i < crowd_->size(); ++i) {
      chat::v1::OpenDirectRequest open;
      open.set_user_id((*crowd_)[(i + 1) % crowd_->size()].account.user_id);
      const auto opened = crowd_->channel().Call(&chat::v1::ConversationService::Stub::OpenDirect,
                                                 open, (*crowd_)[i].token);
      if (!opened.ok()) return opened.status();
      clients_.push_back(std::make_unique<OverloadClient>(
          static_cast<uint32_t>(i), crowd_->loop(), (*crowd_)[i].token,
          opened->conversation().conversation_id()));
      progress_.Done(static_cast<int64_t>(i) + 1);
    }
    const auto deadline = steady_clock::now() + kConnectLimit;
    for (const auto& client : clients_) {
      while (!client->ready()) {
        if (steady_clock::now() > deadline) return absl::DeadlineExceededError("not connected");
        std::this_thread::sleep_for(kLook);
      }
    }
    return absl::OkStatus();
  }

  OverloadClient::Counts Take() {
    OverloadClient::Counts sum;
    for (const auto& client : clients_) {
      const OverloadClient::Counts one = client->Take();
      sum.sent += one.sent;
      sum.acknowledged += one.acknowledged;
      sum.refused += one.refused;
      sum.untyped += one.untyped;
      sum.accepted_latency.Add(one.accepted_latency);
      sum.refused_latency.Add(one.refused_latency);
      if (sum.failure.ok()) sum.failure = one.failure;
    }
    return sum;
  }

  size_t AwaitAnswers() {
    const auto deadline = steady_clock::now() + kAnswerLimit;
    for (;;) {
      size_t waiting = 0;
      for (const auto& client : clients_) waiting += client->waiting();
      if (waiting == 0 || steady_clock::now() > deadline) return waiting;
      std::this_thread::sleep_for(kLook);
    }
  }

  // The median of single messages, one at a time; nothing if one was refused.
  std::optional<int64_t> Ping(int count) {
    Take();
    for (int i = 0; i < count; ++i) {
      clients_[static_cast<size_t>(i) % clients_.size()]->Send(steady_clock::now());
      if (AwaitAnswers() > 0) return std::nullopt;
    }
    const OverloadClient::Counts counts = Take();
    if (counts.refused > 0) return std::nullopt;
    return counts.accepted_latency.Quantile(0.5);
  }

  void Play() {
    Ping(3);
    const int64_t before = Ping(10).value_or(0);
    MeasurePossible();
    if (options_.on_overload) options_.on_overload(true);
    Overload();
    if (options_.on_overload) options_.on_overload(false);
    const auto over = steady_clock::now();
    // As soon as the last answer is there. Twice as long, and a little: a machine has its moods.
    while (true) {
      const std::optional<int64_t> after = Ping(5);
      if (after && *after <= 2 * before + 2'000) break;
      if (steady_clock::now() - over > kAnswerLimit) break;
    }
    result_.recovery_ms =
        std::chrono::duration<double, std::milli>(steady_clock::now() - over).count();
    Judge();
  }

  void MeasurePossible() {
    const double seconds = options_.seconds / 3;
    progress_.Begin("what is possible", 0);
    Take();
    for (const auto& client : clients_) client->Loop(kWindow);
    std::this_thread::sleep_for(Micros(seconds / 3));
    Take();
    const auto from = steady_clock::now();
    std::this_thread::sleep_for(Micros(seconds));
    const OverloadClient::Counts counts = Take();
    result_.possible = static_cast<double>(counts.acknowledged) /
                       std::chrono::duration<double>(steady_clock::now() - from).count();
    for (const auto& client : clients_) client->Loop(0);
    AwaitAnswers();
    Take();
  }

  // Each kind of unary call at its own pace, whatever becomes of it.
  void Probe(const std::string& kind, const std::function<absl::Status()>& call) {
    while (!over_.load()) {
      const auto from = steady_clock::now();
      const absl::Status status = call();
      const auto took = steady_clock::now() - from;
      {
        MutexLock lock(&mu_);
        result_.unary_latency.Record(
            std::chrono::duration_cast<std::chrono::microseconds>(took).count());
        const auto reason = ReasonOf(status);
        ++result_.unary[kind + " " +
                        (status.ok() ? "OK"
                         : reason    ? std::string(ReasonName(*reason))
                                     : status.ToString())];
      }
      std::this_thread::sleep_until(from + Micros(1.0 / kProbes));
    }
  }

  void Overload() {
    progress_.Begin("overload", static_cast<int64_t>(options_.seconds));
    std::vector<std::thread> probes;
    probes.emplace_back([this] {
      Probe("list", [this] {
        return crowd_->channel()
            .Call(&chat::v1::ConversationService::Stub::ListConversations,
                  chat::v1::ListConversationsRequest(), (*crowd_)[0].token)
            .status();
      });
    });
    probes.emplace_back([this] {
      Probe("send", [this] {
        chat::v1::SendMessageRequest request;
        request.set_conversation_id(clients_[0]->conversation_id());
        request.set_request_id(RandomBytes(16));
        request.mutable_content()->mutable_text()->set_body("unary");
        return crowd_->channel()
            .Call(&chat::v1::MessageService::Stub::SendMessage, request, (*crowd_)[0].token)
            .status();
      });
    });
    const double rate = result_.possible * options_.times;
    const ProcessUses before = LookAtProcesses(target_);
    const auto from = steady_clock::now();
    const auto end = from + Micros(options_.seconds);
    int64_t count = 0;
    for (auto now = from; now < end; now = steady_clock::now()) {
      const double elapsed = std::chrono::duration<double>(now - from).count();
      const auto due = static_cast<int64_t>(elapsed * rate);
      // On the loop, where sending costs least.
      crowd_->loop()->Post([this, from, rate, due, count]() mutable {
        for (; count < due; ++count) {
          clients_[static_cast<size_t>(count) % clients_.size()]->Send(
              from + Micros(static_cast<double>(count) / rate));
        }
      });
      count = due;
      progress_.Done(static_cast<int64_t>(elapsed));
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    // All of them are sent.
    crowd_->loop()->Do([] {});
    over_.store(true);
    const auto since = [from] {
      return std::chrono::duration<double>(steady_clock::now() - from).count();
    };
    const double loaded = since();
    // What was queued is served after the load: it counts, and so does the time that it took.
    result_.unanswered = static_cast<int64_t>(AwaitAnswers());
    const double seconds = since();
    const ProcessUses after = LookAtProcesses(target_);
    for (std::thread& probe : probes) probe.join();
    const OverloadClient::Counts counts = Take();
    result_.offered = static_cast<double>(counts.sent) / loaded;
    result_.per_second = static_cast<double>(counts.acknowledged) / seconds;
    result_.seconds = seconds;
    result_.processes = Between(before, after, seconds);
    result_.sent = counts.sent;
    result_.messages = counts.acknowledged;
    result_.refused = counts.refused;
    result_.untyped = counts.untyped;
    result_.latency = counts.accepted_latency;
    result_.refused_latency = counts.refused_latency;
    result_.failure = counts.failure;
  }

  // Reads every conversation back: what was acknowledged is there, once, where it was said to be.
  void Judge() {
    progress_.Begin("checking", options_.clients);
    for (size_t i = 0; i < clients_.size(); ++i) {
      std::map<int64_t, std::string> stored;
      std::multiset<std::string> ids;
      const absl::Status read =
          ReadBack(&crowd_->channel(), (*crowd_)[i].token, clients_[i]->conversation_id(), 0,
                   [&](const chat::v1::Entry& entry) {
                     stored[entry.seq()] = entry.request_id();
                     ids.insert(entry.request_id());
                   });
      if (!read.ok()) {
        result_.failure = read;
        return;
      }
      for (const auto& [id, seq] : clients_[i]->Acknowledged()) {
        const auto found = stored.find(seq);
        if (found == stored.end() || found->second != id) ++result_.lost;
        if (ids.count(id) > 1) ++result_.duplicated;
      }
      progress_.Done(static_cast<int64_t>(i) + 1);
    }
  }

  const Target& target_;
  const OverloadOptions& options_;
  Progress progress_;
  std::unique_ptr<Crowd> crowd_;
  std::vector<std::unique_ptr<OverloadClient>> clients_;
  std::atomic<bool> over_{false};
  Mutex mu_;  // of the unary figures
  OverloadResult result_;
};

void Describe(const OverloadOptions& options, OverloadResult* result) {
  JsonObject unary;
  for (const auto& [what, count] : result->unary) unary.Add(what, count);
  result->scenario = "overload";
  result->counted = "messages accepted";
  result->more.Add("clients", options.clients)
      .Add("times", options.times)
      .Add("possible_per_second", result->possible)
      .Add("offered_per_second", result->offered)
      .Add("refused_ms", LatencyJson(result->refused_latency))
      .Add("unary_ms", LatencyJson(result->unary_latency))
      .Add("unary", unary)
      .Add("sent", result->sent)
      .Add("refused", result->refused)
      .Add("untyped", result->untyped)
      .Add("unanswered", result->unanswered)
      .Add("recovery_ms", result->recovery_ms);
  std::string& text = result->more_text;
  text = absl::StrFormat(
      "%d clients: %.0f messages/s are possible, %.0f/s were sent\nrefused, ms: %s\nunary, ms: "
      "%s\n",
      options.clients, result->possible, result->offered, LatencyText(result->refused_latency),
      LatencyText(result->unary_latency));
  for (const auto& [what, count] : result->unary) absl::StrAppend(&text, "  ", what, ": ", count);
  absl::StrAppendFormat(&text,
                        "\nacknowledged %d, refused %d (untyped %d), unanswered %d\nas before %.0f "
                        "ms after the end\n",
                        result->messages, result->refused, result->untyped, result->unanswered,
                        result->recovery_ms);
  if (result->failure.ok() && result->untyped + result->unanswered > 0) {
    result->failure =
        absl::AbortedError("messages were refused without a time to wait, or never answered");
  }
}

}  // namespace

OverloadResult MeasureOverload(const Target& target, const OverloadOptions& options) {
  OverloadResult result = Run(target, options).Go();
  Describe(options, &result);
  return result;
}

}  // namespace im::bench
