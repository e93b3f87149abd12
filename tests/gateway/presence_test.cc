// How presence reaches a device: changes for many, and the picture for one.
#include "gateway/outbox.h"
#include "im/presence/v1/presence.pb.h"
#include "tests/gateway/fixture.h"

namespace im::gateway {
namespace {

using PresenceTest = GatewayTest;

std::string PresenceEvent(int64_t user, bool complete) {
  presence::v1::Event event;
  event.set_complete(complete);
  auto* presence = event.add_presences();
  presence->set_user_id(user);
  presence->set_status(presence::v1::STATUS_ONLINE);
  return event.SerializeAsString();
}

TEST_F(PresenceTest, ThePictureReachesItsDevice) {
  Start();
  uint64_t session = 0;
  auto alice = Live("1:10", &session);
  auto bob = Live("2:20");
  presence_->Deliver(session, PresenceEvent(2, true));
  presence_->Publish({1, 2}, PresenceEvent(3, false));
  const v1::ServerFrame picture = alice->Next();
  EXPECT_TRUE(picture.presence().complete());
  EXPECT_EQ(picture.presence().presences(0).user_id(), 2);
  EXPECT_EQ(alice->Next().presence().presences(0).user_id(), 3);
  EXPECT_EQ(bob->Next().presence().presences(0).user_id(), 3);
}

TEST_F(PresenceTest, AStatusSetByAUnaryCallIsAnnouncedToTheNextRun) {
  Start();
  uint64_t session = 0;
  auto alice = Live("1:10", &session);
  pb::ServiceItem item;
  item.mutable_status_set()->set_session(session);
  item.mutable_status_set()->set_status(presence::v1::STATUS_INVISIBLE);
  presence_->Say(item);
  // What follows it on the link has come, so it has, too.
  presence_->Publish({1}, PresenceEvent(3, false));
  alice->NextOf(v1::ServerFrame::kPresence);
  presence_->Stop();
  presence_->Start();
  EXPECT_EQ(presence_->TakeOpen().status(), presence::v1::STATUS_INVISIBLE);
}

TEST(OutboxTest, WhatComesAfterAPictureStaysBehindIt) {
  Outbox box(100000);
  const Frame before = EventFrame(kPresenceEvent, "before");
  const Frame picture = EventFrame(kPresenceEvent, "picture");
  const Frame after = EventFrame(kPresenceEvent, "after");
  EXPECT_TRUE(box.AddLive(before, "presence/5", true));
  EXPECT_TRUE(box.AddPicture(picture));
  Outbox other(100000);
  other.Append(&box);
  EXPECT_TRUE(other.AddLive(after, "presence/5", true));
  EXPECT_TRUE(other.AddLive(after, "presence/5", true));
  Frame frame;
  std::vector<size_t> sizes;
  while (other.Pop(&frame)) sizes.push_back(frame.size());
  EXPECT_EQ(sizes, (std::vector<size_t>{before.size(), picture.size(), after.size()}));
}

}  // namespace
}  // namespace im::gateway
