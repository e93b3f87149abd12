#include "services/chat/writer.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <tuple>
#include <utility>

#include "common/base/error.h"
#include "common/base/flush_scope.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/bus/lane.h"

namespace im::chat {
namespace {

// lock_timeout: while one conversation is waited for, all others of the writer wait, too. What is
// still locked then is tried again, but not before the others had their turn.
// plan_cache_mode: else the statements of a small batch are planned for the sizes of its arrays,
// each time, which for one message takes longer than to store it. enable_seqscan: a plan that is
// kept must go by keys, also if it was made when the tables were empty.
constexpr char kSettings[] =
    "SELECT set_config('lock_timeout', '100ms', false),"
    " set_config('plan_cache_mode', 'force_generic_plan', false),"
    " set_config('enable_seqscan', 'off', false)";

struct Metrics {
  prometheus::Counter& stored =
      CounterFamily("im_chat_messages_stored_total", "Messages stored.").Add({});
  prometheus::Counter& batches =
      CounterFamily("im_chat_batches_total", "Appends of several messages in one call.").Add({});
  prometheus::Histogram& append_seconds =
      HistogramFamily("im_chat_append_seconds", "Time of one append call.")
          .Add({}, LatencyBuckets());
};

Metrics& GetMetrics() {
  static auto* metrics = new Metrics;
  return *metrics;
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
                   session.Exec(kSettings);
                   epoch->Read(session);
                 }}),
      store_(&pool_),
      queue_(options.queue),
      thread_([this] { Run(); }) {}

Writer::~Writer() {
  queue_.Close();
  thread_.join();
}

void Writer::Run() {
  while (true) {
    WriterQueue::Work work = queue_.Take(options_.batch_limit, /*wait=*/parked_.empty());
    if (work.empty() && parked_.empty()) return;
    CheckEpoch();
    if (!work.sends.empty()) StoreBatch(std::move(work.sends));
    for (ChangeItem& change : work.changes) StoreAlone(std::move(change));
    for (const TypingItem& typing : work.typings) ShowTyping(typing);
    TryParked();
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

void Writer::StoreBatch(std::vector<SendItem> queued) {
  std::vector<SendItem> items;
  std::vector<int64_t> ids;
  items.reserve(queued.size());
  ids.reserve(queued.size());
  {
    FlushScope scope;
    for (SendItem& item : queued) {
      const absl::Status worth = queue_.CheckWorth(item.waiting);
      if (!worth.ok()) {
        item.done(worth);
        continue;
      }
      ids.push_back(item.conversation_id);
      items.push_back(std::move(item));
    }
  }
  const absl::Status read = Remember(ids);
  if (!read.ok()) {
    FlushScope scope;
    for (SendItem& item : items) item.done(read);
    return;
  }
  // Once one item of a sender has to go alone, those after it to the same conversation do, too:
  // they keep their order.
  std::set<std::pair<int64_t, int64_t>> alone;
  std::set<int64_t> locked;
  for (const Parked& parked : parked_) locked.insert(parked.conversation_id);
  std::set<std::tuple<int64_t, int64_t, std::string>> requests;
  std::vector<SendItem> singles;
  std::vector<std::unique_ptr<Pending>> batch;
  for (SendItem& item : items) {
    const auto found = states_.find(item.conversation_id);
    const bool repeated =
        !requests.insert({item.conversation_id, item.sender, item.request_id}).second;
    const std::pair<int64_t, int64_t> from(item.conversation_id, item.sender);
    if (repeated || alone.count(from) > 0 || locked.count(item.conversation_id) > 0 ||
        found == states_.end() || !MaySend(found->second.state, item.sender).ok()) {
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
  for (SendItem& item : singles) StoreAlone(std::move(item));
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
  // One write to each gateway.
  FlushScope scope;
  for (Pending* one : pending) {
    ConversationState* state = FindState(one->entry.conversation_id);
    state->members.at(one->entry.sender).sent_seq = one->entry.seq;
    one->item.done(one->entry);
    publisher_->PublishEntry(state->Audience(one->entry.seq), one->entry, &one->item.origin);
  }
}

void Writer::ShowTyping(const TypingItem& item) {
  const absl::Status worth = queue_.CheckWorth(item.waiting);
  if (!worth.ok()) return item.done(worth);
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

int WriterCount(int configured) {
  // Each takes a connection of PostgreSQL's limited number.
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return configured > 0 ? configured : std::clamp(cores / 2, 1, 8);
}

Writers::Writers(int count, const WriterOptions& options, Publisher* publisher, Epoch* epoch) {
  for (int i = 0; i < count; ++i) {
    writers_.push_back(std::make_unique<Writer>(options, publisher, epoch));
  }
}

Writer& Writers::Of(int64_t conversation_id) {
  return *writers_[bus::LaneOf(conversation_id, static_cast<int>(writers_.size()))];
}

}  // namespace im::chat
