// Replays against the real services: everything arrives, whatever is killed or stopped meanwhile.
#include "bench/replay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/support/private_cluster.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using bench::Replay;
using bench::ReplayOptions;
using bench::ReplayResult;
using bench::Script;

constexpr int kPeople = 12;

// A chat of `messages` messages among twelve people who come, go, change their names and are thrown
// out, and write all kinds of things.
Script MakeChat(int messages) {
  static constexpr const char* kTexts[] = {
      "hello",
      "  two blanks, a tab\t, and a trailing blank ",
      "<b>markup</b> & 'quotes' \"double\" \\ back",
      ("caf\xc3\xa9 \xe2\x98\x95 \xf0\x9f\x98\x80 \xe2\x80\xae"
       "abc e\xcc\x81"),
      "=== eve has joined #room",
      "https://example.org/a?b=c&d=%20#e",
      "\x1b[31mred\x1b[0m\r",
  };
  std::string log;
  for (int i = 0; i < messages; ++i) {
    const std::string nick = absl::StrCat("person", i * 7 % kPeople);
    if (i % 23 == 5) absl::StrAppend(&log, "=== ", nick, " [u@host]  has left #room [\"bye\"]\n");
    if (i % 46 == 5) absl::StrAppend(&log, "=== ", nick, " [u@host]  has joined #room\n");
    if (i % 61 == 60) absl::StrAppend(&log, "=== ", nick, " was kicked off #room by x (y)\n");
    if (i % 31 == 30) {
      absl::StrAppend(&log, "=== ", nick, " is now known as other\n=== other is now known as ",
                      nick, "\n");
    }
    // Twenty a minute.
    absl::StrAppend(&log, absl::StrFormat("[1%d:%02d] <", i / 1'200, i / 20 % 60), nick, "> ",
                    kTexts[i % std::size(kTexts)]);
    // Now and then a very long one.
    if (i % 40 == 0) log.append(4'000, 'x');
    absl::StrAppend(&log, " ", i, "\n");
  }
  auto script = bench::MakeScript(log);
  EXPECT_TRUE(script.ok()) << script.status().ToString();
  return *std::move(script);
}

void ExpectClean(const ReplayResult& result, int messages) {
  EXPECT_TRUE(result.Passed()) << bench::ToText(result);
  EXPECT_EQ(result.messages, messages);
  EXPECT_GT(result.verdict.expected, messages * kPeople / 2);
  EXPECT_EQ(result.verdict.arrived, result.verdict.expected);
  EXPECT_GT(result.history_entries, result.verdict.expected);
}

TEST(ReplayTest, EverythingArrives) {
  Stack stack;
  const Script script = MakeChat(200);
  const ReplayResult result =
      Replay(script, {stack.address(), stack.database().UrlOf("owner")}, {.timeout_seconds = 60});
  ExpectClean(result, 200);
  EXPECT_EQ(result.latency.count(), result.verdict.expected);
  EXPECT_EQ(result.reconnects, 0);
}

TEST(ReplayTest, WithoutADatabaseAccountsAreRegistered) {
  Stack stack;
  const ReplayResult result = Replay(MakeChat(30), {stack.address(), ""}, {.timeout_seconds = 60});
  ExpectClean(result, 30);
}

TEST(ReplayTest, WhatDoesNotEndInTimeFails) {
  Stack stack;
  stack.Pause("chat");
  const ReplayResult result = Replay(
      MakeChat(30), {stack.address(), stack.database().UrlOf("owner")}, {.timeout_seconds = 2});
  stack.Resume("chat");
  EXPECT_FALSE(result.Passed());
  EXPECT_FALSE(result.failure.ok());
}

// Something is done to each process in turn while a chat is replayed.
class ReplayFaultsTest : public ::testing::Test {
 protected:
  // Twenty messages a second: slower than the system takes them, so that there are some left for
  // the last fault.
  void ReplayWhile(int messages, const std::function<void(const std::string&)>& fault) {
    const Script script = MakeChat(messages);
    const bench::Target target{stack_.address(), stack_.database().UrlOf("owner")};
    auto replayed = std::async(std::launch::async, [&] {
      return Replay(script, target, {.speed = 60, .timeout_seconds = 400});
    });
    int64_t stored = 0;
    for (const char* name : {"auth", "chat", "presence", "gateway", "postgres"}) {
      // Each when messages flow again after the one before.
      stored += 50;
      while (Stored() < stored) {
        ASSERT_EQ(replayed.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout)
            << "over before " << name << ":\n"
            << bench::ToText(replayed.get());
      }
      fault(name);
      stored = Stored();
    }
    const ReplayResult result = replayed.get();
    ExpectClean(result, messages);
    EXPECT_GT(result.messages, stored) << "over before the last fault";
  }

  int64_t Stored() {
    return std::stoll(stack_.database().Value("SELECT count(*) FROM chat.entries"));
  }

  PrivateCluster cluster_;
  Stack stack_{{.cluster_url = cluster_.url()}};
};

TEST_F(ReplayFaultsTest, EverythingArrivesWhateverIsKilled) {
  ReplayWhile(1'000, [this](const std::string& name) {
    if (name == "postgres") {
      cluster_.Kill();
      cluster_.Start();
    } else {
      stack_.Kill(name);
      stack_.Start(name);
    }
  });
}

TEST_F(ReplayFaultsTest, EverythingArrivesWhateverStandsStill) {
  ReplayWhile(1'500, [this](const std::string& name) {
    if (name == "postgres") {
      cluster_.Pause();
    } else {
      stack_.Pause(name);
    }
    std::this_thread::sleep_for(std::chrono::seconds(10));
    if (name == "postgres") {
      cluster_.Resume();
    } else {
      stack_.Resume(name);
    }
  });
}

}  // namespace
}  // namespace im::testing
