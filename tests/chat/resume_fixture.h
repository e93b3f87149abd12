// A device's side of resumes: says what it has, and takes in what comes.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/chat/resume.h"
#include "tests/chat/chat_fixture.h"
#include "tests/chat/link_fixture.h"

namespace im::chat {

using im::testing::ChatFixture;
using im::testing::kAlice;
using im::testing::kBob;
using im::testing::kCarol;
using im::testing::TestGateway;
using im::testing::TestLinks;

inline constexpr int64_t kEpoch = 77;

// "e5" an entry, "g1-4" a gap, "c13" a conversation whose last entry is 13, "w:2/3" a watermark.
inline std::string Short(const v1::Event& event) {
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

inline int64_t ConversationOf(const v1::Event& event) {
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
      passes_->Start(link, session, call.request());
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

}  // namespace im::chat
