#include "bench/history.h"

#include <chrono>
#include <random>

#include "absl/strings/str_cat.h"
#include "bench/crowd.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"

namespace im::bench {

using chat::v1::ConversationService;
using chat::v1::MessageService;
using std::chrono::steady_clock;

namespace {

constexpr int kPage = 50;

class Reader {
 public:
  Reader(const Target& target, const HistoryOptions& options, Outcome* outcome)
      : target_(target), options_(options), outcome_(outcome) {}

  absl::Status Run() {
    if (target_.database_url.empty()) {
      return absl::FailedPreconditionError("messages are seeded: --database");
    }
    IM_ASSIGN_OR_RETURN(crowd_, Crowd::Gather(target_, "history", 1, &progress_));
    double pages = 0;
    double seconds = 0;
    for (const int64_t count : options_.messages) {
      IM_ASSIGN_OR_RETURN(const int64_t conversation_id, Fill(count));
      Histogram newest, by_key;
      IM_RETURN_IF_ERROR(Read(conversation_id, count, false, &newest));
      seconds += outcome_->seconds;
      IM_RETURN_IF_ERROR(Read(conversation_id, count, true, &by_key));
      seconds += outcome_->seconds;
      pages += static_cast<double>(newest.count() + by_key.count());
      outcome_->latency.Add(newest);
      outcome_->latency.Add(by_key);
      Add(absl::StrCat(count, "_newest"), newest);
      Add(absl::StrCat(count, "_by_key"), by_key);
    }
    outcome_->seconds = seconds;
    outcome_->per_second = pages / seconds;
    outcome_->more.Add("pages_ms", figures_);
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<int64_t> Fill(int64_t count) {
    chat::v1::CreateGroupRequest create;
    create.set_request_id(RandomBytes(16));
    create.set_title(absl::StrCat("History of ", count));
    const auto created =
        crowd_->channel().Call(&ConversationService::Stub::CreateGroup, create, (*crowd_)[0].token);
    if (!created.ok()) return created.status();
    const int64_t id = created->conversation().conversation_id();
    progress_.Begin("messages", count);
    int64_t done = 0;
    IM_RETURN_IF_ERROR(SeedMessages(target_.database_url, {id}, count,
                                    [&](int64_t more) { progress_.Done(done += more); }));
    IM_RETURN_IF_ERROR(Vacuum(target_.database_url));
    return id;
  }

  absl::Status Read(int64_t conversation_id, int64_t count, bool by_key, Histogram* latency) {
    std::mt19937_64 random(1);
    absl::Status failure;
    bool measuring = false;
    const auto one = [&] {
      chat::v1::ListEntriesRequest request;
      request.set_conversation_id(conversation_id);
      request.set_page_size(kPage);
      if (by_key) {
        request.set_after_seq(
            static_cast<int64_t>(random() % static_cast<uint64_t>(count - kPage)));
      }
      const auto begun = steady_clock::now();
      const auto page =
          crowd_->channel().Call(&MessageService::Stub::ListEntries, request, (*crowd_)[0].token);
      const auto took =
          std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - begun);
      if (!page.ok()) {
        failure = page.status();
        return false;
      }
      // The group's making is the first.
      int64_t seq = by_key ? request.after_seq() : count + 1 - kPage;
      if (page->entries_size() != kPage) ++outcome_->lost;
      for (const auto& entry : page->entries()) {
        if (entry.seq() != ++seq) ++outcome_->lost;
      }
      if (measuring) latency->Record(took.count());
      return true;
    };
    // Reads on the thread that measures: between its looks nothing else is to be done.
    Measure(
        target_, options_.seconds, &progress_, [&](bool on) { measuring = on; },
        [&] {
          const auto until = steady_clock::now() + std::chrono::milliseconds(50);
          while (steady_clock::now() < until) {
            if (!one()) return false;
          }
          return true;
        },
        outcome_, std::chrono::milliseconds(0));
    return failure;
  }

  void Add(const std::string& name, const Histogram& latency) {
    figures_.Add(name, LatencyJson(latency));
    absl::StrAppend(&outcome_->more_text, name, ", ms: ", LatencyText(latency), "\n");
  }

  const Target& target_;
  const HistoryOptions& options_;
  Outcome* const outcome_;
  Progress progress_;
  std::unique_ptr<Crowd> crowd_;
  JsonObject figures_;
};

}  // namespace

Outcome MeasureHistory(const Target& target, const HistoryOptions& options) {
  Outcome outcome{.scenario = "history", .counted = "pages of 50"};
  outcome.failure = Reader(target, options, &outcome).Run();
  return outcome;
}

}  // namespace im::bench
