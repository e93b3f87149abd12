#include "services/chat/message_service.h"

#include <gtest/gtest.h>

#include <future>
#include <string>

#include "common/base/error.h"
#include "common/base/random.h"
#include "im/chat/v1/messages.pb.h"
#include "tests/chat/chat_fixture.h"
#include "tests/chat/link_fixture.h"

namespace im::chat {
namespace {

using testing::ChatFixture;
using testing::kAlice;
using testing::kBob;
using testing::TestGateway;
using testing::TestLinks;

class MessageServiceTest : public ::testing::Test {
 protected:
  absl::Status Send(const Origin& origin) {
    v1::SendMessageRequest request;
    request.set_conversation_id(group_);
    request.set_request_id(RandomBytes(16));
    request.mutable_content()->mutable_text()->set_body("hello");
    std::promise<absl::Status> sent;
    messages_.Send(
        kAlice, request.SerializeAsString(), origin, MessageService::Deadline::max(),
        [&](const absl::StatusOr<std::string>& answer) { sent.set_value(answer.status()); });
    return sent.get_future().get();
  }

  ChatFixture chat_;
  const int64_t group_ = chat_.Group(kAlice, {kBob});
  TestLinks links_;
  Publisher publisher_{&links_.server};
  Epoch epoch_{[](int64_t) {}};
  Writers writers_{2, {.database_url = chat_.database.UrlOf("chat")}, &publisher_, &epoch_};
  MessageService messages_{&writers_};
};

// Its answers would be late. Who does not ask through it is served.
TEST_F(MessageServiceTest, RefusesThroughAGatewayThatDoesNotTakeItsAnswers) {
  TestGateway gateway(&links_);
  gateway.Open(1, kAlice);
  const std::shared_ptr<bus::Link> link = links_.server.Links().at(0);
  EXPECT_TRUE(Send({link, 1}).ok());
  gateway.Hold(true);
  // More than the transport takes by itself.
  for (int i = 0; i < 64; ++i) {
    internal::v1::ServiceItem item;
    item.mutable_delivery()->set_event(std::string(64 << 10, 'x'));
    link->Send(std::move(item));
  }
  EXPECT_FALSE(link->WaitForRoom(bus::Link::Part::kDeliveries, 1 << 20, std::chrono::seconds(1)));
  EXPECT_TRUE(link->IsLate());
  const absl::Status refused = Send({link, 1});
  EXPECT_EQ(ReasonOf(refused), Reason::OVERLOADED);
  EXPECT_TRUE(DetailsOf(refused).retry_after.has_value());
  EXPECT_TRUE(Send({}).ok());
  gateway.Hold(false);
  EXPECT_TRUE(link->WaitForRoom(bus::Link::Part::kAll, 0, std::chrono::seconds(30)));
  EXPECT_FALSE(link->IsLate());
  EXPECT_TRUE(Send({link, 1}).ok());
}

// What is live leaves resumes their room.
TEST_F(MessageServiceTest, WhatResumesDeliverIsCountedApart) {
  TestGateway gateway(&links_);
  gateway.Open(1, kAlice);
  const std::shared_ptr<bus::Link> link = links_.server.Links().at(0);
  gateway.Hold(true);
  for (int i = 0; i < 64; ++i) {
    internal::v1::ServiceItem item;
    item.mutable_publication()->set_event(std::string(64 << 10, 'x'));
    link->Send(std::move(item));
  }
  EXPECT_FALSE(link->WaitForRoom(bus::Link::Part::kAll, 1 << 20, std::chrono::seconds(1)));
  EXPECT_TRUE(link->WaitForRoom(bus::Link::Part::kDeliveries, 0, std::chrono::seconds(0)));
}

// It will have no answers at all.
TEST_F(MessageServiceTest, RefusesThroughALinkThatIsBeingCut) {
  TestGateway gateway(&links_);
  gateway.Open(1, kAlice);
  const std::shared_ptr<bus::Link> link = links_.server.Links().at(0);
  gateway.Hold(true);
  internal::v1::ServiceItem item;
  item.mutable_publication()->set_event(std::string((64 << 20) + 1, 'x'));
  link->Send(std::move(item));
  EXPECT_EQ(ReasonOf(Send({link, 1})), Reason::OVERLOADED);
}

}  // namespace
}  // namespace im::chat
