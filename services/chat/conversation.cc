#include "services/chat/conversation.h"

#include "common/base/error.h"
#include "common/base/text.h"

namespace im::chat {
namespace {

constexpr size_t kMaxTitleCharacters = 128;

absl::Status CheckMemberOfGroup(const ConversationState& state, int64_t user) {
  if (state.FindMember(user) == nullptr) return Error(Reason::NOT_A_MEMBER);
  if (state.kind != ConversationKind::kGroup) return Error(Reason::NOT_A_GROUP);
  return absl::OkStatus();
}

int64_t FirstSeqOfNewStay(const ConversationState& state) {
  return state.open_history ? 1 : state.last_seq + 1;
}

}  // namespace

const Member* ConversationState::FindMember(int64_t user) const {
  const auto found = members.find(user);
  return found == members.end() ? nullptr : &found->second;
}

std::vector<int64_t> ConversationState::Audience(int64_t seq) const {
  std::vector<int64_t> users;
  users.reserve(members.size());
  for (const auto& [user, member] : members) {
    if (member.first_seq <= seq) users.push_back(user);
  }
  return users;
}

absl::Status MayWriteTo(const ConversationState& direct, int64_t sender) {
  const bool is_low = direct.low.user == sender;
  const Side& own = is_low ? direct.low : direct.high;
  const Side& other = is_low ? direct.high : direct.low;
  if (own.blocks_other) return Error(Reason::BLOCKED_BY_CALLER);
  if (other.blocks_other) return Error(Reason::RECIPIENT_REFUSES);
  if (direct.contacts || other.open_to_anyone) return absl::OkStatus();
  // Who wrote first may be answered.
  const Member* recipient = direct.FindMember(other.user);
  if (recipient != nullptr && recipient->sent_seq > recipient->closed_seq) return absl::OkStatus();
  return Error(Reason::RECIPIENT_REFUSES);
}

absl::Status MaySend(const ConversationState& state, int64_t sender) {
  if (state.FindMember(sender) == nullptr) return Error(Reason::NOT_A_MEMBER);
  return state.kind == ConversationKind::kDirect ? MayWriteTo(state, sender) : absl::OkStatus();
}

absl::StatusOr<ChangePlan> PlanRename(const ConversationState& state, int64_t user,
                                      const std::string& title) {
  IM_RETURN_IF_ERROR(CheckMemberOfGroup(state, user));
  ChangePlan plan;
  plan.entry_kind = EntryKind::kGroupRenamed;
  v1::GroupRenamed renamed;
  renamed.set_title(title);
  plan.content = renamed.SerializeAsString();
  plan.title = title;
  return plan;
}

absl::StatusOr<ChangePlan> PlanAdd(const ConversationState& state, int64_t user,
                                   const std::vector<int64_t>& added) {
  IM_RETURN_IF_ERROR(CheckMemberOfGroup(state, user));
  ChangePlan plan;
  v1::MembersAdded members_added;
  for (const int64_t one : added) {
    if (state.FindMember(one) != nullptr) continue;
    plan.begin.push_back(one);
    members_added.add_user_ids(one);
  }
  if (plan.begin.empty()) return plan;
  if (state.members.size() + plan.begin.size() > kMaxMembers) {
    return Error(Reason::TOO_MANY_MEMBERS);
  }
  plan.entry_kind = EntryKind::kMembersAdded;
  plan.begin_first_seq = FirstSeqOfNewStay(state);
  members_added.set_first_seq(plan.begin_first_seq);
  plan.content = members_added.SerializeAsString();
  return plan;
}

absl::StatusOr<ChangePlan> PlanRemove(const ConversationState& state, int64_t user,
                                      int64_t removed) {
  IM_RETURN_IF_ERROR(CheckMemberOfGroup(state, user));
  if (removed == user) return Error(Reason::SELF_NOT_ALLOWED, "leave the group instead");
  if (state.FindMember(user)->role == Role::kMember) return Error(Reason::NOT_ALLOWED);
  const Member* target = state.FindMember(removed);
  if (target == nullptr) return Error(Reason::MEMBER_NOT_FOUND);
  if (target->role == Role::kFounder) return Error(Reason::NOT_ALLOWED);
  ChangePlan plan;
  plan.entry_kind = EntryKind::kMemberRemoved;
  v1::MemberRemoved member_removed;
  member_removed.set_user_id(removed);
  plan.content = member_removed.SerializeAsString();
  plan.end = {removed};
  return plan;
}

absl::StatusOr<ChangePlan> PlanLeave(const ConversationState& state, int64_t user) {
  IM_RETURN_IF_ERROR(CheckMemberOfGroup(state, user));
  ChangePlan plan;
  plan.entry_kind = EntryKind::kMemberLeft;
  plan.end = {user};
  plan.by_self = true;
  return plan;
}

absl::StatusOr<ChangePlan> PlanReturn(const ConversationState& state, int64_t user,
                                      const std::optional<LastStay>& stay) {
  if (state.kind != ConversationKind::kGroup) return Error(Reason::NOT_A_GROUP);
  ChangePlan plan;
  if (state.FindMember(user) != nullptr) return plan;
  if (!stay) return Error(Reason::NOT_A_MEMBER);
  if (!stay->left_by_self) return Error(Reason::NOT_ALLOWED, "a member must add you again");
  if (state.members.size() >= kMaxMembers) return Error(Reason::TOO_MANY_MEMBERS);
  plan.entry_kind = EntryKind::kMemberReturned;
  plan.begin = {user};
  plan.begin_role = stay->role;
  plan.begin_first_seq = FirstSeqOfNewStay(state);
  v1::MemberReturned returned;
  returned.set_first_seq(plan.begin_first_seq);
  plan.content = returned.SerializeAsString();
  return plan;
}

absl::Status CheckTitle(const std::string& title) {
  const auto characters = CountCharacters(title);
  const bool blank = title.find_first_not_of(' ') == std::string::npos;
  if (!characters || *characters > kMaxTitleCharacters || blank || !IsLine(title)) {
    return Error(Reason::TITLE_INVALID);
  }
  return absl::OkStatus();
}

}  // namespace im::chat
