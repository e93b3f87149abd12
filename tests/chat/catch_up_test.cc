#include "services/chat/catch_up.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "services/chat/watermarks.h"
#include "tests/chat/chat_fixture.h"
#include "tests/chat/link_fixture.h"

namespace im::chat {
namespace {

using im::testing::ChatFixture;
using im::testing::kAlice;
using im::testing::kBob;
using im::testing::kCarol;
using im::testing::TestGateway;
using im::testing::TestLinks;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class CatchUpTest : public ::testing::Test {
 protected:
  struct Caught {
    // What each user got of each conversation, in order.
    std::map<int64_t, std::map<int64_t, std::vector<int64_t>>> seqs;
    std::map<int64_t, std::vector<v1::OwnLogChanged>> own_log;
    bool complete = false;
  };

  CatchUpTest() {
    links_.on_catch_up = [this](const auto& link, int64_t since) {
      catch_ups_->Start(link, since);
    };
    gateway_ = std::make_unique<TestGateway>(&links_);
    gateway_->Open(1, kAlice);
    gateway_->Open(2, kBob);
  }
  ~CatchUpTest() override {
    gateway_->Stop();
    links_.Stop();
  }

  Caught Receive() {
    Caught caught;
    while (true) {
      const auto item = gateway_->Next();
      EXPECT_TRUE(item.has_value()) << "nothing came";
      if (!item.has_value()) return caught;
      if (item->has_catch_up_done()) {
        caught.complete = item->catch_up_done().complete();
        return caught;
      }
      EXPECT_TRUE(item->has_publication());
      const internal::v1::Publication& publication = item->publication();
      v1::Event event;
      EXPECT_TRUE(event.ParseFromString(publication.event()));
      EXPECT_FALSE(publication.user_ids().empty());
      for (const int64_t user : publication.user_ids()) {
        if (event.has_own_log()) {
          caught.own_log[user].push_back(event.own_log());
          continue;
        }
        EXPECT_EQ(event.entry().conversation_id(), publication.conversation_id());
        EXPECT_EQ(event.entry().seq(), publication.seq());
        caught.seqs[user][publication.conversation_id()].push_back(publication.seq());
      }
    }
  }
  Caught CatchUp(int64_t since) {
    gateway_->CatchUp(since);
    return Receive();
  }
  // The database's clock.
  int64_t Now() {
    return chat_.Number("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint");
  }
  // Waits until a catch-up to a gateway that does not read has come to a halt.
  std::shared_ptr<bus::Link> FullLink() {
    const std::shared_ptr<bus::Link> link = links_.server.Links().at(0);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (link->WaitForRoom(bus::Link::Part::kAll, 2 << 20, std::chrono::milliseconds(0))) {
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "the link does not fill";
        break;
      }
      std::this_thread::yield();
    }
    return link;
  }
  static std::vector<int64_t> Numbers(int64_t from, int64_t to) {
    std::vector<int64_t> numbers;
    for (int64_t i = from; i <= to; ++i) numbers.push_back(i);
    return numbers;
  }

  ChatFixture chat_;
  TestLinks links_{/*max_queue_bytes=*/16 << 20};
  OwnLog own_log_{&chat_.pool, nullptr};
  std::unique_ptr<Workers> workers_ = std::make_unique<Workers>(2, 100);
  std::unique_ptr<CatchUps> catch_ups_ =
      std::make_unique<CatchUps>(&chat_.pool, workers_.get(), &own_log_);
  std::unique_ptr<TestGateway> gateway_;
};

TEST_F(CatchUpTest, WhatWasStoredSince) {
  const int64_t group = chat_.Group(kAlice, {kBob, kCarol});
  const int64_t quiet = chat_.Group(kAlice, {kBob});
  const int64_t direct = chat_.Direct(kBob, kCarol);
  const int64_t others = chat_.Group(kCarol, {104});
  chat_.Say(group, kAlice, "before", 3);
  const int64_t since = Now();
  chat_.Say(group, kBob, "after", 2);
  chat_.Say(direct, kCarol, "after");
  chat_.Say(others, kCarol, "after");
  const Caught caught = CatchUp(since);
  EXPECT_TRUE(caught.complete);
  EXPECT_THAT(caught.seqs.at(kAlice).at(group), ElementsAre(5, 6));
  EXPECT_THAT(caught.seqs.at(kAlice), SizeIs(1));
  EXPECT_THAT(caught.seqs.at(kBob).at(group), ElementsAre(5, 6));
  EXPECT_THAT(caught.seqs.at(kBob).at(direct), ElementsAre(1));
  // Carol has no session here.
  EXPECT_THAT(caught.seqs, SizeIs(2));

  const Caught nothing = CatchUp(Now());
  EXPECT_TRUE(nothing.complete);
  EXPECT_THAT(nothing.seqs, IsEmpty());
  const Caught all = CatchUp(0);
  EXPECT_EQ(all.seqs.at(kAlice).at(group), Numbers(1, 6));
  EXPECT_THAT(all.seqs.at(kAlice).at(quiet), ElementsAre(1));
}

TEST_F(CatchUpTest, OnlyInsideTheStays) {
  const int64_t group = chat_.Group(kAlice, {kBob}, "open", /*open_history=*/true);  // 1
  chat_.Say(group, kAlice, "x", 2);                                                  // 2, 3
  chat_.Leave(group, kBob);                                                          // 4
  chat_.Say(group, kAlice, "x", 2);                                                  // 5, 6
  chat_.Return(group, kBob);                                                         // 7
  chat_.Say(group, kAlice, "x");                                                     // 8
  const Caught caught = CatchUp(0);
  EXPECT_EQ(caught.seqs.at(kAlice).at(group), Numbers(1, 8));
  EXPECT_THAT(caught.seqs.at(kBob).at(group), ElementsAre(1, 2, 3, 4, 7, 8));
}

TEST_F(CatchUpTest, OwnLogs) {
  const int64_t group = chat_.Group(kAlice, {kBob, kCarol});
  chat_.Say(group, kAlice, "x", 5);
  TestLinks elsewhere;
  Publisher publisher(&elsewhere.server);
  Watermarks watermarks(&chat_.pool, &publisher, &own_log_, std::chrono::hours(1));
  ASSERT_TRUE(watermarks.MarkRead(kBob, group, 2).ok());
  const int64_t since = Now();
  ASSERT_TRUE(watermarks.MarkRead(kBob, group, 3).ok());
  ASSERT_TRUE(watermarks.MarkRead(kCarol, group, 4).ok());
  const Caught caught = CatchUp(since);
  EXPECT_TRUE(caught.complete);
  ASSERT_THAT(caught.own_log, SizeIs(1));
  ASSERT_THAT(caught.own_log.at(kBob), SizeIs(1));
  const v1::OwnLogChanged& changed = caught.own_log.at(kBob)[0];
  EXPECT_EQ(changed.position(), 2);
  EXPECT_EQ(changed.records(0).read_mark().read_seq(), 3);
}

TEST_F(CatchUpTest, ManyEntriesInManyConversations) {
  std::vector<int64_t> groups;
  for (int i = 0; i < 130; ++i) groups.push_back(chat_.Group(kAlice, {kBob}));
  chat_.Say(groups[3], kAlice, "x", 2500);
  chat_.Say(groups[4], kAlice, std::string(8000, 'x'), 300);
  chat_.Say(groups[129], kAlice, "x", 10);
  const Caught caught = CatchUp(0);
  EXPECT_TRUE(caught.complete);
  for (const int64_t user : {kAlice, kBob}) {
    EXPECT_THAT(caught.seqs.at(user), SizeIs(130));
    EXPECT_EQ(caught.seqs.at(user).at(groups[3]), Numbers(1, 2501));
    EXPECT_EQ(caught.seqs.at(user).at(groups[4]), Numbers(1, 301));
    EXPECT_EQ(caught.seqs.at(user).at(groups[129]), Numbers(1, 11));
    EXPECT_EQ(caught.seqs.at(user).at(groups[7]), Numbers(1, 1));
  }
}

// More than the link's queue takes, to a gateway that does not read for a while: the catch-up
// waits, and the link stays.
TEST_F(CatchUpTest, ItKeepsPaceWithTheLink) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, std::string(16000, 'x'), 1500);
  gateway_->Hold(true);
  gateway_->CatchUp(0);
  FullLink();
  gateway_->Hold(false);
  const Caught caught = Receive();
  EXPECT_TRUE(caught.complete);
  EXPECT_EQ(caught.seqs.at(kBob).at(group), Numbers(1, 1501));
}

TEST_F(CatchUpTest, RequestsThatWaitAreDoneTogether) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, std::string(16000, 'x'), 1500);
  const int64_t since = Now();
  gateway_->Hold(true);
  gateway_->CatchUp(0);
  FullLink();
  for (int i = 0; i < 3; ++i) gateway_->CatchUp(since + i);
  gateway_->Hold(false);
  EXPECT_EQ(Receive().seqs.at(kBob).at(group), Numbers(1, 1501));
  for (int i = 0; i < 3; ++i) {
    const Caught more = Receive();
    EXPECT_TRUE(more.complete);
    EXPECT_THAT(more.seqs, IsEmpty());
  }
}

TEST_F(CatchUpTest, FailuresAreSaid) {
  chat_.Group(kAlice, {kBob});
  chat_.database.Exec("ALTER TABLE chat.entries RENAME TO away");
  EXPECT_FALSE(CatchUp(0).complete);
  chat_.database.Exec("ALTER TABLE chat.away RENAME TO entries");
  EXPECT_TRUE(CatchUp(0).complete);
}

TEST_F(CatchUpTest, ItEndsWithTheLink) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, std::string(16000, 'x'), 1500);
  gateway_->Hold(true);
  gateway_->CatchUp(0);
  const std::shared_ptr<bus::Link> link = FullLink();
  // The link goes while the catch-up waits: that ends at once.
  link->Cut();
  gateway_->Hold(false);
  gateway_->Stop();
  const auto start = std::chrono::steady_clock::now();
  catch_ups_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

// Whoever holds a link does not know when gRPC frees what it had for the stream.
TEST_F(CatchUpTest, ALinkMayBeCutAfterItsStreamEnded) {
  const std::shared_ptr<bus::Link> link = links_.server.Links().at(0);
  gateway_->Stop();
  links_.Stop();
  link->Cut();
  link->Send(internal::v1::ServiceItem());
}

}  // namespace
}  // namespace im::chat
