#include "services/chat/catch_up.h"

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

namespace im::chat {
namespace {

using internal::v1::ServiceItem;

constexpr size_t kConversationsAQuery = 100;
constexpr int64_t kEntriesAQuery = 1000;
constexpr int64_t kBytesAQuery = 512 << 10;
constexpr size_t kUsersAQuery = 1000;

// What is live comes first: a catch-up goes on only while no more than this waits on the link.
constexpr size_t kRoom = 2 << 20;
constexpr std::chrono::seconds kPatience{10};

prometheus::Counter& CatchUpsCounter(bool complete) {
  static auto& family = CounterFamily("im_chat_catch_ups_total", "Catch-ups of gateways.");
  static auto& of_complete = family.Add({{"result", "complete"}});
  static auto& of_incomplete = family.Add({{"result", "incomplete"}});
  return complete ? of_complete : of_incomplete;
}
prometheus::Counter& EntriesCounter() {
  static auto& counter =
      CounterFamily("im_chat_catch_up_entries_total", "Entries published again.").Add({});
  return counter;
}

absl::Status WaitForRoom(bus::Link* link) {
  if (link->WaitForRoom(bus::Link::Part::kAll, kRoom, kPatience)) return absl::OkStatus();
  return Error(Reason::OVERLOADED, "the link is full or down");
}

using StaysByConversation = std::unordered_map<int64_t, std::vector<MemberStay>>;

void Send(bus::Link* link, const StaysByConversation& stays, const Entry& entry) {
  ServiceItem item;
  auto* const publication = item.mutable_publication();
  for (const MemberStay& stay : stays.at(entry.conversation_id)) {
    if (stay.join_seq <= entry.seq && entry.seq <= stay.end_seq) {
      publication->add_user_ids(stay.user_id);
    }
  }
  if (publication->user_ids().empty()) return;
  publication->set_event(SerializeEntryEvent(entry));
  publication->set_conversation_id(entry.conversation_id);
  publication->set_seq(entry.seq);
  EntriesCounter().Increment();
  link->Send(std::move(item));
}

void SendDone(bus::Link* link, int times, bool complete) {
  for (int i = 0; i < times; ++i) {
    ServiceItem item;
    item.mutable_catch_up_done()->set_complete(complete);
    link->Send(std::move(item));
  }
}

// The next entries of `ranges` to read together.
std::vector<EntryRange> Take(const std::deque<EntryRange>& ranges) {
  std::vector<EntryRange> taken;
  int64_t count = 0;
  for (auto range = ranges.begin(); range != ranges.end() && count < kEntriesAQuery; ++range) {
    EntryRange part = *range;
    part.seqs.to = std::min(part.seqs.to, part.seqs.from + (kEntriesAQuery - count) - 1);
    count += part.seqs.size();
    taken.push_back(part);
  }
  return taken;
}

// Takes what is up to and with this entry off `ranges`.
void Drop(std::deque<EntryRange>* ranges, int64_t conversation, int64_t seq) {
  while (ranges->front().conversation_id != conversation) ranges->pop_front();
  ranges->front().seqs.from = seq + 1;
  if (ranges->front().seqs.size() <= 0) ranges->pop_front();
}

}  // namespace

CatchUps::CatchUps(pg::Pool* pool, Workers* workers, OwnLog* own_log)
    : history_(pool), sync_(pool), workers_(workers), own_log_(own_log) {}

CatchUps::~CatchUps() {
  MutexLock lock(&mu_);
  while (!running_.empty()) idle_.Wait(&mu_);
}

void CatchUps::Start(const std::shared_ptr<bus::Link>& link, int64_t since) {
  {
    MutexLock lock(&mu_);
    const auto [place, first] = running_.try_emplace(link, Wanted{since, 1});
    if (!first) {
      Wanted& wanted = place->second;
      wanted.since = wanted.calls == 0 ? since : std::min(wanted.since, since);
      ++wanted.calls;
      return;
    }
  }
  if (workers_->TrySubmit([this, link] { Run(link); })) return;
  int calls = 0;
  {
    MutexLock lock(&mu_);
    calls = running_.at(link).calls;
    running_.erase(link);
    idle_.NotifyAll();
  }
  SendDone(link.get(), calls, false);
}

void CatchUps::Run(const std::shared_ptr<bus::Link>& link) {
  while (true) {
    Wanted wanted;
    {
      MutexLock lock(&mu_);
      const auto place = running_.find(link);
      wanted = place->second;
      place->second = Wanted{};
      if (wanted.calls == 0) {
        running_.erase(place);
        idle_.NotifyAll();
        return;
      }
    }
    const absl::Status status = Publish(link.get(), wanted.since);
    CatchUpsCounter(status.ok()).Increment();
    if (!status.ok()) {
      Log(LogLevel::kWarning, "catch_up_incomplete",
          {{"gateway", link->gateway_id()}, {"status", Describe(status)}});
    }
    SendDone(link.get(), wanted.calls, status.ok());
  }
}

absl::Status CatchUps::Publish(bus::Link* link, int64_t since) {
  const std::vector<int64_t> users = link->Users();
  if (users.empty()) return absl::OkStatus();
  IM_RETURN_IF_ERROR(PublishEntries(link, users, since));
  return PublishOwnLogs(link, users, since);
}

absl::Status CatchUps::PublishEntries(bus::Link* link, const std::vector<int64_t>& users,
                                      int64_t since) {
  const std::unordered_set<int64_t> held(users.begin(), users.end());
  IM_ASSIGN_OR_RETURN(const std::vector<StoredRange> stored, sync_.StoredSince(since));
  for (size_t begin = 0; begin < stored.size(); begin += kConversationsAQuery) {
    const std::vector<StoredRange> some(
        stored.begin() + static_cast<ptrdiff_t>(begin),
        stored.begin() +
            static_cast<ptrdiff_t>(std::min(begin + kConversationsAQuery, stored.size())));
    IM_ASSIGN_OR_RETURN(const std::vector<MemberStay> found, sync_.FindStays(some));
    StaysByConversation stays;
    for (const MemberStay& stay : found) {
      if (held.count(stay.user_id) > 0) stays[stay.conversation_id].push_back(stay);
    }
    std::deque<EntryRange> ranges;
    for (const StoredRange& range : some) {
      if (stays.count(range.conversation_id) > 0) {
        ranges.push_back({range.conversation_id, range.seqs});
      }
    }
    while (!ranges.empty()) {
      IM_RETURN_IF_ERROR(WaitForRoom(link));
      const std::vector<EntryRange> next = Take(ranges);
      IM_ASSIGN_OR_RETURN(const std::vector<Entry> entries,
                          history_.ReadEntries(next, kBytesAQuery));
      int64_t bytes = 0;
      for (const Entry& entry : entries) {
        Send(link, stays, entry);
        bytes += static_cast<int64_t>(entry.content.size());
      }
      if (bytes >= kBytesAQuery) {
        Drop(&ranges, entries.back().conversation_id, entries.back().seq);
      } else {
        Drop(&ranges, next.back().conversation_id, next.back().seqs.to);
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CatchUps::PublishOwnLogs(bus::Link* link, const std::vector<int64_t>& users,
                                      int64_t since) {
  for (size_t begin = 0; begin < users.size(); begin += kUsersAQuery) {
    IM_RETURN_IF_ERROR(WaitForRoom(link));
    const std::vector<int64_t> some(
        users.begin() + static_cast<ptrdiff_t>(begin),
        users.begin() + static_cast<ptrdiff_t>(std::min(begin + kUsersAQuery, users.size())));
    IM_ASSIGN_OR_RETURN(const std::vector<OwnLogNews> news, own_log_->ChangedSince(some, since));
    for (const OwnLogNews& one : news) {
      v1::Event event;
      *event.mutable_own_log() = one.changed;
      ServiceItem item;
      item.mutable_publication()->add_user_ids(one.user_id);
      item.mutable_publication()->set_event(event.SerializeAsString());
      link->Send(std::move(item));
    }
  }
  return absl::OkStatus();
}

}  // namespace im::chat
