#include "bench/script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace im::bench {
namespace {

using ::testing::ElementsAre;

// "add ann", "ann: hello", ...
std::vector<std::string> Read(const Script& script) {
  static constexpr const char* kNames[] = {"add", "leave", "return", "remove"};
  std::vector<std::string> lines;
  for (const Step& step : script.steps) {
    const std::string& nick = script.speakers[step.speaker];
    lines.push_back(step.kind == Step::kSay ? absl::StrCat(nick, ": ", step.text)
                                            : absl::StrCat(kNames[step.kind], " ", nick));
  }
  return lines;
}

std::vector<std::string> Steps(std::string_view log) {
  const auto script = MakeScript(log);
  EXPECT_TRUE(script.ok()) << script.status().ToString();
  return script.ok() ? Read(*script) : std::vector<std::string>();
}

TEST(Script, JoinsPartsAndReturns) {
  EXPECT_THAT(Steps("=== ann [h]  has joined #room\n"
                    "[10:00] <ann> one\n"
                    "=== ann [h]  has left #room []\n"
                    "=== ann [h]  has joined #room\n"
                    "=== ann has quit\n"),
              ElementsAre("add ann", "ann: one", "leave ann", "return ann", "leave ann"));
}

TEST(Script, WhoSpeaksWithoutAJoinIsAddedFirst) {
  EXPECT_THAT(Steps("[10:00] <ann> one\n[10:00] <ann> two\n"),
              ElementsAre("add ann", "ann: one", "ann: two"));
}

TEST(Script, WhoSpeaksAfterLeavingComesBackFirst) {
  EXPECT_THAT(Steps("[10:00] <ann> one\n=== ann has left #room\n[10:01] <ann> two\n"),
              ElementsAre("add ann", "ann: one", "leave ann", "return ann", "ann: two"));
}

TEST(Script, WhoWasKickedIsAddedAgain) {
  EXPECT_THAT(
      Steps("[10:00] <ann> one\n=== ann was kicked off #room by bob (no)\n=== ann has joined\n"),
      ElementsAre("add ann", "ann: one", "remove ann", "add ann"));
}

TEST(Script, ANewNameIsTheSamePerson) {
  EXPECT_THAT(Steps("[10:00] <ann> one\n"
                    "=== ann is now known as eve\n"
                    "[10:00] <eve> two\n"
                    "=== eve is now known as ann\n"
                    "[10:00] <ann> three\n"),
              ElementsAre("add ann", "ann: one", "ann: two", "ann: three"));
}

TEST(Script, ANameThatWasLeftMayBeTakenBySomebodyElse) {
  EXPECT_THAT(Steps("[10:00] <ann> one\n"
                    "=== ann is now known as eve\n"
                    "[10:00] <ann> another ann\n"
                    "[10:00] <eve> the first\n"),
              ElementsAre("add ann", "ann: one", "add ann", "ann: another ann", "ann: the first"));
}

TEST(Script, WhoNeverSpeaksIsLeftOut) {
  EXPECT_THAT(Steps("=== bob has joined #room\n[10:00] <ann> one\n=== bob has left #room\n"
                    "=== carl is now known as carla\n"),
              ElementsAre("add ann", "ann: one"));
}

TEST(Script, WhoSpeaksLaterIsThereFromTheirJoin) {
  EXPECT_THAT(Steps("=== bob has joined #room\n[10:00] <ann> one\n[10:00] <bob> two\n"),
              ElementsAre("add bob", "add ann", "ann: one", "bob: two"));
}

TEST(Script, JoiningTwiceAndLeavingUnseenChangeNothing) {
  EXPECT_THAT(Steps("=== ann has left #room\n=== ann has joined #room\n=== ann has joined #room\n"
                    "[10:00] <ann> one\n"),
              ElementsAre("add ann", "ann: one"));
}

TEST(Script, MinutesBecomeSecondsSinceTheFirst) {
  const auto script = MakeScript(
      "[23:59] <ann> one\n[23:59] <ann> two\n[00:01] <ann> three\n[23:58] <ann> out of order\n");
  ASSERT_TRUE(script.ok());
  ASSERT_EQ(script->steps.size(), 5u);
  std::vector<double> at;
  for (const Step& step : script->steps) at.push_back(step.at);
  EXPECT_THAT(at, ElementsAre(0, 20, 40, 120, 150));
}

TEST(Script, CountsMessages) {
  const auto script = MakeScript("[10:00] <ann> one\n* noise\n[10:01] <bob> two");
  ASSERT_TRUE(script.ok());
  EXPECT_EQ(script->messages, 2);
  EXPECT_THAT(script->speakers, ElementsAre("ann", "bob"));
}

TEST(Script, RefusesWhatCannotBeSentAsItIs) {
  EXPECT_EQ(MakeScript("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeScript("=== ann has joined #room\n").status().code(),
            absl::StatusCode::kInvalidArgument);
  const absl::Status status = MakeScript("[10:00] <ann> ok\n[10:00] <ann> caf\xe9\n").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(status.message()).find("line 2"), std::string::npos);
  const std::string fits(16'384, 'x');
  EXPECT_TRUE(MakeScript("[10:00] <ann> " + fits).ok());
  EXPECT_FALSE(MakeScript("[10:00] <ann> x" + fits).ok());
}

TEST(Script, FilesThatAreNotThereSaySo) {
  EXPECT_EQ(ReadScript("no/such/file").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace im::bench
