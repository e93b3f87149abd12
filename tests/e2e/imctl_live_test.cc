// imctl as people and scripts run it: listening and chatting while things happen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/e2e/imctl_fixture.h"

namespace im::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ImctlLiveTest : public ImctlTest {};

TEST_F(ImctlLiveTest, ListenGoesOnWhereItEnded) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  Do("bob", {"listen", "--once"});
  Do("ann", {"send", "bob", "one"});
  EXPECT_THAT(Do("bob", {"listen", "--once"}), HasSubstr("[ann] ann: one"));
  Do("ann", {"send", "bob", "two"});
  EXPECT_THAT(Do("bob", {"listen", "--once"}),
              AllOf(HasSubstr("[ann] ann: two"), Not(HasSubstr("ann: one"))));
  EXPECT_THAT(Do("bob", {"--json", "listen", "--once"}), Not(HasSubstr("\"event\":\"entry\"")));
}

TEST_F(ImctlLiveTest, WhatWasLeftOutIsNamedById) {
  Register("ann");
  stack_.database().Value("SELECT setval(pg_get_serial_sequence('chat.conversations', 'id'), 41)");
  Do("ann", {"group", "create", "$(reboot)"});
  Do("ann", {"listen", "--once"});
  std::string lines;
  for (int i = 0; i < 300; ++i) lines += "line\n";
  Do("ann", {"chat", "$(reboot)"}, lines);
  EXPECT_THAT(Do("ann", {"listen", "--once"}),
              HasSubstr("were left out: imctl history conversation:42 --after 1\n"));
}

TEST_F(ImctlLiveTest, ListenComesBack) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  PtyProgram bob(Command("bob", {"listen"}), Environment());
  ASSERT_TRUE(bob.Sees("# connected"));
  Do("ann", {"send", "bob", "one"});
  ASSERT_TRUE(bob.Sees("ann: one"));
  stack_.Kill("gateway");
  ASSERT_TRUE(bob.Sees("# not connected"));
  stack_.Start("gateway");
  Do("ann", {"send", "bob", "two"});
  ASSERT_TRUE(bob.Sees("ann: two"));
  bob.Type("\x03");
  EXPECT_EQ(bob.Ends(), 0);
  EXPECT_THAT(Do("bob", {"listen", "--once"}), Not(HasSubstr("ann: two")));
}

TEST_F(ImctlLiveTest, ChatOnATerminal) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  Do("bob", {"send", "ann", "are you there?"});
  PtyProgram ann(Command("ann", {"chat", "bob"}), Environment());
  ASSERT_TRUE(ann.Sees("bob: are you there?"));
  PtyProgram bob(Command("bob", {"chat", "ann"}), Environment());
  ASSERT_TRUE(bob.Sees("bob: are you there?"));
  ASSERT_TRUE(ann.Sees("bob is online"));
  ann.Type("yez\x7fs");
  ASSERT_TRUE(bob.Sees("ann is typing"));
  ann.Type("\r");
  ASSERT_TRUE(bob.Sees("ann: yes"));
  ASSERT_TRUE(bob.Sees("\a"));
  ASSERT_TRUE(ann.Sees("ann: yes"));
  ASSERT_TRUE(ann.Sees("read"));
  bob.Type("good\r");
  ASSERT_TRUE(ann.Sees("bob: good"));
  ann.Type("\x04");
  EXPECT_EQ(ann.Ends(), 0);
  bob.Type("\x03");
  EXPECT_EQ(bob.Ends(), 0);
}

TEST_F(ImctlLiveTest, ChatSendsAgainWhatWasNotAnswered) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  PtyProgram ann(Command("ann", {"chat", "bob"}), Environment());
  ann.Type("before\r");
  ASSERT_TRUE(ann.Sees("ann: before"));
  stack_.Kill("chat");
  ann.Type("one\rtwo\r");
  ASSERT_TRUE(ann.Sees("(sending) one"));
  stack_.Kill("gateway");
  ASSERT_TRUE(ann.Sees("not connected"));
  stack_.Start("chat");
  stack_.Start("gateway");
  ASSERT_TRUE(ann.Sees("ann: one"));
  ASSERT_TRUE(ann.Sees("ann: two"));
  ann.Type("\x04");
  EXPECT_EQ(ann.Ends(), 0);
  const std::string history = Do("bob", {"history", "ann"});
  EXPECT_THAT(history, ::testing::ContainsRegex("before(.|\n)*one(.|\n)*two"));
  EXPECT_EQ(std::count(history.begin(), history.end(), '\n'), 3);
}

TEST_F(ImctlLiveTest, ChatInAPipe) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  Do("ann", {"chat", "bob"}, "one\ntwo\nthree");
  EXPECT_THAT(Do("bob", {"history", "ann"}),
              ::testing::ContainsRegex("ann: one(.|\n)*ann: two(.|\n)*ann: three"));
  Do("bob", {"contacts", "block", "ann"});
  const Outcome refused = Run("ann", {"chat", "bob"}, "four\n");
  EXPECT_EQ(refused.status, 1);
}

}  // namespace
}  // namespace im::testing
