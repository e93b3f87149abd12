// What the rules of groups refuse, and why.
#include "services/chat/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"

namespace im::chat {
namespace {

using ::testing::Optional;

constexpr int64_t kAnn = 1;
constexpr int64_t kBob = 2;
constexpr int64_t kEve = 3;

// Ann's, with bob.
ConversationState Group() {
  ConversationState state;
  state.last_seq = 1;
  state.members[kAnn].role = Role::kFounder;
  state.members[kBob];
  return state;
}

ConversationState FullGroup() {
  ConversationState state = Group();
  for (int64_t user = 100; state.members.size() < kMaxMembers; ++user) state.members[user];
  return state;
}

template <typename Plan>
std::optional<Reason> Refusal(const absl::StatusOr<Plan>& plan) {
  return ReasonOf(plan.status());
}

TEST(ConversationTest, ADirectConversationIsNoGroup) {
  ConversationState direct = Group();
  direct.kind = ConversationKind::kDirect;
  EXPECT_THAT(Refusal(PlanRename(direct, kAnn, "t")), Optional(Reason::NOT_A_GROUP));
  EXPECT_THAT(Refusal(PlanAdd(direct, kAnn, {kEve})), Optional(Reason::NOT_A_GROUP));
  EXPECT_THAT(Refusal(PlanRemove(direct, kAnn, kBob)), Optional(Reason::NOT_A_GROUP));
  EXPECT_THAT(Refusal(PlanLeave(direct, kAnn)), Optional(Reason::NOT_A_GROUP));
  EXPECT_THAT(Refusal(PlanReturn(direct, kAnn, LastStay{})), Optional(Reason::NOT_A_GROUP));
}

TEST(ConversationTest, StrangersChangeNothing) {
  EXPECT_THAT(Refusal(PlanRename(Group(), kEve, "t")), Optional(Reason::NOT_A_MEMBER));
  EXPECT_THAT(Refusal(PlanAdd(Group(), kEve, {kEve})), Optional(Reason::NOT_A_MEMBER));
  EXPECT_THAT(Refusal(PlanRemove(Group(), kEve, kBob)), Optional(Reason::NOT_A_MEMBER));
  EXPECT_THAT(Refusal(PlanLeave(Group(), kEve)), Optional(Reason::NOT_A_MEMBER));
  EXPECT_THAT(Refusal(PlanReturn(Group(), kEve, std::nullopt)), Optional(Reason::NOT_A_MEMBER));
}

TEST(ConversationTest, WhoMayBeRemovedAndByWhom) {
  EXPECT_THAT(Refusal(PlanRemove(Group(), kAnn, kEve)), Optional(Reason::MEMBER_NOT_FOUND));
  EXPECT_THAT(Refusal(PlanRemove(Group(), kAnn, kAnn)), Optional(Reason::SELF_NOT_ALLOWED));
  EXPECT_THAT(Refusal(PlanRemove(Group(), kBob, kAnn)), Optional(Reason::NOT_ALLOWED));
  EXPECT_TRUE(PlanRemove(Group(), kAnn, kBob).ok());
}

TEST(ConversationTest, AGroupIsFullAtItsLimit) {
  ConversationState group = FullGroup();
  EXPECT_THAT(Refusal(PlanAdd(group, kAnn, {kEve})), Optional(Reason::TOO_MANY_MEMBERS));
  EXPECT_THAT(Refusal(PlanReturn(group, kEve, LastStay{.left_by_self = true})),
              Optional(Reason::TOO_MANY_MEMBERS));
  // Who is there already takes no place.
  EXPECT_TRUE(PlanAdd(group, kAnn, {kBob}).ok());
  group.members.erase(kBob);
  EXPECT_TRUE(PlanAdd(group, kAnn, {kEve}).ok());
  EXPECT_THAT(Refusal(PlanAdd(group, kAnn, {kBob, kEve})), Optional(Reason::TOO_MANY_MEMBERS));
}

}  // namespace
}  // namespace im::chat
