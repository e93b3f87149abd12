#include "imctl/chat_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace im::imctl {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kAnn = 1;
constexpr int64_t kBob = 2;

class ChatViewTest : public ::testing::Test {
 protected:
  static chat::v1::Entry Entry(int64_t seq, int64_t sender, const std::string& request_id = "") {
    chat::v1::Entry entry;
    entry.set_conversation_id(5);
    entry.set_seq(seq);
    entry.set_sender_user_id(sender);
    entry.set_request_id(request_id);
    entry.mutable_message()->mutable_text()->set_body("x");
    return entry;
  }
  void Mark(int64_t delivered, int64_t read) {
    chat::v1::Watermark mark;
    mark.set_user_id(kBob);
    mark.set_delivered_seq(delivered);
    mark.set_read_seq(read);
    view_.SetWatermark(mark);
  }
  std::string Status(int at = 0) {
    return view_.Status(ChatView::Time(seconds(at)),
                        [](int64_t id) -> std::string { return id == kBob ? "bob" : "?"; });
  }

  ChatView view_{5, kAnn, kBob};
};

TEST_F(ChatViewTest, ShowsEachEntryOnce) {
  EXPECT_TRUE(view_.Take(Entry(1, kBob)));
  EXPECT_FALSE(view_.Take(Entry(1, kBob)));
  EXPECT_TRUE(view_.Take(Entry(3, kBob)));
  EXPECT_FALSE(view_.Take(Entry(2, kBob)));
  auto other = Entry(9, kBob);
  other.set_conversation_id(6);
  EXPECT_FALSE(view_.Take(other));
}

TEST_F(ChatViewTest, OwnLinesArePendingUntilTheyHaveTheirPlace) {
  view_.Add("a", "one");
  view_.Add("b", "two");
  view_.Take(Entry(1, kAnn, "a"));
  ASSERT_EQ(view_.pending().size(), 1u);
  EXPECT_EQ(view_.pending()[0].text, "two");
  EXPECT_EQ(view_.Drop("b"), "two");
  EXPECT_THAT(view_.pending(), IsEmpty());
}

TEST_F(ChatViewTest, SaysHowFarTheLastOwnMessageCame) {
  EXPECT_EQ(Status(), "");
  view_.Take(Entry(4, kAnn));
  EXPECT_EQ(Status(), "sent");
  Mark(4, 2);
  EXPECT_EQ(Status(), "received");
  Mark(3, 4);
  EXPECT_EQ(Status(), "read");
  view_.Take(Entry(5, kAnn));
  EXPECT_EQ(Status(), "sent");
  view_.Take(Entry(6, kBob));
  EXPECT_EQ(Status(), "read");
}

TEST_F(ChatViewTest, TypingEndsBySilenceByWordAndByMessage) {
  view_.SetTyping(kBob, true, ChatView::Time(seconds(0)));
  EXPECT_EQ(Status(7), "bob is typing");
  EXPECT_EQ(Status(9), "");
  view_.SetTyping(kBob, true, ChatView::Time(seconds(10)));
  view_.SetTyping(kBob, false, ChatView::Time(seconds(11)));
  EXPECT_EQ(Status(11), "");
  view_.SetTyping(kBob, true, ChatView::Time(seconds(12)));
  view_.Take(Entry(1, kBob));
  EXPECT_THAT(view_.Typing(ChatView::Time(seconds(12))), IsEmpty());
  view_.SetTyping(kAnn, true, ChatView::Time(seconds(12)));
  EXPECT_EQ(Status(12), "");
}

TEST_F(ChatViewTest, SaysWhoIsThereUnlessNothingIsKnown) {
  presence::v1::Event event;
  event.set_complete(true);
  view_.SetPresence(event);
  EXPECT_EQ(Status(), "bob is offline");
  auto* bob = event.add_presences();
  bob->set_user_id(kBob);
  bob->set_status(presence::v1::STATUS_AWAY);
  view_.SetPresence(event);
  EXPECT_EQ(Status(), "bob is away");
  view_.SetConnection("not connected");
  EXPECT_EQ(Status(), "not connected");
}

}  // namespace
}  // namespace im::imctl
