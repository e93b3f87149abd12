#include "services/chat/writer.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <tuple>
#include <utility>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

namespace im::chat {
namespace {

// How long to try on a conversation that keeps changing under us before CONVERSATION_BUSY: as long
// as one attempt may wait for the row's lock. Two instances that both believe to own a busy
// conversation lose many attempts to each other.
constexpr std::chrono::seconds kPatience(1);

struct Metrics {
  prometheus::Counter& stored =
      CounterFamily("im_chat_messages_stored_total", "Messages stored.").Add({});
  prometheus::Counter& batches =
      CounterFamily("im_chat_batches_total", "Appends of several messages in one call.").Add({});
  prometheus::Counter& singles =
      CounterFamily("im_chat_singles_total", "Messages that had to go one by one.").Add({});
  prometheus::Counter& refused =
      CounterFamily("im_chat_overloaded_total", "Items refused since a writer's queue was full.")
          .Add({});
  prometheus::Histogram& append_seconds =
      HistogramFamily("im_chat_append_seconds", "Time of one append call.")
          .Add({}, LatencyBuckets());
};

Metrics& GetMetrics() {
  static auto* metrics = new Metrics;
  return *metrics;
}

absl::Status Overloaded() {
  return Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::milliseconds(500)});
}

}  // namespace

Writer::Writer(const WriterOptions& options, Publisher* publisher, Epoch* epoch)
    : options_(options),
      publisher_(publisher),
      epoch_(epoch),
      pool_({.url = options.database_url,
             .connections = 1,
             .on_connect =
                 [epoch](pg::Session& session) {
                   session.Exec("SET lock_timeout = '1s'");
                   epoch->Read(session);
                 }}),
      store_(&pool_),
      thread_([this] { Run(); }) {}

Writer::~Writer() {
  {
    MutexLock lock(&mu_);
    closing_ = true;
    filled_.NotifyAll();
  }
  thread_.join();
}

template <typename Item>
void Writer::Enqueue(std::vector<Item>* queue, Item item) {
  {
    MutexLock lock(&mu_);
    if (!closing_ && queue->size() < options_.queue_limit) {
      queue->push_back(std::move(item));
      filled_.NotifyOne();
      return;
    }
  }
  GetMetrics().refused.Increment();
  item.done(Overloaded());
}

void Writer::Submit(SendItem item) { Enqueue(&sends_, std::move(item)); }
void Writer::Submit(ChangeItem item) { Enqueue(&changes_, std::move(item)); }
void Writer::Submit(TypingItem item) { Enqueue(&typings_, std::move(item)); }

void Writer::Run() {
  while (true) {
    std::vector<SendItem> sends;
    std::vector<ChangeItem> changes;
    std::vector<TypingItem> typings;
    {
      MutexLock lock(&mu_);
      while (sends_.empty() && changes_.empty() && typings_.empty() && !closing_) {
        filled_.Wait(&mu_);
      }
      if (sends_.empty() && changes_.empty() && typings_.empty()) return;
      if (sends_.size() <= options_.batch_limit) {
        sends.swap(sends_);
      } else {
        const auto end = sends_.begin() + static_cast<ptrdiff_t>(options_.batch_limit);
        sends.assign(std::make_move_iterator(sends_.begin()), std::make_move_iterator(end));
        sends_.erase(sends_.begin(), end);
      }
      changes.swap(changes_);
      typings.swap(typings_);
    }
    CheckEpoch();
    if (!sends.empty()) StoreBatch(std::move(sends));
    for (ChangeItem& change : changes) StoreChange(std::move(change));
    for (const TypingItem& typing : typings) ShowTyping(typing);
    Trim();
  }
}

void Writer::CheckEpoch() {
  const int64_t epoch = epoch_->current();
  if (epoch == states_epoch_) return;
  states_.clear();
  recent_.clear();
  remembered_members_ = 0;
  states_epoch_ = epoch;
}

ConversationState* Writer::FindState(int64_t id) {
  const auto found = states_.find(id);
  if (found == states_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found->second.recent);
  return &found->second.state;
}

void Writer::Forget(int64_t id) {
  const auto found = states_.find(id);
  if (found == states_.end()) return;
  remembered_members_ -= found->second.state.members.size();
  recent_.erase(found->second.recent);
  states_.erase(found);
}

void Writer::Trim() {
  while (remembered_members_ > options_.remembered_members && recent_.size() > 1) {
    Forget(recent_.back());
  }
}

absl::Status Writer::Remember(const std::vector<int64_t>& ids) {
  std::vector<ConversationState> missing;
  for (const int64_t id : std::set<int64_t>(ids.begin(), ids.end())) {
    if (FindState(id) != nullptr) continue;
    missing.emplace_back();
    missing.back().id = id;
  }
  if (missing.empty()) return absl::OkStatus();
  std::vector<ConversationState*> pointers;
  for (ConversationState& state : missing) pointers.push_back(&state);
  IM_RETURN_IF_ERROR(store_.Refresh(pointers));
  for (ConversationState& state : missing) {
    if (state.id == 0) continue;
    const int64_t id = state.id;
    recent_.push_front(id);
    remembered_members_ += state.members.size();
    states_[id] = {std::move(state), recent_.begin()};
  }
  return absl::OkStatus();
}

absl::StatusOr<ConversationState*> Writer::Reread(int64_t id) {
  const auto found = states_.find(id);
  if (found == states_.end()) {
    IM_RETURN_IF_ERROR(Remember({id}));
    return FindState(id);
  }
  ConversationState& state = found->second.state;
  const int64_t known_seq = state.last_seq;
  const size_t known_members = state.members.size();
  IM_RETURN_IF_ERROR(store_.Refresh({&state}));
  remembered_members_ += state.members.size() - known_members;
  if (state.id == 0 || state.last_seq < known_seq) {
    // What was committed is gone: the data is not what it was.
    Log(LogLevel::kError, "data_went_back",
        {{"conversation", id}, {"known_seq", known_seq}, {"seq", state.last_seq}});
    IM_RETURN_IF_ERROR(epoch_->Renew(&pool_));
    CheckEpoch();
    IM_RETURN_IF_ERROR(Remember({id}));
    return FindState(id);
  }
  return &state;
}

void Writer::StoreBatch(std::vector<SendItem> items) {
  std::vector<int64_t> ids;
  ids.reserve(items.size());
  for (const SendItem& item : items) ids.push_back(item.conversation_id);
  const absl::Status read = Remember(ids);
  if (!read.ok()) {
    for (SendItem& item : items) item.done(read);
    return;
  }
  // Once one item of a sender has to go alone, those after it to the same conversation do, too:
  // they keep their order.
  std::set<std::pair<int64_t, int64_t>> alone;
  std::set<std::tuple<int64_t, int64_t, std::string>> requests;
  std::vector<SendItem> singles;
  std::vector<std::unique_ptr<Pending>> batch;
  for (SendItem& item : items) {
    const auto found = states_.find(item.conversation_id);
    const bool repeated =
        !requests.insert({item.conversation_id, item.sender, item.request_id}).second;
    const std::pair<int64_t, int64_t> from(item.conversation_id, item.sender);
    if (repeated || alone.count(from) > 0 || found == states_.end() ||
        !MaySend(found->second.state, item.sender).ok()) {
      alone.insert(from);
      singles.push_back(std::move(item));
      continue;
    }
    auto pending = std::make_unique<Pending>();
    pending->join_seq = found->second.state.FindMember(item.sender)->join_seq;
    pending->entry.conversation_id = item.conversation_id;
    pending->entry.sender = item.sender;
    pending->entry.request_id = item.request_id;
    pending->entry.request_hash = item.request_hash;
    pending->entry.content = std::move(item.content);
    pending->item = std::move(item);
    batch.push_back(std::move(pending));
  }
  // Each pass takes at least one item out, or ends.
  while (!batch.empty()) {
    std::vector<Pending*> pending;
    for (const auto& one : batch) pending.push_back(one.get());
    const AppendBatch append = Assemble(pending);
    const auto started = std::chrono::steady_clock::now();
    const absl::StatusOr<AppendResult> result = store_.Append(append, /*wait=*/false);
    GetMetrics().append_seconds.Observe(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
    if (!result.ok()) {
      for (const auto& conversation : append.conversations) Forget(conversation.id);
      for (const auto& one : batch) one->item.done(result.status());
      break;
    }
    if (result->stored()) {
      GetMetrics().batches.Increment();
      Stored(append, pending);
      break;
    }
    std::set<int64_t> out(result->locked.begin(), result->locked.end());
    out.insert(result->stale.begin(), result->stale.end());
    const std::set<size_t> known(result->known.begin(), result->known.end());
    std::vector<std::unique_ptr<Pending>> rest;
    for (size_t i = 0; i < batch.size(); ++i) {
      if (out.count(batch[i]->entry.conversation_id) > 0 || known.count(i) > 0) {
        batch[i]->item.content = std::move(batch[i]->entry.content);
        singles.push_back(std::move(batch[i]->item));
      } else {
        rest.push_back(std::move(batch[i]));
      }
    }
    batch = std::move(rest);
  }
  for (SendItem& item : singles) StoreSingle(std::move(item));
}

AppendBatch Writer::Assemble(const std::vector<Pending*>& pending) {
  AppendBatch batch;
  std::map<int64_t, AppendBatch::Conversation> conversations;
  for (Pending* one : pending) {
    const ConversationState& state = states_.at(one->entry.conversation_id).state;
    auto [at, added] = conversations.try_emplace(state.id);
    AppendBatch::Conversation& conversation = at->second;
    if (added) {
      conversation = {state.id, state.last_seq, state.version, state.last_seq, state.last_count};
    }
    one->entry.seq = ++conversation.new_seq;
    one->entry.count = conversation.new_count += IsCountable(one->entry.kind) ? 1 : 0;
    batch.entries.push_back(&one->entry);
    batch.join_seqs.push_back(one->join_seq);
  }
  for (const auto& [id, conversation] : conversations) batch.conversations.push_back(conversation);
  return batch;
}

void Writer::Stored(const AppendBatch& batch, const std::vector<Pending*>& pending) {
  for (const AppendBatch::Conversation& conversation : batch.conversations) {
    ConversationState& state = states_.at(conversation.id).state;
    state.last_seq = conversation.new_seq;
    state.last_count = conversation.new_count;
  }
  GetMetrics().stored.Increment(static_cast<double>(pending.size()));
  for (Pending* one : pending) {
    ConversationState* state = FindState(one->entry.conversation_id);
    state->members.at(one->entry.sender).sent_seq = one->entry.seq;
    one->item.done(one->entry);
    publisher_->PublishEntry(state->Audience(one->entry.seq), one->entry, &one->item.origin);
  }
}

void Writer::StoreSingle(SendItem item) {
  GetMetrics().singles.Increment();
  const auto done = std::move(item.done);
  done(TrySingle(item));
}

absl::StatusOr<Entry> Writer::TrySingle(const SendItem& item) {
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
    const AppendBatch batch = Assemble({&pending});
    const absl::StatusOr<AppendResult> result = store_.Append(batch, /*wait=*/true);
    if (!result.ok()) {
      Forget(item.conversation_id);
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

void Writer::StoreChange(ChangeItem item) {
  const auto done = std::move(item.done);
  done(TryChange(item));
}

absl::StatusOr<std::optional<Entry>> Writer::TryChange(const ChangeItem& item) {
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
    absl::StatusOr<ChangePlan> plan = item.plan(*state, stay);
    if (!plan.ok()) return plan.status();
    if (!plan->entry_kind) return std::nullopt;

    Entry entry;
    entry.sender = item.user;
    entry.request_id = item.request_id;
    entry.request_hash = item.request_hash;
    const absl::StatusOr<ChangeOutcome> outcome = store_.Change(*state, *plan, &entry);
    if (!outcome.ok()) {
      Forget(item.conversation_id);
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

void Writer::ShowTyping(const TypingItem& item) {
  const absl::Status read = Remember({item.conversation_id});
  if (!read.ok()) return item.done(read);
  const ConversationState* state = FindState(item.conversation_id);
  // No locked row confirms the memory here. So a refusal is given after reading afresh, and where a
  // block may have come between, so is the permission.
  if (state != nullptr &&
      (state->kind == ConversationKind::kDirect || !MaySend(*state, item.user).ok())) {
    const absl::StatusOr<ConversationState*> fresh = Reread(item.conversation_id);
    if (!fresh.ok()) return item.done(fresh.status());
    state = *fresh;
  }
  if (state == nullptr) return item.done(Error(Reason::CONVERSATION_NOT_FOUND));
  const absl::Status allowed = MaySend(*state, item.user);
  if (!allowed.ok()) {
    return item.done(RefusalOf(item.conversation_id, item.user, allowed));
  }
  if (state->members.size() > kSmallGroup) return item.done(absl::OkStatus());
  v1::Event event;
  auto* typing = event.mutable_typing();
  typing->set_conversation_id(item.conversation_id);
  typing->set_user_id(item.user);
  typing->set_typing(item.typing);
  std::vector<int64_t> audience = state->Audience(state->last_seq);
  audience.erase(std::remove(audience.begin(), audience.end(), item.user), audience.end());
  publisher_->PublishEvent(
      audience, event,
      "typing/" + std::to_string(item.conversation_id) + "/" + std::to_string(item.user),
      /*fleeting=*/true);
  item.done(absl::OkStatus());
}

Writers::Writers(int count, const WriterOptions& options, Publisher* publisher, Epoch* epoch) {
  for (int i = 0; i < count; ++i) {
    writers_.push_back(std::make_unique<Writer>(options, publisher, epoch));
  }
}

Writer& Writers::Of(int64_t conversation_id) {
  // Ids are given out in sequence, so any mixing spreads them.
  const uint64_t mixed = static_cast<uint64_t>(conversation_id) * 0x9e3779b97f4a7c15ULL;
  return *writers_[(mixed >> 32) % writers_.size()];
}

}  // namespace im::chat
