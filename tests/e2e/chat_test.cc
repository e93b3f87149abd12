// From end to end: real processes, a real database, the client library.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/random.h"
#include "tests/e2e/person.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

class ChatTest : public ::testing::Test {
 protected:
  Stack stack_;
  Person ann_{stack_.address(), "ann"};
  Person bob_{stack_.address(), "bob"};
};

TEST_F(ChatTest, AMessageReachesEveryDeviceOfBoth) {
  ann_.Befriends(bob_);
  const int64_t chat = ann_.OpensDirect(bob_);
  auto phone = ann_.Connects(), laptop = ann_.Connects(), bobs = bob_.Connects();
  for (auto* device : {&phone, &laptop, &bobs}) (*device)->WaitLive();

  const auto sent = phone->Sends(chat, "hi");
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_EQ(sent->seq(), 1);
  EXPECT_THAT(bobs->Hears(chat, 1), ElementsAre("hi"));
  EXPECT_THAT(laptop->Hears(chat, 1), ElementsAre("hi"));
  ASSERT_TRUE(bobs->Sends(chat, "hello").ok());
  EXPECT_THAT(phone->Hears(chat, 2), ElementsAre("hi", "hello"));
  EXPECT_THAT(bob_.ReadsHistory(chat), ElementsAre("hi", "hello"));
}

TEST_F(ChatTest, WhoWasAwayGetsAllInOrder) {
  ann_.Befriends(bob_);
  const int64_t chat = ann_.OpensDirect(bob_);
  auto anns = ann_.Connects();
  anns->WaitLive();
  std::vector<std::string> said;
  for (int i = 0; i < 30; ++i) {
    said.push_back(std::to_string(i));
    ASSERT_TRUE(anns->Sends(chat, said.back()).ok());
  }
  client::SessionOptions options;
  // A device that has something already, so that it resumes rather than lists.
  options.snapshot.have.set_own_log_position(0);
  auto bobs = bob_.Connects(options);
  bobs->WaitLive();
  EXPECT_EQ(bob_.ReadsHistory(chat), said);
}

TEST_F(ChatTest, KillingChatLosesNothing) {
  ann_.Befriends(bob_);
  const int64_t chat = ann_.OpensDirect(bob_);
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  ASSERT_TRUE(anns->Sends(chat, "before").ok());
  stack_.Kill("chat");
  stack_.Launch("chat");
  ASSERT_TRUE(anns->Sends(chat, "after").ok());
  EXPECT_THAT(bobs->Hears(chat, 2), ElementsAre("before", "after"));
}

TEST_F(ChatTest, KillingTheGatewayLosesNothing) {
  ann_.Befriends(bob_);
  const int64_t chat = ann_.OpensDirect(bob_);
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  ASSERT_TRUE(anns->Sends(chat, "before").ok());
  stack_.Kill("gateway");
  stack_.Launch("gateway");
  ASSERT_TRUE(anns->Sends(chat, "after").ok());
  EXPECT_THAT(bobs->Hears(chat, 2), ElementsAre("before", "after"));
}

TEST_F(ChatTest, ABlockedSenderCannotDeliver) {
  ann_.Befriends(bob_);
  const int64_t chat = ann_.OpensDirect(bob_);
  auto anns = ann_.Connects();
  anns->WaitLive();
  ASSERT_TRUE(anns->Sends(chat, "hi").ok());
  chat::v1::BlockUserRequest block;
  block.set_user_id(ann_.id());
  block.set_request_id(RandomBytes(16));
  ASSERT_TRUE(bob_.Call(&chat::v1::ContactService::Stub::BlockUser, block).ok());
  EXPECT_THAT(ReasonOf(anns->Sends(chat, "psst").status()), Optional(Reason::RECIPIENT_REFUSES));
  EXPECT_THAT(bob_.ReadsHistory(chat), ElementsAre("hi"));
}

TEST_F(ChatTest, GroupsHaveStays) {
  ann_.Befriends(bob_);
  auto bobs = bob_.Connects();
  bobs->WaitLive();
  const int64_t group = ann_.CreatesGroup("team", {bob_.id()});
  auto anns = ann_.Connects();
  anns->WaitLive();
  ASSERT_TRUE(anns->Sends(group, "welcome").ok());
  EXPECT_THAT(bobs->Hears(group, 1), ElementsAre("welcome"));
  chat::v1::LeaveGroupRequest leave;
  leave.set_conversation_id(group);
  leave.set_request_id(RandomBytes(16));
  ASSERT_TRUE(bob_.Call(&chat::v1::ConversationService::Stub::LeaveGroup, leave).ok());
  ASSERT_TRUE(anns->Sends(group, "secret").ok());
  chat::v1::ReturnToGroupRequest back;
  back.set_conversation_id(group);
  back.set_request_id(RandomBytes(16));
  ASSERT_TRUE(bob_.Call(&chat::v1::ConversationService::Stub::ReturnToGroup, back).ok());
  ASSERT_TRUE(anns->Sends(group, "again").ok());
  EXPECT_THAT(bobs->Hears(group, 2), ElementsAre("welcome", "again"));
  EXPECT_THAT(bob_.ReadsHistory(group), ElementsAre("welcome", "again"));
}

TEST_F(ChatTest, MembersWhoAreThereAreNoHindranceToAddingOthers) {
  Person carol(stack_.address(), "carol"), dave(stack_.address(), "dave");
  ann_.Befriends(bob_);
  ann_.Befriends(carol);
  bob_.Befriends(dave);
  const int64_t group = ann_.CreatesGroup("team", {bob_.id(), carol.id()});
  chat::v1::AddMembersRequest add;
  add.set_conversation_id(group);
  const auto adds = [&](const std::vector<int64_t>& ids) {
    add.set_request_id(RandomBytes(16));
    add.mutable_user_ids()->Assign(ids.begin(), ids.end());
    return bob_.Call(&chat::v1::ConversationService::Stub::AddMembers, add);
  };
  // Carol is no contact of Bob's.
  const auto added = adds({carol.id(), dave.id()});
  ASSERT_TRUE(added.ok()) << added.status();
  EXPECT_THAT(added->entry().members_added().user_ids(), ElementsAre(dave.id()));
  Person eve(stack_.address(), "eve");
  EXPECT_THAT(ReasonOf(adds({carol.id(), eve.id()}).status()), Optional(Reason::MEMBER_REFUSED));
}

TEST_F(ChatTest, ContactsSeePresence) {
  ann_.Befriends(bob_);
  auto anns = ann_.Connects();
  anns->WaitLive();
  auto bobs = bob_.Connects();
  EXPECT_TRUE(anns->WaitFor([&](const Device& device) {
    return !device.presences.empty() && device.presences.back().user_id() == bob_.id() &&
           device.presences.back().status() == presence::v1::STATUS_ONLINE;
  }));
  bobs.reset();
  EXPECT_TRUE(anns->WaitFor([&](const Device& device) {
    return device.presences.back().status() == presence::v1::STATUS_OFFLINE &&
           device.presences.back().has_last_seen_at();
  }));
}

TEST_F(ChatTest, ARevokedDeviceLosesItsStream) {
  auto anns = ann_.Connects();
  anns->WaitLive();
  auth::v1::RevokeDevicesRequest revoke;
  revoke.set_all_others(true);
  ASSERT_TRUE(ann_.Call(&auth::v1::DeviceService::Stub::RevokeDevices, revoke).ok());
  const auto revoked_at = std::chrono::steady_clock::now();
  EXPECT_TRUE(anns->WaitFor(
      [](const Device& device) { return device.state == client::ConnectionState::kEnded; }));
  EXPECT_LT(std::chrono::steady_clock::now() - revoked_at, std::chrono::seconds(1));
  EXPECT_THAT(ReasonOf(anns->why), Optional(Reason::DEVICE_REVOKED));
}

}  // namespace
}  // namespace im::testing
