// The load generator's scenarios at a small size, by clients on stock gRPC, who would see what its
// own light connections might not (bench/README.md).
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/e2e/person.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using chat::v1::MessageService;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

class StockClientTest : public ::testing::Test {
 protected:
  static constexpr std::chrono::seconds kPatience{20};
  struct Member {
    std::unique_ptr<Person> person;
    std::unique_ptr<Device> device;
  };

  // People with a device each, the first with all others as contacts; connected, in turns, to each
  // gateway.
  std::vector<Member> Crowd(int count) {
    const std::string doors[] = {stack_.address(), stack_.address("gateway-2")};
    std::vector<Member> crowd;
    for (int i = 0; i < count; ++i) {
      crowd.push_back(
          {std::make_unique<Person>(doors[i % 2], absl::StrCat("person", crowd.size())), nullptr});
      if (i > 0) crowd[0].person->Befriends(*crowd.back().person);
    }
    for (Member& member : crowd) member.device = member.person->Connects();
    for (Member& member : crowd) member.device->WaitLive();
    return crowd;
  }
  static int64_t GroupOf(const std::vector<Member>& crowd, size_t members) {
    std::vector<int64_t> others;
    for (size_t i = 1; i < members; ++i) others.push_back(crowd[i].person->id());
    return crowd[0].person->CreatesGroup("group", others);
  }

  static void Say(Device* device, int64_t conversation, const std::string& text,
                  const client::Session::Sent& done) {
    chat::v1::Content content;
    content.mutable_text()->set_body(text);
    device->session().Send(conversation, content, done);
  }
  // Sends while not more than `window` messages wait for their answers; the client has one of them
  // under way at a time.
  static void SayMany(Device* device, int64_t conversation, size_t count, size_t window) {
    struct Answers {
      std::mutex mu;
      std::condition_variable changed;
      size_t answered = 0;
      size_t failed = 0;
    };
    // Outlives this if an answer comes after it has given up.
    const auto answers = std::make_shared<Answers>();
    const auto wait_for = [&](size_t least) {
      std::unique_lock<std::mutex> lock(answers->mu);
      return answers->changed.wait_for(lock, kPatience, [&] { return answers->answered >= least; });
    };
    for (size_t i = 0; i < count; ++i) {
      if (i >= window && !wait_for(i - window + 1)) break;
      Say(device, conversation, absl::StrCat("message ", i), [answers](const auto& outcome) {
        std::lock_guard<std::mutex> lock(answers->mu);
        ++answers->answered;
        if (!outcome.ok()) ++answers->failed;
        answers->changed.notify_one();
      });
    }
    EXPECT_TRUE(wait_for(count)) << "there was no answer";
    std::lock_guard<std::mutex> lock(answers->mu);
    EXPECT_EQ(answers->failed, 0U);
  }

  // Of a conversation the device hears all entries up to `last`, each once and in order.
  static void ExpectAll(Device* device, int64_t conversation, int64_t last) {
    std::vector<int64_t> seqs;
    EXPECT_TRUE(device->WaitFor([&](const Device& told) {
      seqs.clear();
      for (const chat::v1::Entry& entry : told.entries) {
        if (entry.conversation_id() == conversation) seqs.push_back(entry.seq());
      }
      return !seqs.empty() && seqs.back() >= last;
    }));
    std::vector<int64_t> all(static_cast<size_t>(last));
    std::iota(all.begin(), all.end(), 1);
    EXPECT_EQ(seqs, all);
  }
  // The client puts in order and loads what is missing; here it had nothing to mend.
  static void ExpectNothingMended(Device* device) {
    const client::SessionCounts counts = device->session().counts();
    EXPECT_EQ(counts.repeats, 0);
    EXPECT_EQ(counts.loads, 0);
    EXPECT_EQ(counts.resyncs, 0);
    EXPECT_EQ(counts.connections, 1);
  }

  explicit StockClientTest(
      std::vector<std::string> gateway = {"--session.reconnect_jitter_seconds=1"})
      : stack_({.instances = {{"gateway", 2}}, .flags = {{"gateway", std::move(gateway)}}}) {}

  Stack stack_;
};

TEST_F(StockClientTest, Pairs) {
  const std::vector<Member> crowd = Crowd(5);
  std::vector<std::thread> pairs;
  for (size_t i = 1; i < crowd.size(); ++i) {
    pairs.emplace_back([&crowd, i] {
      Device* const one = crowd[0].device.get();
      Device* const other = crowd[i].device.get();
      const int64_t chat = crowd[0].person->OpensDirect(*crowd[i].person);
      for (int64_t round = 0; round < 25; ++round) {
        SayMany(one, chat, 2, 2);
        ExpectAll(other, chat, round * 4 + 2);
        SayMany(other, chat, 2, 2);
        ExpectAll(one, chat, round * 4 + 4);
      }
    });
  }
  for (std::thread& pair : pairs) pair.join();
  for (const Member& member : crowd) ExpectNothingMended(member.device.get());
}

TEST_F(StockClientTest, Rate) {
  std::atomic<int> stored{0};
  const std::vector<Member> crowd = Crowd(8);
  const std::vector<int64_t> groups = {GroupOf(crowd, 2), GroupOf(crowd, 4), GroupOf(crowd, 8)};
  // At its time each, whatever became of those before.
  constexpr int kMessages = 300;
  const auto start = steady_clock::now();
  for (int i = 0; i < kMessages; ++i) {
    std::this_thread::sleep_until(start + i * milliseconds(5));
    Say(crowd[static_cast<size_t>(i % 2)].device.get(), groups[static_cast<size_t>(i % 3)],
        absl::StrCat("message ", i), [&](const auto& outcome) { stored += outcome.ok(); });
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    for (size_t j = 0; j < (size_t{2} << i); ++j) {
      ExpectAll(crowd[j].device.get(), groups[i], 1 + kMessages / 3);
    }
  }
  for (const auto until = steady_clock::now() + kPatience;
       stored < kMessages && steady_clock::now() < until;) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(stored, kMessages);
  for (const Member& member : crowd) ExpectNothingMended(member.device.get());
}

TEST_F(StockClientTest, Fanout) {
  const std::vector<Member> crowd = Crowd(20);
  const int64_t group = GroupOf(crowd, crowd.size());
  SayMany(crowd[0].device.get(), group, 200, 8);
  for (const Member& member : crowd) {
    ExpectAll(member.device.get(), group, 201);
    ExpectNothingMended(member.device.get());
  }
}

class IdleStockClientTest : public StockClientTest {
 protected:
  IdleStockClientTest() : StockClientTest({"--session.heartbeat_seconds=1"}) {}
};

TEST_F(IdleStockClientTest, Idle) {
  const std::vector<Member> crowd = Crowd(10);
  // Several heartbeats, and longer than one that is not answered is waited for.
  std::this_thread::sleep_for(std::chrono::seconds(6));
  for (const Member& member : crowd) ExpectNothingMended(member.device.get());
  const int64_t group = GroupOf(crowd, crowd.size());
  for (const Member& member : crowd) ExpectAll(member.device.get(), group, 1);
}

TEST_F(StockClientTest, Storm) {
  const std::vector<Member> crowd = Crowd(20);
  const int64_t group = GroupOf(crowd, crowd.size());
  for (const Member& member : crowd) ExpectAll(member.device.get(), group, 1);
  // The half that is on one gateway is cut off; meanwhile the other half goes on.
  stack_.Kill("gateway");
  SayMany(crowd[1].device.get(), group, 50, 8);
  stack_.Start("gateway");
  for (size_t i = 0; i < crowd.size(); ++i) {
    Device* const device = crowd[i].device.get();
    ExpectAll(device, group, 51);
    device->WaitLive();
    EXPECT_EQ(device->session().counts().connections, i % 2 == 0 ? 2 : 1);
  }
}

TEST_F(StockClientTest, History) {
  const std::vector<Member> crowd = Crowd(2);
  const int64_t chat = crowd[0].person->OpensDirect(*crowd[1].person);
  SayMany(crowd[0].device.get(), chat, 230, 50);
  for (const bool forward : {true, false}) {
    chat::v1::ListEntriesRequest request;
    request.set_conversation_id(chat);
    if (forward) request.set_after_seq(0);
    std::vector<int64_t> seqs;
    do {
      const auto page = crowd[1].person->Call(&MessageService::Stub::ListEntries, request);
      ASSERT_TRUE(page.ok()) << page.status();
      std::vector<int64_t> on_page;
      for (const auto& entry : page->entries()) on_page.push_back(entry.seq());
      EXPECT_EQ(on_page.size(), seqs.size() < 200 ? 50U : 30U);
      seqs.insert(forward ? seqs.end() : seqs.begin(), on_page.begin(), on_page.end());
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    std::vector<int64_t> all(230);
    std::iota(all.begin(), all.end(), 1);
    EXPECT_EQ(seqs, all);
  }
}

TEST_F(StockClientTest, LogIn) {
  const std::vector<Member> crowd = Crowd(2);
  const int64_t chat = crowd[0].person->OpensDirect(*crowd[1].person);
  std::vector<std::thread> logins;
  for (const Member& member : crowd) {
    for (int i = 0; i < 3; ++i) {
      logins.emplace_back([&] {
        auto again = member.person->Connects();
        again->WaitLive();
      });
    }
  }
  SayMany(crowd[0].device.get(), chat, 50, 1);
  for (std::thread& login : logins) login.join();
  ExpectAll(crowd[1].device.get(), chat, 50);
}

}  // namespace
}  // namespace im::testing
