#include "services/chat/resume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/chat/chat_fixture.h"
#include "tests/chat/link_fixture.h"

namespace im::chat {
namespace {

using im::testing::ChatFixture;
using im::testing::kAlice;
using im::testing::kBob;
using im::testing::kCarol;
using im::testing::kDave;
using im::testing::TestGateway;
using im::testing::TestLinks;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kEpoch = 77;

// "e5" an entry, "g1-4" a gap, "c13" a conversation whose last entry is 13, "w:2/3" a watermark.
std::string Short(const v1::Event& event) {
  switch (event.event_case()) {
    case v1::Event::kEntry:
      return "e" + std::to_string(event.entry().seq());
    case v1::Event::kGap:
      return "g" + std::to_string(event.gap().from_seq()) + "-" +
             std::to_string(event.gap().to_seq());
    case v1::Event::kConversation:
      return "c" + std::to_string(event.conversation().last_seq());
    case v1::Event::kWatermark:
      return "w:" + std::to_string(event.watermark().watermark().read_seq()) + "/" +
             std::to_string(event.watermark().watermark().delivered_seq());
    default:
      return "?";
  }
}

int64_t ConversationOf(const v1::Event& event) {
  switch (event.event_case()) {
    case v1::Event::kEntry:
      return event.entry().conversation_id();
    case v1::Event::kGap:
      return event.gap().conversation_id();
    case v1::Event::kConversation:
      return event.conversation().conversation_id();
    case v1::Event::kWatermark:
      return event.watermark().conversation_id();
    default:
      return 0;
  }
}

struct Resumed {
  std::vector<v1::Event> events;
  // Of each conversation, in order.
  std::map<int64_t, std::vector<std::string>> by_conversation;
  // In the order they came first.
  std::vector<int64_t> conversations;
  std::vector<v1::OwnLogChanged> own_log;
  std::vector<size_t> page_bytes;
  internal::v1::ResumeEnd end;
};

class ResumeTest : public ::testing::Test {
 protected:
  ResumeTest() {
    links_.on_call = [this](const auto& link, const auto& session, const auto& call) {
      v1::Have have;
      ASSERT_TRUE(have.ParseFromString(call.request()));
      passes_->Start(link, session, have);
    };
    links_.on_more = [this](const auto& link, const auto& session) {
      passes_->More(link, session);
    };
    links_.on_closed = [this](const auto& link, const auto& session) {
      passes_->Cancel(link, session.number);
    };
    links_.on_down = [this](const auto& link) { passes_->Cancel(link); };
    MakePasses({});
    gateway_ = std::make_unique<TestGateway>(&links_);
    gateway_->Open(1, kAlice);
    gateway_->Open(2, kBob);
  }
  ~ResumeTest() override {
    gateway_->Stop();
    links_.Stop();
  }

  void MakePasses(ResumeOptions options) {
    passes_ = std::make_unique<ResumePasses>(
        &chat_.pool, workers_.get(), &own_log_, &watermarks_, [this] { return epoch_.load(); },
        options);
  }

  // Takes in what comes until the end, and lets page follow page.
  Resumed Receive(uint64_t session) {
    Resumed resumed;
    resumed.page_bytes.push_back(0);
    while (true) {
      const auto item = gateway_->Next();
      EXPECT_TRUE(item.has_value()) << "nothing came";
      if (!item.has_value()) return resumed;
      if (item->has_resume_page_end()) {
        EXPECT_EQ(item->resume_page_end().session(), session);
        gateway_->More(session);
        resumed.page_bytes.push_back(0);
      } else if (item->has_resume_end()) {
        EXPECT_EQ(item->resume_end().session(), session);
        resumed.end = item->resume_end();
        return resumed;
      } else {
        EXPECT_TRUE(item->has_delivery());
        EXPECT_EQ(item->delivery().session(), session);
        v1::Event event;
        EXPECT_TRUE(event.ParseFromString(item->delivery().event()));
        resumed.page_bytes.back() += item->delivery().event().size();
        resumed.events.push_back(event);
        if (event.has_own_log()) {
          resumed.own_log.push_back(event.own_log());
          continue;
        }
        const int64_t conversation = ConversationOf(event);
        std::vector<std::string>& seen = resumed.by_conversation[conversation];
        if (seen.empty()) resumed.conversations.push_back(conversation);
        seen.push_back(Short(event));
      }
    }
  }
  Resumed Resume(uint64_t session, const v1::Have& have) {
    gateway_->Have(session, have);
    return Receive(session);
  }
  static v1::Have Have(const std::vector<std::pair<int64_t, int64_t>>& conversations = {}) {
    v1::Have have;
    have.set_epoch(kEpoch);
    for (const auto& [id, seq] : conversations) {
      v1::HaveConversation* const one = have.add_conversations();
      one->set_conversation_id(id);
      one->set_seq(seq);
    }
    return have;
  }
  static std::vector<std::string> Entries(int64_t from, int64_t to) {
    std::vector<std::string> entries;
    for (int64_t seq = from; seq <= to; ++seq) entries.push_back("e" + std::to_string(seq));
    return entries;
  }
  static std::vector<std::string> Join(std::vector<std::string> first,
                                       const std::vector<std::string>& then) {
    first.insert(first.end(), then.begin(), then.end());
    return first;
  }

  ChatFixture chat_;
  std::atomic<int64_t> epoch_{kEpoch};
  TestLinks links_;
  // Marks are published where nobody listens: these tests are about what resumes send.
  TestLinks nowhere_;
  Publisher publisher_{&nowhere_.server};
  OwnLog own_log_{&chat_.pool, nullptr};
  Watermarks watermarks_{&chat_.pool, &publisher_, &own_log_, std::chrono::hours(1)};
  std::unique_ptr<Workers> workers_ = std::make_unique<Workers>(2, 100);
  std::unique_ptr<ResumePasses> passes_;
  std::unique_ptr<TestGateway> gateway_;
};

TEST_F(ResumeTest, WhoHasNothingGetsTheNewestOfAll) {
  const int64_t old = chat_.Group(kAlice, {kBob});
  const int64_t direct = chat_.Direct(kAlice, kBob);
  const int64_t silent = chat_.Direct(kAlice, kCarol);
  chat_.Say(direct, kBob, "x", 2);
  const int64_t busy = chat_.Group(kAlice, {kBob}, "busy");
  chat_.Say(busy, kAlice, "x", 99);
  const Resumed resumed = Resume(1, Have());
  EXPECT_THAT(resumed.conversations, ElementsAre(busy, direct, old));
  EXPECT_EQ(resumed.by_conversation.at(busy), Join({"c100", "g1-50"}, Entries(51, 100)));
  EXPECT_THAT(resumed.by_conversation.at(direct), ElementsAre("c2", "e1", "e2"));
  EXPECT_THAT(resumed.by_conversation.at(old), ElementsAre("c1", "e1"));
  EXPECT_EQ(resumed.by_conversation.count(silent), 0u);
  EXPECT_FALSE(resumed.end.has_failure());
  EXPECT_EQ(resumed.events[0].conversation().title(), "busy");
  EXPECT_FALSE(resumed.events[0].conversation().has_last_entry());
  EXPECT_EQ(resumed.events.back().entry().group_created().title(), "group");
  EXPECT_EQ(passes_->size(), 0u);

  v1::Have listing = Have();
  listing.set_only_listed(true);
  EXPECT_THAT(Resume(1, listing).events, IsEmpty());
}

TEST_F(ResumeTest, WhoHasAllGetsNothing) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  const int64_t direct = chat_.Direct(kAlice, kBob);
  chat_.Say(group, kAlice, "x", 3);
  chat_.Say(direct, kAlice, "x");
  EXPECT_THAT(Resume(1, Have({{group, 4}, {direct, 1}})).events, IsEmpty());
  // More than there is: nothing either.
  EXPECT_THAT(Resume(1, Have({{group, 4000}, {direct, INT64_MAX}})).events, IsEmpty());
}

TEST_F(ResumeTest, WhatIsMissingComesInOrder) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  const int64_t other = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kBob, "x", 9);
  const Resumed resumed = Resume(1, Have({{group, 7}, {other, 1}}));
  EXPECT_THAT(resumed.conversations, ElementsAre(group));
  EXPECT_THAT(resumed.by_conversation.at(group), ElementsAre("c10", "e8", "e9", "e10"));
}

TEST_F(ResumeTest, UpToTwoHundredComeMoreLeaveAGap) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kBob, "x", 299);
  EXPECT_EQ(Resume(1, Have({{group, 100}})).by_conversation.at(group),
            Join({"c300"}, Entries(101, 300)));
  EXPECT_EQ(Resume(1, Have({{group, 99}})).by_conversation.at(group),
            Join({"c300", "g100-250"}, Entries(251, 300)));
  EXPECT_EQ(Resume(1, Have({{group, 0}})).by_conversation.at(group),
            Join({"c300", "g1-250"}, Entries(251, 300)));
}

TEST_F(ResumeTest, GapsKeepInsideTheStays) {
  const int64_t group = chat_.Group(kAlice, {kBob});  // 1
  chat_.Say(group, kAlice, "x", 149);                 // 2..150
  chat_.Leave(group, kBob);                           // 151
  chat_.Say(group, kAlice, "secret", 99);             // 152..250
  chat_.Return(group, kBob);                          // 251
  chat_.Say(group, kAlice, "x", 99);                  // 252..350
  EXPECT_EQ(Resume(2, Have({{group, 10}})).by_conversation.at(group),
            Join({"c350", "g11-151", "g251-300"}, Entries(301, 350)));
  EXPECT_EQ(Resume(2, Have({{group, 100}})).by_conversation.at(group),
            Join({"c350"}, Join(Entries(101, 151), Entries(251, 350))));
  EXPECT_EQ(Resume(2, Have({{group, 151}})).by_conversation.at(group),
            Join({"c350"}, Entries(251, 350)));
  // What lies between the stays is nothing anybody can have: it is as if they had the end.
  EXPECT_EQ(Resume(2, Have({{group, 200}})).by_conversation.at(group),
            Join({"c350"}, Entries(251, 350)));
  const Resumed all = Resume(2, Have());
  EXPECT_EQ(all.by_conversation.at(group), Join({"c350", "g1-151", "g251-300"}, Entries(301, 350)));
  ASSERT_THAT(all.events[0].conversation().stays(), SizeIs(2));
  EXPECT_EQ(all.events[0].conversation().stays(0).end_seq(), 151);
}

TEST_F(ResumeTest, AStayThatEndedIsSentToItsEnd) {
  const int64_t group = chat_.Group(kAlice, {kBob});  // 1
  chat_.Say(group, kAlice, "x", 2);                   // 2, 3
  chat_.Remove(group, kAlice, kBob);                  // 4
  chat_.Say(group, kAlice, "secret", 5);
  const Resumed resumed = Resume(2, Have({{group, 2}}));
  EXPECT_THAT(resumed.by_conversation.at(group), ElementsAre("c4", "e3", "e4"));
  EXPECT_EQ(resumed.events[0].conversation().stays(0).end_seq(), 4);
  EXPECT_EQ(resumed.events[2].entry().member_removed().user_id(), kBob);
  EXPECT_THAT(Resume(2, Have({{group, 4}})).events, IsEmpty());
  EXPECT_THAT(Resume(2, Have()).by_conversation.at(group),
              ElementsAre("c4", "e1", "e2", "e3", "e4"));
}

TEST_F(ResumeTest, AGroupThatShowsItsHistory) {
  const int64_t group = chat_.Group(kAlice, {}, "open", /*open_history=*/true);
  chat_.Say(group, kAlice, "x", 9);
  chat_.Add(group, kAlice, {kBob});  // 11
  EXPECT_EQ(Resume(2, Have()).by_conversation.at(group), Join({"c11"}, Entries(1, 11)));
  chat_.Leave(group, kBob);          // 12
  chat_.Say(group, kAlice, "x", 3);  // 13..15
  EXPECT_EQ(Resume(2, Have({{group, 11}})).by_conversation.at(group),
            Join({"c12"}, Entries(12, 12)));
  chat_.Return(group, kBob);  // 16
  EXPECT_EQ(Resume(2, Have({{group, 12}})).by_conversation.at(group),
            Join({"c16"}, Entries(13, 16)));
}

TEST_F(ResumeTest, StaysOfLongAgoAreOneGap) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  for (int i = 0; i < 105; ++i) {
    chat_.Leave(group, kBob);
    chat_.Return(group, kBob);
  }
  // 1 joined; 2 left, 3 returned; ...: stays [1,2], [3,4], ..., [211, ...]. The view has the last
  // 100 of 106.
  const Resumed resumed = Resume(2, Have());
  EXPECT_EQ(resumed.by_conversation.at(group)[0], "c211");
  EXPECT_EQ(resumed.by_conversation.at(group)[1], "g1-12");
  EXPECT_EQ(resumed.by_conversation.at(group).back(), "e211");
  EXPECT_THAT(resumed.events[0].conversation().stays(), SizeIs(100));
}

TEST_F(ResumeTest, OthersConversationsAreIgnored) {
  const int64_t theirs = chat_.Group(kBob, {kCarol});
  const int64_t direct = chat_.Direct(kBob, kCarol);
  chat_.Say(theirs, kBob, "secret", 5);
  chat_.Say(direct, kBob, "secret", 5);
  v1::Have have = Have({{theirs, 1}, {direct, 0}, {999999, 1}, {-5, 3}, {0, 0}});
  have.mutable_conversations(1)->set_peer_read_seq(3);
  EXPECT_THAT(Resume(1, have).events, IsEmpty());
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(chat_.Number("SELECT count(*) FROM chat.members WHERE user_id = 101"), 0);
}

TEST_F(ResumeTest, AnotherEpochCountsAsNothing) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  v1::Have have = Have({{group, 1}});
  have.set_own_log_position(12);
  have.set_epoch(kEpoch + 1);
  const Resumed resumed = Resume(1, have);
  EXPECT_THAT(resumed.by_conversation.at(group), ElementsAre("c1", "e1"));
  EXPECT_EQ(resumed.end.own_log_position(), 0);
  have.set_only_listed(true);
  EXPECT_THAT(Resume(1, have).events, IsEmpty());
}

TEST_F(ResumeTest, ThePeersWatermark) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, "x");
  chat_.Say(direct, kAlice, "x", 5);
  ASSERT_TRUE(watermarks_.MarkRead(kBob, direct, 3).ok());
  ASSERT_TRUE(watermarks_.MarkRead(kBob, group, 2).ok());
  v1::Have have = Have({{direct, 5}, {group, 2}});
  have.set_own_log_position(1);
  Resumed resumed = Resume(1, have);
  EXPECT_THAT(resumed.conversations, ElementsAre(direct));
  EXPECT_THAT(resumed.by_conversation.at(direct), ElementsAre("w:3/3"));
  have.mutable_conversations(0)->set_peer_read_seq(3);
  have.mutable_conversations(0)->set_peer_delivered_seq(3);
  EXPECT_THAT(Resume(1, have).events, IsEmpty());
  have.mutable_conversations(0)->set_peer_delivered_seq(2);
  EXPECT_THAT(Resume(1, have).by_conversation.at(direct), ElementsAre("w:3/3"));
  have.mutable_conversations(0)->set_seq(4);
  EXPECT_THAT(Resume(1, have).by_conversation.at(direct), ElementsAre("c5", "w:3/3", "e5"));
}

TEST_F(ResumeTest, WhatADeviceHasIsDelivered) {
  const int64_t direct = chat_.Direct(kAlice, kBob);
  chat_.Say(direct, kAlice, "x", 5);
  Resume(2, Have({{direct, 3}}));
  ASSERT_TRUE(watermarks_.Flush().ok());
  const std::string delivered =
      "SELECT delivered_seq FROM chat.members WHERE user_id = 102 AND conversation_id = " +
      std::to_string(direct);
  EXPECT_EQ(chat_.Number(delivered), 3);
  Resume(2, Have({{direct, 500}}));
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(chat_.Number(delivered), 5);
}

TEST_F(ResumeTest, TheOwnLog) {
  std::vector<std::pair<int64_t, int64_t>> all;
  for (int i = 0; i < 250; ++i) {
    const int64_t group = chat_.Group(kBob, {kAlice});
    chat_.Say(group, kBob, "x");
    ASSERT_TRUE(watermarks_.MarkRead(kAlice, group, 2).ok());
    all.emplace_back(group, 2);
  }
  v1::Have have = Have(all);
  have.set_own_log_position(20);
  const Resumed resumed = Resume(1, have);
  EXPECT_THAT(resumed.conversations, IsEmpty());
  EXPECT_EQ(resumed.end.own_log_position(), 250);
  int64_t position = 20;
  for (const v1::OwnLogChanged& page : resumed.own_log) {
    EXPECT_EQ(page.after_position(), position);
    for (const v1::OwnRecord& record : page.records()) {
      EXPECT_EQ(record.position(), ++position);
      EXPECT_EQ(record.read_mark().read_seq(), 2);
    }
    EXPECT_EQ(page.position(), position);
  }
  EXPECT_EQ(position, 250);
  have.set_own_log_position(250);
  EXPECT_THAT(Resume(1, have).events, IsEmpty());
}

TEST_F(ResumeTest, LongPagesAreSplitByBytes) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  const int64_t other = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kBob, std::string(10000, 'x'), 120);
  chat_.Say(other, kBob, std::string(10000, 'x'), 120);
  const Resumed resumed = Resume(1, Have({{group, 1}, {other, 1}}));
  EXPECT_EQ(resumed.by_conversation.at(group), Join({"c121"}, Entries(2, 121)));
  EXPECT_EQ(resumed.by_conversation.at(other), Join({"c121"}, Entries(2, 121)));
  EXPECT_THAT(resumed.conversations, ElementsAre(other, group));
  EXPECT_GE(resumed.page_bytes.size(), 9u);
  for (const size_t bytes : resumed.page_bytes) EXPECT_LT(bytes, (256u << 10) + 11000);
}

// However pages are cut, nothing is left out, repeated or out of order; also while others write.
TEST_F(ResumeTest, TinyPages) {
  MakePasses({.page_conversations = 2, .page_bytes = 300});
  std::vector<std::pair<int64_t, int64_t>> half;
  std::vector<int64_t> groups;
  for (int i = 0; i < 5; ++i) {
    groups.push_back(chat_.Group(kAlice, {kBob}));
    chat_.Say(groups.back(), kBob, "x", 20 + i);
    half.emplace_back(groups.back(), 10);
  }
  gateway_->Have(1, Have(half));
  for (const int64_t group : groups) chat_.Say(group, kBob, "meanwhile", 3);
  const Resumed resumed = Receive(1);
  for (int i = 0; i < 5; ++i) {
    const std::vector<std::string>& seen = resumed.by_conversation.at(groups[i]);
    const int64_t last = 10 + static_cast<int64_t>(seen.size()) - 1;
    EXPECT_GE(last, 21 + i);
    EXPECT_LE(last, 24 + i);
    EXPECT_EQ(seen, Join({"c" + std::to_string(last)}, Entries(11, last)));
  }
  EXPECT_GT(resumed.page_bytes.size(), 10u);
}

// Random lives of groups, with a device that comes and goes: what it is sent is exactly what its
// owner may see and it lacks, by a model that knows nothing of stays and ranges.
TEST_F(ResumeTest, RandomHistories) {
  struct Group {
    int64_t id = 0;
    bool open = false;
    int64_t last = 1;
    std::set<int64_t> members;
    // What Bob may see, and what his device has or knows to be a gap.
    std::set<int64_t> visible, had;
    int64_t newest_had = 0;
  };
  const uint32_t seed = RandomBelow(1u << 30);
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<Group> groups;
  for (int i = 0; i < 4; ++i) {
    Group group;
    group.open = i % 2 == 1;
    group.id = chat_.Group(kAlice, {kBob, kCarol}, "g", group.open);
    group.members = {kAlice, kBob, kCarol};
    group.visible = {1};
    groups.push_back(group);
  }
  const auto happened = [](Group* group, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      ++group->last;
      if (group->members.count(kBob) > 0) group->visible.insert(group->last);
    }
  };
  for (int round = 0; round < 25; ++round) {
    for (int step = below(12); step >= 0; --step) {
      Group& group = groups[below(4)];
      const bool bob = group.members.count(kBob) > 0;
      switch (below(6)) {
        case 0:
        case 1: {
          const int count = 1 + below(below(4) == 0 ? 250 : 20);
          chat_.Say(group.id, bob && below(2) == 0 ? kBob : kAlice, "x", count);
          happened(&group, count);
          break;
        }
        case 2:
          chat_.Rename(group.id, kAlice, "t" + std::to_string(step));
          happened(&group, 1);
          break;
        case 3:
        case 4:
          if (bob) {
            happened(&group, 1);  // their own end is seen
            group.members.erase(kBob);
            if (below(2) == 0) {
              chat_.Leave(group.id, kBob);
            } else {
              chat_.Remove(group.id, kAlice, kBob);
            }
          } else {
            chat_.Add(group.id, kAlice, {kBob});
            group.members.insert(kBob);
            happened(&group, 1);
            for (int64_t seq = 1; group.open && seq < group.last; ++seq) group.visible.insert(seq);
          }
          break;
        case 5:
          if (group.members.count(kCarol) > 0) {
            chat_.Leave(group.id, kCarol);
            group.members.erase(kCarol);
          } else {
            chat_.Return(group.id, kCarol);
            group.members.insert(kCarol);
          }
          happened(&group, 1);
          break;
      }
    }
    std::vector<std::pair<int64_t, int64_t>> have;
    std::set<int64_t> listed;
    for (Group& group : groups) {
      if (below(8) == 0) {  // a device that lost its memory
        group.had.clear();
        group.newest_had = 0;
      } else {
        have.emplace_back(group.id, group.newest_had);
        listed.insert(group.id);
      }
    }
    const Resumed resumed = Resume(2, Have(have));
    for (Group& group : groups) {
      SCOPED_TRACE("round " + std::to_string(round) + " group " + std::to_string(group.id));
      std::set<int64_t> entries, left_out;
      for (const v1::Event& event : resumed.events) {
        if (ConversationOf(event) != group.id) continue;
        if (event.has_entry()) {
          EXPECT_TRUE(entries.insert(event.entry().seq()).second);
        } else if (event.has_gap()) {
          for (int64_t seq = event.gap().from_seq(); seq <= event.gap().to_seq(); ++seq) {
            EXPECT_TRUE(left_out.insert(seq).second);
          }
        }
      }
      std::set<int64_t> lacked;
      for (const int64_t seq : group.visible) {
        if (seq > group.newest_had) lacked.insert(seq);
      }
      std::set<int64_t> sent = entries;
      sent.insert(left_out.begin(), left_out.end());
      EXPECT_EQ(sent, lacked);
      EXPECT_EQ(sent.size(), entries.size() + left_out.size());
      const size_t most = listed.count(group.id) > 0 ? 200 : 50;
      EXPECT_EQ(entries.size(), lacked.size() > most ? 50 : lacked.size());
      if (!entries.empty() && !left_out.empty()) {
        EXPECT_LT(*left_out.rbegin(), *entries.begin());
      }
      group.had.insert(sent.begin(), sent.end());
      group.newest_had = *group.visible.rbegin();

      // History says the same.
      const PgHistoryStore history(&chat_.pool);
      EXPECT_EQ(history.GetConversation(kBob, group.id)->last_seq, *group.visible.rbegin());
      std::vector<int64_t> seqs;
      EntriesQuery query{.forward = true, .limit = 1 + below(200)};
      while (true) {
        const auto page = history.ListEntries(kBob, group.id, query);
        ASSERT_TRUE(page.ok());
        for (const Entry& entry : page->entries) seqs.push_back(entry.seq);
        if (!page->more) break;
        query.after = seqs.back();
      }
      EXPECT_THAT(seqs, ::testing::ElementsAreArray(group.visible));
    }
    if (HasFailure()) return;
  }
}

TEST_F(ResumeTest, TwoThousandConversations) {
  chat_.database.Exec(
      "SELECT chat.create_group(101, gen_random_uuid(), 0, 'g', false, '{101,102}', 11::smallint, "
      "''::bytea), chat.open_direct(101, 5000 + n) FROM generate_series(1, 1000) n");
  chat_.database.Exec(
      "INSERT INTO chat.entries (conversation_id, seq, sender_user_id, at, request_id, "
      "request_hash, kind, content, count) SELECT id, 1, 101, clock_timestamp(), "
      "gen_random_uuid(), 0, 10, ''::bytea, 1 FROM chat.conversations WHERE kind = 1");
  chat_.database.Exec(
      "UPDATE chat.conversations SET last_seq = 1, last_count = 1, last_at = clock_timestamp() "
      "WHERE kind = 1");
  std::vector<std::pair<int64_t, int64_t>> all;
  for (int64_t id = 1; id <= 2000; ++id) all.emplace_back(id, 1);
  chat_.database.Exec("ANALYZE");
  const auto timed = [&](const v1::Have& have, Resumed* resumed) {
    const auto start = std::chrono::steady_clock::now();
    *resumed = Resume(1, have);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
        .count();
  };
  Resumed resumed;
  timed(Have(all), &resumed);  // prepares the statements
  const double nothing = timed(Have(all), &resumed);
  EXPECT_THAT(resumed.events, IsEmpty());
  all[7].second = 0;
  const double one = timed(Have(all), &resumed);
  EXPECT_THAT(resumed.conversations, ElementsAre(all[7].first));
  const double everything = timed(Have(), &resumed);
  EXPECT_THAT(resumed.conversations, SizeIs(2000));
  EXPECT_THAT(resumed.events, SizeIs(4000));
  EXPECT_GE(resumed.page_bytes.size(), 20u);
  RecordProperty("nothing_ms", std::to_string(nothing));
  std::printf("resume of 2,000 conversations: nothing missing %.1f ms, one %.1f ms, all %.1f ms\n",
              nothing, one, everything);
  EXPECT_LT(nothing, 100);
  EXPECT_LT(one, 100);
}

TEST_F(ResumeTest, ANewHaveReplacesAPass) {
  MakePasses({.page_conversations = 1});
  const int64_t first = chat_.Group(kAlice, {kBob});
  const int64_t second = chat_.Group(kAlice, {kBob});
  gateway_->Have(1, Have());
  EXPECT_TRUE(gateway_->Next()->has_delivery());
  EXPECT_TRUE(gateway_->Next()->has_delivery());
  EXPECT_TRUE(gateway_->Next()->has_resume_page_end());
  EXPECT_EQ(passes_->size(), 1u);
  const Resumed resumed = Resume(1, Have({{second, 0}, {first, 1}}));
  EXPECT_THAT(resumed.conversations, ElementsAre(second));
  EXPECT_EQ(passes_->size(), 0u);
  gateway_->More(1);  // of a pass that is over
  EXPECT_THAT(Resume(1, Have({{second, 1}, {first, 1}})).events, IsEmpty());
}

TEST_F(ResumeTest, APassEndsWithItsSessionAndItsLink) {
  MakePasses({.page_conversations = 1});
  for (int i = 0; i < 3; ++i) chat_.Group(kAlice, {kBob});
  for (const uint64_t session : {1, 2}) {
    gateway_->Have(session, Have());
    while (!gateway_->Next()->has_resume_page_end()) {
    }
  }
  EXPECT_EQ(passes_->size(), 2u);
  internal::v1::GatewayItem close;
  close.mutable_close()->set_session(1);
  gateway_->Send(close);
  gateway_->Open(3, kCarol);  // its answer comes when the close is done
  EXPECT_EQ(passes_->size(), 1u);
  gateway_->Stop();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (passes_->size() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(passes_->size(), 0u);
}

TEST_F(ResumeTest, FailuresAreSaid) {
  chat_.Group(kAlice, {kBob});
  chat_.database.Exec("ALTER TABLE chat.entries RENAME TO away");
  EXPECT_EQ(Resume(1, Have()).end.failure().reason(), "INTERNAL");
  chat_.database.Exec("ALTER TABLE chat.away RENAME TO entries");
  EXPECT_FALSE(Resume(1, Have()).end.has_failure());
  epoch_ = 0;
  EXPECT_EQ(Resume(1, Have()).end.failure().reason(), "DATABASE_UNAVAILABLE");
  epoch_ = kEpoch;
  MakePasses({.total_pending = 1});
  EXPECT_EQ(Resume(1, Have()).end.failure().reason(), "OVERLOADED");
  EXPECT_EQ(Resume(1, Have({{1, 1}, {2, 1}})).end.failure().reason(), "OVERLOADED");
  EXPECT_EQ(passes_->size(), 0u);
  EXPECT_FALSE(Resume(2, Have({})).end.failure().reason().empty());
}

}  // namespace
}  // namespace im::chat
