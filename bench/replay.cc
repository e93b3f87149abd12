#include "bench/replay.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/accounts.h"
#include "bench/member.h"
#include "bench/progress.h"
#include "client/timers.h"
#include "common/base/random.h"
#include "common/base/text.h"
#include "im/chat/v1/conversations.grpc.pb.h"

namespace im::bench {
namespace {

using chat::v1::ConversationService;
using std::chrono::steady_clock;

// Without a new arrival for this long, what is missing will not come: longer than any back-off.
constexpr std::chrono::seconds kPatience(30);
constexpr std::chrono::milliseconds kLook(10);
// Readers of history at a time.
constexpr int kReaders = 4;
constexpr size_t kLongestDisplayName = 64;

class Run {
 public:
  Run(const Script& script, const Target& target, const ReplayOptions& options)
      : script_(script),
        target_(target),
        options_(options),
        deadline_(steady_clock::now() +
                  std::chrono::milliseconds(static_cast<int64_t>(options.timeout_seconds * 1000))) {
  }

  ReplayResult Go() {
    result_.failure = Prepare();
    if (result_.failure.ok()) {
      const auto began = steady_clock::now();
      result_.failure = Play();
      if (result_.failure.ok()) result_.failure = AwaitArrivals();
      result_.seconds = std::chrono::duration<double>(steady_clock::now() - began).count();
      Judge();
    }
    return std::move(result_);
  }

 private:
  absl::Status Prepare() {
    progress_.Begin("accounts", 0);
    const std::string run = RandomHex(4);
    std::vector<NewAccount> wanted = {{absl::StrCat("replay-", run, "-host"), "host"}};
    for (const std::string& nick : script_.speakers) {
      const auto length = CountCharacters(nick);
      wanted.push_back({absl::StrCat("replay-", run, "-", wanted.size()),
                        length && *length <= kLongestDisplayName ? nick : ""});
    }
    auto accounts = MakeAccounts(target_, wanted);
    if (!accounts.ok()) return accounts.status();
    for (const Account& account : *accounts) {
      auto member = Member::Connect(target_.address, account, &timers_);
      if (!member.ok()) return member.status();
      members_.push_back(*std::move(member));
    }
    stays_.resize(members_.size());
    result_.speakers = static_cast<int64_t>(script_.speakers.size());
    progress_.Begin("connecting", static_cast<int64_t>(members_.size()));
    for (;;) {
      int64_t live = 0;
      for (const auto& member : members_) {
        if (!member->ended().ok()) return member->ended();
        live += member->live();
      }
      progress_.Done(live);
      if (live == static_cast<int64_t>(members_.size())) return absl::OkStatus();
      if (steady_clock::now() >= deadline_) {
        return absl::DeadlineExceededError("not all clients could connect in time");
      }
      std::this_thread::sleep_for(kLook);
    }
  }

  Member& host() { return *members_.front(); }

  absl::Status Play() {
    chat::v1::CreateGroupRequest create;
    create.set_request_id(RandomBytes(16));
    create.set_title("Replay");
    const auto created = host().Call(&ConversationService::Stub::CreateGroup, create, deadline_);
    if (!created.ok()) return created.status();
    group_ = created->conversation().conversation_id();
    stays_[0].push_back({1, INT64_MAX});
    // The conversation's last entry is its first.
    Stored(created->conversation().last_entry());

    progress_.Begin("sending", script_.messages);
    const auto began = steady_clock::now();
    for (const Step& step : script_.steps) {
      if (options_.speed > 0) {
        std::this_thread::sleep_until(
            std::min(deadline_, began + std::chrono::microseconds(
                                            static_cast<int64_t>(step.at / options_.speed * 1e6))));
      }
      const absl::Status status = Do(step);
      if (!status.ok()) return status;
      progress_.Done(result_.messages);
    }
    return absl::OkStatus();
  }

  absl::Status Do(const Step& step) {
    // Behind the host.
    const size_t who = static_cast<size_t>(step.speaker) + 1;
    Member& speaker = *members_[who];
    switch (step.kind) {
      case Step::kSay:
        return Say(speaker, step.text);
      case Step::kAdd: {
        chat::v1::AddMembersRequest request;
        request.set_conversation_id(group_);
        request.set_request_id(RandomBytes(16));
        request.add_user_ids(speaker.user_id());
        const auto added =
            Change(host().Call(&ConversationService::Stub::AddMembers, request, deadline_));
        if (!added.ok()) return added.status();
        stays_[who].push_back({added->members_added().first_seq(), INT64_MAX});
        return absl::OkStatus();
      }
      case Step::kReturn: {
        chat::v1::ReturnToGroupRequest request;
        request.set_conversation_id(group_);
        request.set_request_id(RandomBytes(16));
        const auto back =
            Change(speaker.Call(&ConversationService::Stub::ReturnToGroup, request, deadline_));
        if (!back.ok()) return back.status();
        stays_[who].push_back({back->member_returned().first_seq(), INT64_MAX});
        return absl::OkStatus();
      }
      case Step::kLeave: {
        chat::v1::LeaveGroupRequest request;
        request.set_conversation_id(group_);
        request.set_request_id(RandomBytes(16));
        const auto left =
            Change(speaker.Call(&ConversationService::Stub::LeaveGroup, request, deadline_));
        if (!left.ok()) return left.status();
        stays_[who].back().last_seq = left->seq();
        return absl::OkStatus();
      }
      case Step::kRemove: {
        chat::v1::RemoveMemberRequest request;
        request.set_conversation_id(group_);
        request.set_request_id(RandomBytes(16));
        request.set_user_id(speaker.user_id());
        const auto removed =
            Change(host().Call(&ConversationService::Stub::RemoveMember, request, deadline_));
        if (!removed.ok()) return removed.status();
        stays_[who].back().last_seq = removed->seq();
        return absl::OkStatus();
      }
    }
    return absl::InternalError("a step of no kind");
  }

  absl::Status Say(Member& speaker, const std::string& text) {
    const auto sent = steady_clock::now();
    const auto answer = speaker.Say(group_, text, deadline_);
    if (!answer.ok()) {
      check_.MayBeStored(speaker.user_id(), text);
      return answer.status();
    }
    sent_at_[answer->seq()] = sent;
    check_.Stored({answer->seq(), speaker.user_id(), answer->request_id(), true, text});
    ++result_.messages;
    return absl::OkStatus();
  }

  // The entry that a change of members made.
  template <typename Response>
  absl::StatusOr<chat::v1::Entry> Change(const absl::StatusOr<Response>& response) {
    if (!response.ok()) return response.status();
    if (!response->has_entry()) {
      return absl::InternalError("a change of members changed nothing");
    }
    Stored(response->entry());
    return response->entry();
  }

  void Stored(const chat::v1::Entry& entry) { check_.Stored(Known(entry)); }

  absl::Status AwaitArrivals() {
    // The last seq that each may see.
    std::vector<int64_t> last;
    for (const auto& stays : stays_) {
      last.push_back(stays.empty() ? 0 : std::min(stays.back().last_seq, check_.last_seq()));
    }
    progress_.Begin("receiving", static_cast<int64_t>(members_.size()));
    int64_t arrivals = -1;
    auto since = steady_clock::now();
    for (;;) {
      int64_t complete = 0, now_arrived = 0;
      for (size_t i = 0; i < members_.size(); ++i) {
        if (!members_[i]->ended().ok()) return members_[i]->ended();
        complete += members_[i]->newest_seq() >= last[i];
        now_arrived += members_[i]->arrivals();
      }
      progress_.Done(complete);
      if (complete == static_cast<int64_t>(members_.size())) return absl::OkStatus();
      if (now_arrived != arrivals) since = steady_clock::now();
      arrivals = now_arrived;
      const auto now = steady_clock::now();
      // What is missing then is lost, which the judge will say.
      if (now - since >= kPatience) return absl::OkStatus();
      if (now >= deadline_) {
        return absl::DeadlineExceededError("not everything arrived in time");
      }
      std::this_thread::sleep_for(kLook);
    }
  }

  void Judge() {
    for (int64_t i = result_.messages; i < script_.messages; ++i) check_.NotStored();
    result_.verdict = check_.own();
    progress_.Begin("history", static_cast<int64_t>(members_.size()));
    std::atomic<size_t> next = 0, done = 0;
    std::vector<std::thread> readers;
    for (int i = 0; i < kReaders; ++i) {
      readers.emplace_back([&] {
        for (size_t who; (who = next++) < members_.size();) {
          JudgeMember(who);
          progress_.Done(static_cast<int64_t>(++done));
        }
      });
    }
    for (std::thread& reader : readers) reader.join();
  }

  void JudgeMember(size_t who) {
    Member& member = *members_[who];
    const client::SessionCounts counts = member.counts();
    const auto seen = member.Finish(group_, deadline_);
    // Nobody who was never in it may ask for the history.
    absl::StatusOr<std::vector<KnownEntry>> history = std::vector<KnownEntry>();
    if (!stays_[who].empty()) history = member.List(group_, 1, 0, deadline_);
    Histogram latency;
    for (const Member::Arrival& arrival : member.live_arrivals()) {
      const auto sent = sent_at_.find(arrival.entry.seq);
      if (sent == sent_at_.end() || arrival.entry.sender_user_id == member.user_id()) continue;
      latency.Record(
          std::chrono::duration_cast<std::chrono::microseconds>(arrival.at - sent->second).count());
    }
    MutexLock lock(&mu_);
    for (const absl::Status& status : {seen.status(), history.status()}) {
      if (!status.ok() && result_.failure.ok()) result_.failure = status;
    }
    if (seen.ok()) {
      const Verdict live = check_.Judge(member.user_id(), stays_[who], *seen);
      result_.repeats_on_wire += live.repeats;
      result_.verdict.Add(live);
    }
    if (history.ok()) {
      Verdict read = check_.Judge(member.user_id(), stays_[who], *history);
      // Deliveries are what came by itself; a history that repeats itself is wrong.
      read.expected = read.arrived = 0;
      read.duplicated += read.repeats;
      result_.verdict.Add(read);
      result_.history_entries += static_cast<int64_t>(history->size());
    }
    result_.latency.Add(latency);
    result_.repeats_on_wire += counts.repeats;
    result_.reconnects += counts.connections - 1;
    result_.loads += counts.loads;
  }

  const Script& script_;
  const Target& target_;
  const ReplayOptions& options_;
  const steady_clock::time_point deadline_;
  Progress progress_;
  client::TimerThread timers_;
  // The host first, then the speakers.
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<std::vector<StayRange>> stays_;
  int64_t group_ = 0;
  DeliveryCheck check_;
  std::map<int64_t, steady_clock::time_point> sent_at_;
  // Guards result_ while several read history.
  Mutex mu_;
  ReplayResult result_;
};

}  // namespace

ReplayResult Replay(const Script& script, const Target& target, const ReplayOptions& options) {
  return Run(script, target, options).Go();
}

}  // namespace im::bench
