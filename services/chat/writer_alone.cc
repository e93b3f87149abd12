// Items that a writer stores one by one, after reading afresh.
#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "common/base/error.h"
#include "common/base/metrics.h"
#include "services/chat/writer.h"

namespace im::chat {
namespace {

using std::chrono::steady_clock;

// How long to try on a conversation that keeps changing under us, or that somebody else holds
// locked, before CONVERSATION_BUSY. Two instances that both believe to own a busy conversation lose
// many attempts to each other.
constexpr std::chrono::seconds kPatience(1);

prometheus::Counter& SinglesCounter() {
  static auto& counter =
      CounterFamily("im_chat_singles_total", "Messages that had to go one by one.").Add({});
  return counter;
}

}  // namespace

void Writer::StoreAlone(std::variant<SendItem, ChangeItem> item) {
  int64_t conversation = 0;
  absl::Status worth;
  if (const auto* send = std::get_if<SendItem>(&item)) {
    conversation = send->conversation_id;
    worth = queue_.CheckWorth(send->waiting);
    SinglesCounter().Increment();
  } else {
    const auto& change = std::get<ChangeItem>(item);
    conversation = change.conversation_id;
    worth = queue_.CheckWorth(change.waiting);
  }
  if (!worth.ok()) return std::visit([&](auto& what) { what.done(worth); }, item);
  // Behind those that wait for the same conversation, which is not waited for once more.
  const bool behind = std::any_of(parked_.begin(), parked_.end(), [&](const Parked& parked) {
    return parked.conversation_id == conversation;
  });
  if (!behind && TryAlone(&item)) return;
  parked_.push_back({std::move(item), conversation, steady_clock::now() + kPatience});
}

bool Writer::TryAlone(std::variant<SendItem, ChangeItem>* item) {
  bool locked = false;
  if (auto* send = std::get_if<SendItem>(item)) {
    absl::StatusOr<Entry> outcome = TrySingle(*send, &locked);
    if (!locked) send->done(std::move(outcome));
  } else {
    auto& change = std::get<ChangeItem>(*item);
    absl::StatusOr<std::optional<Entry>> outcome = TryChange(change, &locked);
    if (!locked) change.done(std::move(outcome));
  }
  return !locked;
}

// Waits for one conversation at most. All items of one that is still locked go to the end.
void Writer::TryParked() {
  const auto now = steady_clock::now();
  parked_.remove_if([now](Parked& parked) {
    if (now < parked.until) return false;
    std::visit([](auto& item) { item.done(Error(Reason::CONVERSATION_BUSY)); }, parked.item);
    return true;
  });
  while (!parked_.empty()) {
    const int64_t conversation = parked_.front().conversation_id;
    if (TryAlone(&parked_.front().item)) {
      parked_.pop_front();
      continue;
    }
    std::list<Parked> locked;
    for (auto next = parked_.begin(); next != parked_.end();) {
      const auto parked = next++;
      if (parked->conversation_id == conversation) locked.splice(locked.end(), parked_, parked);
    }
    parked_.splice(parked_.end(), locked);
    return;
  }
}

absl::StatusOr<Entry> Writer::TrySingle(const SendItem& item, bool* locked) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < until) {
    IM_ASSIGN_OR_RETURN(ConversationState* const state, Reread(item.conversation_id));
    if (state == nullptr) return Error(Reason::CONVERSATION_NOT_FOUND);
    IM_ASSIGN_OR_RETURN(
        const std::optional<Entry> earlier,
        FindEarlier(*state, item.sender, item.request_id, item.request_hash, &item.origin));
    if (earlier) return *earlier;
    const absl::Status allowed = MaySend(*state, item.sender);
    if (!allowed.ok()) return RefusalOf(item.conversation_id, item.sender, allowed);

    Pending pending;
    pending.join_seq = state->FindMember(item.sender)->join_seq;
    pending.entry.conversation_id = item.conversation_id;
    pending.entry.sender = item.sender;
    pending.entry.request_id = item.request_id;
    pending.entry.request_hash = item.request_hash;
    pending.entry.content = item.content;
    pending.item.origin = item.origin;
    absl::StatusOr<Entry> outcome = absl::UnknownError("");
    pending.item.done = [&outcome](absl::StatusOr<Entry> entry) { outcome = std::move(entry); };
    // Who was stopped while it read would else do what others have refused meanwhile.
    IM_RETURN_IF_ERROR(queue_.CheckWorth(item.waiting));
    const AppendBatch batch = Assemble({&pending});
    const absl::StatusOr<AppendResult> result = store_.Append(batch, /*wait=*/true);
    if (!result.ok()) {
      Forget(item.conversation_id);
      *locked = ReasonOf(result.status()) == Reason::CONVERSATION_BUSY;
      return result.status();
    }
    if (result->stored()) {
      Stored(batch, {&pending});
      return outcome;
    }
  }
  return Error(Reason::CONVERSATION_BUSY);
}

absl::StatusOr<std::optional<Entry>> Writer::FindEarlier(const ConversationState& state,
                                                         int64_t sender,
                                                         const std::string& request_id,
                                                         int64_t request_hash,
                                                         const Origin* origin) {
  IM_ASSIGN_OR_RETURN(std::optional<Entry> earlier, store_.FindEntry(state.id, sender, request_id));
  if (!earlier) return earlier;
  if (earlier->request_hash != request_hash) return Error(Reason::REQUEST_ID_REUSED);
  publisher_->PublishEntry(state.Audience(earlier->seq), *earlier, origin);
  return earlier;
}

absl::Status Writer::RefusalOf(int64_t conversation, int64_t user, const absl::Status& refusal) {
  if (ReasonOf(refusal) != Reason::NOT_A_MEMBER) {
    IM_ASSIGN_OR_RETURN(const bool shows, store_.Shows(user, conversation));
    return shows ? refusal : Error(Reason::CONVERSATION_NOT_FOUND);
  }
  IM_ASSIGN_OR_RETURN(const std::optional<LastStay> stay, store_.FindLastStay(conversation, user));
  return stay ? refusal : Error(Reason::CONVERSATION_NOT_FOUND);
}

absl::StatusOr<std::optional<Entry>> Writer::TryChange(const ChangeItem& item, bool* locked) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < until) {
    IM_ASSIGN_OR_RETURN(ConversationState * state, Reread(item.conversation_id));
    if (state == nullptr) return Error(Reason::CONVERSATION_NOT_FOUND);
    IM_ASSIGN_OR_RETURN(const std::optional<LastStay> stay,
                        store_.FindLastStay(item.conversation_id, item.user));
    if (!stay) return Error(Reason::CONVERSATION_NOT_FOUND);
    IM_ASSIGN_OR_RETURN(
        std::optional<Entry> earlier,
        FindEarlier(*state, item.user, item.request_id, item.request_hash, nullptr));
    if (earlier) return earlier;
    IM_ASSIGN_OR_RETURN(
        const bool had_nothing_to_do,
        store_.HadNothingToDo(item.conversation_id, item.user, item.request_id, item.request_hash));
    if (had_nothing_to_do) return std::nullopt;
    absl::StatusOr<ChangePlan> plan = item.plan(*state, stay);
    if (!plan.ok()) return plan.status();
    if (!plan->entry_kind) {
      IM_RETURN_IF_ERROR(store_.NoteNothingToDo(item.conversation_id, item.user, item.request_id,
                                                item.request_hash));
      return std::nullopt;
    }

    Entry entry;
    entry.sender = item.user;
    entry.request_id = item.request_id;
    entry.request_hash = item.request_hash;
    IM_RETURN_IF_ERROR(queue_.CheckWorth(item.waiting));
    const absl::StatusOr<ChangeOutcome> outcome = store_.Change(*state, *plan, &entry);
    if (!outcome.ok()) {
      Forget(item.conversation_id);
      *locked = ReasonOf(outcome.status()) == Reason::CONVERSATION_BUSY;
      return outcome.status();
    }
    if (*outcome != ChangeOutcome::kStored) continue;
    // Those who were members before and those who are now.
    std::set<int64_t> audience(plan->end.begin(), plan->end.end());
    audience.insert(plan->begin.begin(), plan->begin.end());
    for (const auto& [user, member] : state->members) audience.insert(user);
    publisher_->PublishEntry({audience.begin(), audience.end()}, entry, nullptr);
    // Stored whatever this says; the next round reads again if it failed.
    if (!Reread(item.conversation_id).ok()) Forget(item.conversation_id);
    return entry;
  }
  return Error(Reason::CONVERSATION_BUSY);
}

}  // namespace im::chat
