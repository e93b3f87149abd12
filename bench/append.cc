#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "bench/crowd.h"
#include "bench/messages.h"
#include "bench/parts.h"
#include "common/base/error.h"
#include "common/bus/link_server.h"
#include "services/chat/publisher.h"
#include "services/chat/send_request.h"
#include "services/chat/writer.h"

namespace im::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kAnswerLimit(30);
constexpr std::chrono::milliseconds kLook(5);

// im-chat's own, without gateways: events are made and go nowhere.
struct Store {
  Store(const std::string& database_url, int count)
      : links({.authenticate = {}, .ready = [] { return false; }}),
        publisher(&links),
        epoch([](int64_t) {}),
        writers(count, {.database_url = database_url}, &publisher, &epoch) {}

  bus::LinkServer links;
  chat::Publisher publisher;
  chat::Epoch epoch;
  chat::Writers writers;
};

// One message at a time: the two people of a conversation in turn.
struct Flow {
  size_t pair = 0;
  // Which of the pair's.
  uint32_t number = 0;
  steady_clock::time_point since;
  // By number of the message; 0: not answered.
  std::vector<int64_t> seqs;
};

class Append {
 public:
  Append(const Target& target, const PairsOptions& options, Outcome* outcome)
      : target_(target), options_(options), outcome_(outcome) {}

  absl::Status Run() {
    if (target_.database_url.empty()) {
      return absl::FailedPreconditionError("the append needs the database: --database");
    }
    IM_ASSIGN_OR_RETURN(const int writers, Writers());
    IM_ASSIGN_OR_RETURN(crowd_, Crowd::Gather(target_, "append", 2 * options_.pairs, &progress_));
    IM_RETURN_IF_ERROR(Open());
    store_ = std::make_unique<Store>(target_.database_url, writers);
    loop().Do([this] {
      for (Flow& flow : flows_) Send(&flow);
    });
    Measure(
        target_, options_.seconds, &progress_,
        [this](bool on) { loop().Do([&] { measuring_ = on; }); }, [this] { return Failure().ok(); },
        outcome_);
    loop().Do([this] { finishing_ = true; });
    const auto deadline = steady_clock::now() + kAnswerLimit;
    for (size_t in_flight = 1; in_flight > 0 && steady_clock::now() < deadline;) {
      std::this_thread::sleep_for(kLook);
      loop().Do([&] { in_flight = in_flight_; });
    }
    store_ = nullptr;
    loop().Do([this] { outcome_->latency = latency_; });
    outcome_->per_second = static_cast<double>(outcome_->latency.count()) / outcome_->seconds;
    outcome_->more.Add("pairs", options_.pairs)
        .Add("window", options_.window)
        .Add("writers", writers);
    outcome_->more_text = absl::StrFormat("%d conversations, window %d, %d writers\n",
                                          options_.pairs, options_.window, writers);
    IM_RETURN_IF_ERROR(Judge());
    return Failure();
  }

 private:
  ClientLoop& loop() { return *crowd_->loop(); }

  // As many as im-chat has.
  absl::StatusOr<int> Writers() const {
    IM_ASSIGN_OR_RETURN(const std::string setting, SettingOf(target_, "chat", "writers.count"));
    int count = 0;
    if (!setting.empty() && !absl::SimpleAtoi(setting, &count)) {
      return absl::InvalidArgumentError("writers.count is no number: " + setting);
    }
    return chat::WriterCount(count);
  }

  absl::Status Failure() {
    absl::Status failure;
    loop().Do([&] { failure = failure_; });
    return failure;
  }

  absl::Status Open() {
    conversations_.resize(static_cast<size_t>(options_.pairs));
    for (size_t i = 0; i < conversations_.size(); ++i) {
      for (int j = 0; j < options_.window; ++j) {
        flows_.push_back({.pair = i, .number = static_cast<uint32_t>(j)});
      }
    }
    return OpenDirects(crowd_.get(), &progress_, &conversations_);
  }

  void Send(Flow* flow) {
    const auto number = static_cast<uint32_t>(flow->seqs.size());
    chat::v1::SendMessageRequest request;
    FillMessage({static_cast<uint32_t>(flow->pair), flow->number, number},
                conversations_[flow->pair], &request);
    flow->since = steady_clock::now();
    flow->seqs.push_back(0);
    ++in_flight_;
    auto item = chat::ParseSendRequest(request.SerializeAsString());
    if (!item.ok()) return Answered(flow, item.status());
    item->sender = (*crowd_)[2 * flow->pair + (flow->number + number) % 2].account.user_id;
    item->done = [this, flow](absl::StatusOr<chat::Entry> entry) {
      const absl::StatusOr<int64_t> seq =
          entry.ok() ? absl::StatusOr<int64_t>(entry->seq) : entry.status();
      loop().Post([this, flow, seq] { Answered(flow, seq); });
    };
    store_->writers.Submit(*std::move(item));
  }

  void Answered(Flow* flow, const absl::StatusOr<int64_t>& seq) {
    --in_flight_;
    if (!seq.ok()) {
      failure_ = seq.status();
      return;
    }
    flow->seqs.back() = *seq;
    if (measuring_) {
      latency_.Record(
          std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - flow->since)
              .count());
    }
    if (!finishing_) Send(flow);
  }

  absl::Status Judge() {
    progress_.Begin("checking", options_.pairs);
    for (size_t i = 0; i < conversations_.size(); ++i) {
      const auto pair = static_cast<uint32_t>(i);
      IM_ASSIGN_OR_RETURN(
          const StoredMessages stored,
          ReadMessages(&crowd_->channel(), (*crowd_)[2 * i].token, conversations_[i], pair));
      outcome_->lost += stored.lost;
      outcome_->duplicated += stored.duplicated;
      outcome_->corrupted += stored.corrupted;
      outcome_->messages += static_cast<int64_t>(stored.seqs.size());
      for (int j = 0; j < options_.window; ++j)
        Compare(stored, flows_[i * static_cast<size_t>(options_.window) + static_cast<size_t>(j)]);
      progress_.Done(static_cast<int64_t>(i) + 1);
    }
    return absl::OkStatus();
  }

  void Compare(const StoredMessages& stored, const Flow& flow) {
    NewestSeq newest;
    for (uint32_t i = 0; i < flow.seqs.size(); ++i) {
      const int64_t seq = stored.SeqOf(flow.number, i);
      if (seq == 0 || flow.seqs[i] == 0) {
        ++outcome_->lost;
      } else if (seq != flow.seqs[i]) {
        ++outcome_->duplicated;
      } else if (!newest.Rises(seq)) {
        ++outcome_->reordered;
      }
    }
  }

  const Target& target_;
  const PairsOptions& options_;
  Outcome* const outcome_;
  Progress progress_;
  std::unique_ptr<Crowd> crowd_;
  std::vector<int64_t> conversations_;

  // The loop's once it runs. Flows stay where they are: the writers know them.
  std::vector<Flow> flows_;
  size_t in_flight_ = 0;
  bool measuring_ = false;
  bool finishing_ = false;
  Histogram latency_;
  absl::Status failure_;

  // Last: it answers until it is gone.
  std::unique_ptr<Store> store_;
};

}  // namespace

Outcome MeasureAppend(const Target& target, const PairsOptions& options) {
  Outcome outcome{.scenario = "append", .counted = "messages stored"};
  outcome.failure = Append(target, options, &outcome).Run();
  return outcome;
}

}  // namespace im::bench
