// Interleavings of whole processes, each brought about: two chat instances, commits that are held,
// instances that are stopped or killed at the right moment. See docs/testing.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "common/base/error.h"
#include "common/base/random.h"
#include "gateway/links.h"
#include "tests/e2e/person.h"
#include "tests/support/commit_hold.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::Optional;

using Sent = std::future<absl::StatusOr<chat::v1::SendMessageResponse>>;

class InterleavingsTest : public ::testing::Test {
 protected:
  InterleavingsTest() {
    ann_.Befriends(bob_);
    chat_ = ann_.OpensDirect(bob_);
  }

  // The instance that the gateways choose for a key while both are there.
  std::string OwnerOf(int64_t key) const {
    const auto weight = [&](const std::string& name) {
      return gateway::RendezvousWeight("unix:" + stack_.folder() + "/" + name + ".sock",
                                       static_cast<uint64_t>(key));
    };
    return weight("chat") > weight("chat-2") ? "chat" : "chat-2";
  }
  Sent Sends(Device* device, const std::string& text) const {
    chat::v1::Content content;
    content.mutable_text()->set_body(text);
    auto promise = std::make_shared<std::promise<absl::StatusOr<chat::v1::SendMessageResponse>>>();
    Sent sent = promise->get_future();
    device->session().Send(chat_, content,
                           [promise](auto outcome) { promise->set_value(std::move(outcome)); });
    return sent;
  }
  // 0: it failed, or had no answer in time.
  static int64_t SeqOf(Sent* sent) {
    if (sent->wait_for(seconds(30)) != std::future_status::ready) return 0;
    const auto outcome = sent->get();
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    return outcome.ok() ? outcome->seq() : 0;
  }

  // How often a gateway has logged an event.
  int Logged(const std::string& event, const std::string& gateway = "gateway") const {
    const std::string log = stack_.Log(gateway);
    const std::string word = " " + event + " ";
    int count = 0;
    for (size_t at = log.find(word); at != std::string::npos; at = log.find(word, at + 1)) ++count;
    return count;
  }
  void AwaitLogged(const std::string& event, int count, seconds patience = seconds(30)) const {
    const auto until = steady_clock::now() + patience;
    while (Logged(event) < count) {
      ASSERT_LT(steady_clock::now(), until) << "no " << event << " in the gateway's log";
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  // As the database has it: "1 2 3".
  std::string StoredSeqs() {
    return stack_.database().Value(
        "SELECT coalesce(string_agg(seq::text, ' ' ORDER BY seq), '') FROM chat.entries "
        "WHERE conversation_id = " +
        std::to_string(chat_));
  }
  static std::vector<int64_t> SeqsHeard(Device* device) {
    std::vector<int64_t> seqs;
    for (const chat::v1::Entry& entry : device->Entries()) seqs.push_back(entry.seq());
    return seqs;
  }

  Stack stack_{{.instances = {{"chat", 2}, {"gateway", 2}}}};
  Person ann_{stack_.address(), "ann"};
  Person bob_{stack_.address(), "bob"};
  int64_t chat_ = 0;
};

// Takes a little more than a minute: the second catch-up comes a minute after the first.
TEST_F(InterleavingsTest, ACommitThatLandsAfterItsInstanceWasKilledAndAfterTheFirstCatchUp) {
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  const std::string owner = OwnerOf(chat_);
  const int asked = Logged("catch_up");
  CommitHold hold(&stack_.database(), "chat.entries");
  hold.Hold();
  Sent sent = Sends(anns.get(), "late");
  hold.AwaitHeld(1);
  // Nobody is left who would send it again, or publish it.
  anns.reset();
  stack_.Kill(owner);
  AwaitLogged("catch_up", asked + 1);
  // The other instance has done the first catch-up by the time that this has come and gone.
  ASSERT_TRUE(bob_.Call(&chat::v1::ConversationService::Stub::ListConversations,
                        chat::v1::ListConversationsRequest())
                  .ok());
  EXPECT_EQ(StoredSeqs(), "");
  hold.Release();
  hold.AwaitNoneHeld();
  EXPECT_EQ(StoredSeqs(), "1");
  const auto until = steady_clock::now() + seconds(90);
  while (SeqsHeard(bobs.get()).empty() && steady_clock::now() < until) {
    bobs->WaitFor([](const Device& device) { return !device.entries.empty(); });
  }
  EXPECT_THAT(bobs->Hears(chat_, 1), ElementsAre("late"));
  EXPECT_EQ(Logged("catch_up"), asked + 2) << "it came otherwise than by the second catch-up";
  EXPECT_EQ(Logged("session_opened"), 2) << "somebody had to connect again";
}

TEST_F(InterleavingsTest, AStopBetweenCommitAndPublishLongerThanTheHeartbeat) {
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  const std::string owner = OwnerOf(chat_);
  CommitHold hold(&stack_.database(), "chat.entries");
  hold.Hold();
  Sent sent = Sends(anns.get(), "stored and not told");
  hold.AwaitHeld(1);
  anns.reset();
  stack_.Pause(owner);
  hold.Release();
  hold.AwaitNoneHeld();
  ASSERT_EQ(StoredSeqs(), "1");
  // While it stands still: the gateway misses its heartbeat, and has the other one publish.
  EXPECT_THAT(bobs->Hears(chat_, 1), ElementsAre("stored and not told"));
  stack_.Resume(owner);
  // What it publishes late is dropped; and its memory is older than the conversation.
  anns = ann_.Connects();
  anns->WaitLive();
  EXPECT_EQ(anns->Sends(chat_, "next")->seq(), 2);
  EXPECT_THAT(bobs->Hears(chat_, 2), ElementsAre("stored and not told", "next"));
  EXPECT_THAT(SeqsHeard(bobs.get()), ElementsAre(1, 2));
}

TEST_F(InterleavingsTest, AConversationThatMovesWhileAMessageIsUnderWay) {
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  const std::string owner = OwnerOf(chat_);
  ASSERT_EQ(anns->Sends(chat_, "first")->seq(), 1);
  ASSERT_THAT(bobs->Hears(chat_, 1), ElementsAre("first"));
  const int down = Logged("link_down");
  CommitHold hold(&stack_.database(), "chat.entries");
  hold.Hold();
  Sent second = Sends(anns.get(), "second");
  hold.AwaitHeld(1);
  stack_.Pause(owner);
  AwaitLogged("link_down", down + 1);
  // The other one gets Ann's retry, and finds the row locked by what the first one has under way.
  AwaitRowWaiters(&stack_.database(), 1);
  hold.Release();
  EXPECT_EQ(SeqOf(&second), 2);
  Sent third = Sends(bobs.get(), "third");
  EXPECT_EQ(SeqOf(&third), 3);
  // And back: the first one remembers entry 1, or 2.
  const int up = Logged("link_up");
  stack_.Resume(owner);
  AwaitLogged("link_up", up + 1);
  Sent fourth = Sends(anns.get(), "fourth"), fifth = Sends(bobs.get(), "fifth");
  const int64_t seq_of_fourth = SeqOf(&fourth), seq_of_fifth = SeqOf(&fifth);
  EXPECT_EQ(seq_of_fourth + seq_of_fifth, 4 + 5);
  EXPECT_EQ(StoredSeqs(), "1 2 3 4 5");
  for (const auto& device : {anns.get(), bobs.get()}) {
    EXPECT_EQ(device->Hears(chat_, 5).size(), 5U);
    EXPECT_THAT(SeqsHeard(device), ElementsAre(1, 2, 3, 4, 5));
  }
}

TEST_F(InterleavingsTest, AClientThatConnectsWhileAMessageCommits) {
  auto anns = ann_.Connects();
  anns->WaitLive();
  CommitHold hold(&stack_.database(), "chat.entries");
  hold.Hold();
  Sent sent = Sends(anns.get(), "under way");
  hold.AwaitHeld(1);
  // It reads the log, which does not have it yet, and is told when it has.
  auto bobs = bob_.Connects();
  bobs->WaitLive();
  EXPECT_TRUE(bobs->Entries().empty());
  hold.Release();
  EXPECT_EQ(SeqOf(&sent), 1);
  EXPECT_THAT(bobs->Hears(chat_, 1), ElementsAre("under way"));
}

TEST_F(InterleavingsTest, ABlockThroughOneInstanceHoldsForWhoSendsThroughTheOtherAtOnce) {
  auto anns = ann_.Connects();
  anns->WaitLive();
  int across = 0;
  for (int i = 0; across < 2; ++i) {
    // Through the other gateway, to whichever instance she is for.
    Person eve(stack_.address("gateway-2"), "eve" + std::to_string(i));
    ann_.Befriends(eve);
    const int64_t chat = ann_.OpensDirect(eve);
    // BlockUser goes by whom it is about.
    if (OwnerOf(chat) == OwnerOf(ann_.id())) continue;
    ++across;
    ASSERT_TRUE(anns->Sends(chat, "hi").ok());
    chat::v1::BlockUserRequest block;
    block.set_user_id(ann_.id());
    block.set_request_id(RandomBytes(16));
    ASSERT_TRUE(eve.Call(&chat::v1::ContactService::Stub::BlockUser, block).ok());
    EXPECT_THAT(ReasonOf(anns->Sends(chat, "psst").status()), Optional(Reason::RECIPIENT_REFUSES));
    chat::v1::UnblockUserRequest unblock;
    unblock.set_user_id(ann_.id());
    unblock.set_request_id(RandomBytes(16));
    ASSERT_TRUE(eve.Call(&chat::v1::ContactService::Stub::UnblockUser, unblock).ok());
    EXPECT_TRUE(anns->Sends(chat, "again").ok());
    EXPECT_THAT(eve.ReadsHistory(chat), ElementsAre("hi", "again"));
  }
}

TEST_F(InterleavingsTest, SomeoneRemovedWhileAway) {
  Person carol(stack_.address(), "carol");
  ann_.Befriends(carol);
  const int64_t group = ann_.CreatesGroup("team", {bob_.id(), carol.id()});
  auto anns = ann_.Connects();
  anns->WaitLive();
  client::SessionOptions options;
  {
    auto bobs = bob_.Connects();
    bobs->WaitLive();
    ASSERT_TRUE(anns->Sends(group, "while there").ok());
    ASSERT_EQ(bobs->Hears(group, 1).size(), 1U);
    options.snapshot = bobs->session().GetSnapshot();
  }
  ASSERT_TRUE(anns->Sends(group, "while away").ok());
  chat::v1::RemoveMemberRequest remove;
  remove.set_conversation_id(group);
  remove.set_user_id(bob_.id());
  remove.set_request_id(RandomBytes(16));
  ASSERT_TRUE(ann_.Call(&chat::v1::ConversationService::Stub::RemoveMember, remove).ok());
  ASSERT_TRUE(anns->Sends(group, "not for Bob").ok());
  // By another gateway: what is left of the stay, its end, and nothing behind it.
  Device bobs(stack_.address("gateway-2"), bob_.LogsIn(), options);
  bobs.WaitLive();
  EXPECT_TRUE(bobs.WaitFor([](const Device& device) {
    return !device.entries.empty() && device.entries.back().has_member_removed();
  }));
  ASSERT_TRUE(anns->Sends(group, "nor this").ok());
  EXPECT_THAT(bobs.Hears(group, 1), ElementsAre("while away"));
  EXPECT_THAT(bob_.ReadsHistory(group), ElementsAre("while there", "while away"));
  EXPECT_EQ(ReasonOf(bobs.Sends(group, "let me in").status()), Reason::NOT_A_MEMBER);
}

// A founder who leaves a group with open history, and what is said meanwhile.
TEST_F(InterleavingsTest, AFounderLeavesAndComesBackToOpenHistory) {
  chat::v1::CreateGroupRequest create;
  create.set_title("open");
  create.set_open_history(true);
  create.set_request_id(RandomBytes(16));
  create.add_user_ids(bob_.id());
  const auto created = ann_.Call(&chat::v1::ConversationService::Stub::CreateGroup, create);
  ASSERT_TRUE(created.ok()) << created.status();
  const int64_t group = created->conversation().conversation_id();
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  ASSERT_TRUE(anns->Sends(group, "hello").ok());
  chat::v1::LeaveGroupRequest leave;
  leave.set_conversation_id(group);
  leave.set_request_id(RandomBytes(16));
  ASSERT_TRUE(ann_.Call(&chat::v1::ConversationService::Stub::LeaveGroup, leave).ok());
  ASSERT_TRUE(bobs->Sends(group, "she is away").ok());
  EXPECT_THAT(ann_.ReadsHistory(group), ElementsAre("hello"));
  chat::v1::ReturnToGroupRequest back;
  back.set_conversation_id(group);
  back.set_request_id(RandomBytes(16));
  ASSERT_TRUE(ann_.Call(&chat::v1::ConversationService::Stub::ReturnToGroup, back).ok());
  ASSERT_TRUE(bobs->Sends(group, "welcome back").ok());
  // The history is open, so that her device has all of it, each once; and she is the founder.
  EXPECT_THAT(ann_.ReadsHistory(group), ElementsAre("hello", "she is away", "welcome back"));
  EXPECT_THAT(anns->Hears(group, 3), ElementsAre("hello", "she is away", "welcome back"));
  EXPECT_EQ(stack_.database().Value(
                "SELECT string_agg(role::text, ' ' ORDER BY join_seq) FROM chat.members "
                "WHERE conversation_id = " +
                std::to_string(group) + " AND user_id = " + std::to_string(ann_.id())),
            "3 3");
}

}  // namespace
}  // namespace im::testing
