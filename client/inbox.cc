#include "client/inbox.h"

#include <algorithm>
#include <utility>

namespace im::client {

using chat::v1::CONVERSATION_KIND_DIRECT;
using chat::v1::CONVERSATION_KIND_GROUP;
using chat::v1::Entry;
using chat::v1::Stay;

namespace {

// Entries kept per conversation while those before them are loaded; more are loaded as well.
constexpr size_t kLaterLimit = 512;

chat::v1::ConversationKind KindOf(const Entry& first) {
  return first.has_group_created() ? CONVERSATION_KIND_GROUP : CONVERSATION_KIND_DIRECT;
}

template <typename List>
bool Contains(const List& list, int64_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

chat::v1::Watermark WatermarkOfSender(const Entry& message) {
  chat::v1::Watermark watermark;
  watermark.set_user_id(message.sender_user_id());
  watermark.set_read_seq(message.seq());
  watermark.set_delivered_seq(message.seq());
  return watermark;
}

void Inbox::Restore(const chat::v1::Have& have, const std::vector<chat::v1::Conversation>& known) {
  for (const auto& one : have.conversations()) At(one.conversation_id()).have = one.seq();
  for (const auto& one : known) {
    const auto it = conversations_.find(one.conversation_id());
    if (it == conversations_.end()) continue;
    it->second.about = one;
    it->second.known = true;
  }
}

void Inbox::Forget() {
  conversations_.clear();
  listing_ = false;
}

void Inbox::FillHave(chat::v1::Have* have) const {
  for (const auto& [id, conversation] : conversations_) {
    // One that nothing is known of but entries to come counts as not had.
    if (conversation.have == 0) continue;
    auto* one = have->add_conversations();
    one->set_conversation_id(id);
    one->set_seq(conversation.have);
    if (conversation.about.kind() == CONVERSATION_KIND_DIRECT) {
      one->set_peer_read_seq(conversation.about.peer_watermark().read_seq());
      one->set_peer_delivered_seq(conversation.about.peer_watermark().delivered_seq());
    }
  }
}

std::vector<chat::v1::Conversation> Inbox::Known() const {
  std::vector<chat::v1::Conversation> known;
  for (const auto& [id, conversation] : conversations_) {
    if (conversation.known && conversation.have > 0) known.push_back(conversation.about);
  }
  return known;
}

int64_t Inbox::HaveSeq(int64_t conversation_id) const {
  const auto it = conversations_.find(conversation_id);
  return it == conversations_.end() ? 0 : it->second.have;
}

Inbox::Conversation& Inbox::At(int64_t conversation_id) {
  Conversation& conversation = conversations_[conversation_id];
  conversation.about.set_conversation_id(conversation_id);
  return conversation;
}

bool Inbox::Listed(const chat::v1::Conversation& listed) {
  Conversation& conversation = At(listed.conversation_id());
  if (conversation.have > 0) {
    // Repeats of what an instance caught up, from the first entry on, came before the list. They
    // may end before it does: what follows them was published before this session was there.
    conversation.overflow = std::max(conversation.overflow, listed.last_seq());
    Settle(listed.conversation_id(), conversation);
    return false;
  }
  Learn(listed);
  conversation.have = listed.last_seq();
  Settle(listed.conversation_id(), conversation);
  return true;
}

void Inbox::EndListing() {
  listing_ = false;
  for (auto& [id, conversation] : conversations_) Settle(id, conversation);
}

void Inbox::Learn(const chat::v1::Conversation& conversation) {
  Conversation& mine = At(conversation.conversation_id());
  const auto watermark = mine.about.peer_watermark();
  mine.about = conversation;
  mine.about.clear_last_entry();
  if (conversation.kind() == CONVERSATION_KIND_DIRECT) {
    auto* peer = mine.about.mutable_peer_watermark();
    peer->set_read_seq(std::max(peer->read_seq(), watermark.read_seq()));
    peer->set_delivered_seq(std::max(peer->delivered_seq(), watermark.delivered_seq()));
  }
  mine.known = true;
}

void Inbox::OnWatermark(const chat::v1::WatermarkChanged& changed) {
  const auto it = conversations_.find(changed.conversation_id());
  if (it != conversations_.end()) RaisePeer(it->second, changed.watermark());
}

void Inbox::RaisePeer(Conversation& conversation, const chat::v1::Watermark& watermark) const {
  auto& about = conversation.about;
  if (about.kind() != CONVERSATION_KIND_DIRECT || watermark.user_id() == user_id_) return;
  auto* peer = about.mutable_peer_watermark();
  peer->set_user_id(watermark.user_id());
  peer->set_read_seq(std::max(peer->read_seq(), watermark.read_seq()));
  peer->set_delivered_seq(std::max(peer->delivered_seq(), watermark.delivered_seq()));
}

void Inbox::BeginStay(Conversation& conversation, const Entry& entry) const {
  int64_t first_seq = 0;
  if (entry.has_group_created() && Contains(entry.group_created().user_ids(), user_id_)) {
    first_seq = 1;
  } else if (entry.has_members_added() && Contains(entry.members_added().user_ids(), user_id_)) {
    first_seq = entry.members_added().first_seq();
  } else if (entry.has_member_returned() && entry.sender_user_id() == user_id_) {
    first_seq = entry.member_returned().first_seq();
  } else if (entry.seq() == 1 && KindOf(entry) == CONVERSATION_KIND_DIRECT) {
    first_seq = 1;  // a direct conversation has one stay from the start
  } else {
    return;
  }
  const int64_t join_seq =
      KindOf(entry) == CONVERSATION_KIND_DIRECT && entry.seq() == 1 ? 0 : entry.seq();
  for (const Stay& stay : conversation.about.stays()) {
    if (stay.join_seq() == join_seq) return;
  }
  Stay* stay = conversation.about.add_stays();
  stay->set_join_seq(join_seq);
  stay->set_first_seq(first_seq == 0 ? entry.seq() : first_seq);
}

void Inbox::EndStay(Conversation& conversation, const Entry& entry) const {
  const bool ends = (entry.has_member_left() && entry.sender_user_id() == user_id_) ||
                    (entry.has_member_removed() && entry.member_removed().user_id() == user_id_);
  if (!ends) return;
  for (Stay& stay : *conversation.about.mutable_stays()) {
    if (!stay.has_end_seq() && stay.join_seq() < entry.seq()) stay.set_end_seq(entry.seq());
  }
}

bool Inbox::IsNext(const Conversation& conversation, int64_t seq) const {
  const int64_t have = conversation.have;
  if (seq == have + 1) return true;
  bool inside = false;
  for (const Stay& stay : conversation.about.stays()) {
    const int64_t end = stay.has_end_seq() ? stay.end_seq() : INT64_MAX;
    // What is older than the join is there to be read but not expected.
    const int64_t begin = have >= stay.first_seq() ? have + 1
                          : seq >= stay.first_seq() && seq <= stay.join_seq()
                              ? seq
                              : std::max(stay.join_seq(), stay.first_seq());
    if (std::max(begin, have + 1) <= std::min(end, seq - 1)) return false;
    inside = inside || (seq >= stay.first_seq() && seq <= end);
  }
  return inside;
}

void Inbox::ApplyNow(Conversation& conversation, const Entry& entry) {
  BeginStay(conversation, entry);
  EndStay(conversation, entry);
  if (entry.seq() == 1 && !conversation.known) {
    // All there is to know of a new conversation follows from its first entry.
    conversation.about.set_kind(KindOf(entry));
    if (entry.has_message() && entry.sender_user_id() != user_id_) {
      conversation.about.set_peer_user_id(entry.sender_user_id());
    }
    conversation.known = true;
  }
  if (entry.has_group_renamed()) conversation.about.set_title(entry.group_renamed().title());
  if (entry.has_group_created()) conversation.about.set_title(entry.group_created().title());
  if (entry.has_message()) RaisePeer(conversation, WatermarkOfSender(entry));
  conversation.have = entry.seq();
  host_->Apply(entry);
}

void Inbox::OnEntry(const Entry& entry) {
  Conversation& conversation = At(entry.conversation_id());
  if (entry.seq() <= conversation.have) {
    ++repeats_;
    return;
  }
  if (entry.seq() == conversation.have + 1 && conversation.later.empty() &&
      conversation.fetching == Conversation::kIdle) {
    return ApplyNow(conversation, entry);
  }
  if (conversation.later.size() < kLaterLimit || conversation.later.contains(entry.seq())) {
    if (!conversation.later.emplace(entry.seq(), entry).second) ++repeats_;
  } else {
    conversation.overflow = std::max(conversation.overflow, entry.seq());
  }
  Settle(entry.conversation_id(), conversation);
}

void Inbox::OnGap(const chat::v1::Gap& gap) {
  Conversation& conversation = At(gap.conversation_id());
  conversation.have = std::max(conversation.have, gap.to_seq());
  Settle(gap.conversation_id(), conversation);
}

void Inbox::Settle(int64_t conversation_id, Conversation& conversation) {
  using Fetching = decltype(conversation.fetching);
  auto& later = conversation.later;
  while (!later.empty()) {
    const auto first = later.begin();
    if (first->first <= conversation.have) {
      ++repeats_;
      later.erase(first);
      continue;
    }
    // A stay that begins live is told by the entry itself, which must be known before the question.
    if (conversation.known) BeginStay(conversation, first->second);
    const bool next = first->first == 1 || ((conversation.known || conversation.have > 0) &&
                                            IsNext(conversation, first->first));
    if (!next) break;
    const Entry entry = std::move(first->second);
    later.erase(first);
    ApplyNow(conversation, entry);
  }
  const bool missing = !later.empty() || conversation.overflow > conversation.have;
  if (!missing) {
    conversation.overflow = 0;
    if (conversation.fetching == Conversation::kGrace) conversation.fetching = Fetching::kIdle;
    return;
  }
  if (conversation.fetching != Conversation::kIdle) return;
  if (!conversation.known && conversation.have == 0) {
    if (listing_) return;
    conversation.fetching = Conversation::kLooking;
    host_->Look(conversation_id);
  } else {
    conversation.fetching = Conversation::kGrace;
    host_->LoadSoon(conversation_id);
  }
}

void Inbox::LoadNow(int64_t conversation_id) {
  const auto it = conversations_.find(conversation_id);
  if (it == conversations_.end() || it->second.fetching != Conversation::kGrace) return;
  Conversation& conversation = it->second;
  conversation.fetching = Conversation::kLoading;
  const int64_t to_seq =
      conversation.later.empty() ? conversation.overflow : conversation.later.begin()->first - 1;
  host_->Load(conversation_id, conversation.have, to_seq);
}

void Inbox::Loaded(int64_t conversation_id, const chat::v1::ListEntriesResponse& page) {
  const auto it = conversations_.find(conversation_id);
  if (it == conversations_.end() || it->second.fetching != Conversation::kLoading) return;
  for (const Entry& entry : page.entries()) {
    // What the server lists between the two is all there is: no further question.
    if (entry.seq() > it->second.have) ApplyNow(it->second, entry);
  }
}

void Inbox::LoadDone(int64_t conversation_id, int64_t to_seq) {
  const auto it = conversations_.find(conversation_id);
  if (it == conversations_.end() || it->second.fetching != Conversation::kLoading) return;
  it->second.fetching = Conversation::kIdle;
  it->second.have = std::max(it->second.have, to_seq);
  Settle(conversation_id, it->second);
}

void Inbox::LookDone(int64_t conversation_id) {
  const auto it = conversations_.find(conversation_id);
  if (it == conversations_.end() || it->second.fetching != Conversation::kLooking) return;
  it->second.fetching = Conversation::kIdle;
  if (it->second.have == 0 && it->second.about.stays_size() > 0) {
    // Nothing is expected before the first join.
    const Stay& first = it->second.about.stays(0);
    it->second.have = std::max(std::max(first.join_seq(), first.first_seq()) - 1, int64_t{0});
  }
  Settle(conversation_id, it->second);
}

void Inbox::Abandon() {
  listing_ = false;
  for (auto it = conversations_.begin(); it != conversations_.end();) {
    Conversation& conversation = it->second;
    conversation.later.clear();
    conversation.overflow = 0;
    conversation.fetching = Conversation::kIdle;
    // Only waited for: not had, so that a new Have brings it.
    it = conversation.have == 0 ? conversations_.erase(it) : std::next(it);
  }
}

}  // namespace im::client
