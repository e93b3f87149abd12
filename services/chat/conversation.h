// What a writer remembers of a conversation, and the rules of who may do what in it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/chat/entry.h"

namespace im::chat {

enum class ConversationKind : int { kDirect = 1, kGroup = 2 };
enum class Role : int { kMember = 1, kAdmin = 2, kFounder = 3 };

// Somebody's present stay.
struct Member {
  int64_t join_seq = 0;
  int64_t first_seq = 0;
  Role role = Role::kMember;
  // Direct only; see the columns of chat.members.
  int64_t sent_seq = 0;
  int64_t closed_seq = 0;
};

// One side of a direct conversation.
struct Side {
  int64_t user = 0;
  bool blocks_other = false;
  // Takes messages from anyone, not from contacts only.
  bool open_to_anyone = false;
};

struct ConversationState {
  int64_t id = 0;
  ConversationKind kind = ConversationKind::kGroup;
  std::string title;
  bool open_history = false;
  int64_t last_seq = 0;
  int64_t last_count = 0;
  int64_t version = 0;
  // Those present.
  std::unordered_map<int64_t, Member> members;
  // Direct only.
  Side low, high;
  bool contacts = false;

  const Member* FindMember(int64_t user) const;
  // Who may see the entry `seq`, of those present.
  std::vector<int64_t> Audience(int64_t seq) const;
};

// Of a direct conversation that need not exist yet: RECIPIENT_REFUSES or BLOCKED_BY_CALLER.
absl::Status MayWriteTo(const ConversationState& direct, int64_t sender);
// NOT_A_MEMBER (whether they ever were is not for this to say), or as MayWriteTo.
absl::Status MaySend(const ConversationState& state, int64_t sender);

// The last stay of somebody who is not present.
struct LastStay {
  Role role = Role::kMember;
  bool left_by_self = false;
};

// What a change of a group writes; nothing if `entry_kind` is absent.
struct ChangePlan {
  std::optional<EntryKind> entry_kind;
  std::string content;
  // Stays that begin, with their role and the first entry they may see.
  std::vector<int64_t> begin;
  Role begin_role = Role::kMember;
  int64_t begin_first_seq = 0;
  // Stays that end.
  std::vector<int64_t> end;
  bool by_self = false;
  std::optional<std::string> title;
};

// Larger groups are not told who types, nor how far their members have read.
inline constexpr size_t kSmallGroup = 50;

// Each decides one change of a group. They fail with NOT_A_GROUP, NOT_A_MEMBER and those named.
inline constexpr size_t kMaxMembers = 10000;
absl::StatusOr<ChangePlan> PlanRename(const ConversationState& state, int64_t user,
                                      const std::string& title);
// TOO_MANY_MEMBERS. Whether `user` may add them is checked before.
absl::StatusOr<ChangePlan> PlanAdd(const ConversationState& state, int64_t user,
                                   const std::vector<int64_t>& added);
// NOT_ALLOWED, MEMBER_NOT_FOUND, SELF_NOT_ALLOWED.
absl::StatusOr<ChangePlan> PlanRemove(const ConversationState& state, int64_t user,
                                      int64_t removed);
absl::StatusOr<ChangePlan> PlanLeave(const ConversationState& state, int64_t user);
// NOT_ALLOWED, TOO_MANY_MEMBERS. `stay`: absent if they never were a member.
absl::StatusOr<ChangePlan> PlanReturn(const ConversationState& state, int64_t user,
                                      const std::optional<LastStay>& stay);

// 1 to 128 characters of text: TITLE_INVALID.
absl::Status CheckTitle(const std::string& title);

}  // namespace im::chat
