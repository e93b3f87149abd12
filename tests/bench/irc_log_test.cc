#include "bench/irc_log.h"

#include <gtest/gtest.h>

#include <string>

namespace im::bench {
namespace {

void ExpectMessage(std::string_view line, int minute, const std::string& nick,
                   const std::string& text) {
  const IrcLine parsed = ParseIrcLine(line);
  EXPECT_EQ(parsed.kind, IrcLine::kMessage) << line;
  EXPECT_EQ(parsed.minute, minute) << line;
  EXPECT_EQ(parsed.nick, nick) << line;
  EXPECT_EQ(parsed.text, text) << line;
}

void ExpectNotice(std::string_view line, IrcLine::Kind kind, const std::string& nick,
                  const std::string& text = "") {
  const IrcLine parsed = ParseIrcLine(line);
  EXPECT_EQ(parsed.kind, kind) << line;
  EXPECT_EQ(parsed.nick, nick) << line;
  EXPECT_EQ(parsed.text, text) << line;
}

TEST(IrcLine, Messages) {
  ExpectMessage("[11:22] <ann> hello", 11 * 60 + 22, "ann", "hello");
  ExpectMessage("[00:00] <|b[1]`^{}> hi", 0, "|b[1]`^{}", "hi");
}

TEST(IrcLine, TextIsKeptByteForByte) {
  ExpectMessage("[23:59] <ann>   two spaces before, one after ", 23 * 60 + 59, "ann",
                "  two spaces before, one after ");
  ExpectMessage("[01:02] <ann>      ", 62, "ann", "     ");
  ExpectMessage("[01:02] <ann> a <b> [c] === d has joined", 62, "ann",
                "a <b> [c] === d has joined");
  ExpectMessage("[01:02] <ann> caf\xc3\xa9 \xe2\x98\x95\r", 62, "ann",
                "caf\xc3\xa9 \xe2\x98\x95\r");
  const std::string odd("[01:02] <ann> \xff\x00\x01", 17);
  ExpectMessage(odd, 62, "ann", odd.substr(14));
}

TEST(IrcLine, BlanksBehindBracketsAreTheLoggers) {
  ExpectMessage("[12:00] <zcat[1] > hello", 720, "zcat[1]", "hello");
  ExpectMessage("[12:00] <g[r] eek> hello", 720, "g[r]eek", "hello");
  ExpectNotice("=== g[r] eek [n=g@host]  has joined #room", IrcLine::kJoined, "g[r]eek");
  ExpectNotice("=== g[r] eek is now known as zcat[1] x", IrcLine::kRenamed, "g[r]eek", "zcat[1]x");
}

TEST(IrcLine, WhatIsNoMessage) {
  for (const char* line : {"",
                           " ",
                           "[",
                           "[11:22]",
                           "[11:22] ",
                           "[11:22] <",
                           "[11:22] <ann",
                           "[11:22] <ann>",
                           "[11:22] <ann> ",
                           "[11:22] <ann>hi",
                           "[11:22] <> hi",
                           "[11:22] <two words> hi",
                           "[24:00] <ann> hi",
                           "[11:60] <ann> hi",
                           "[1:22] <ann> hi",
                           "[aa:bb] <ann> hi",
                           "(11:22) <ann> hi",
                           "11:22 <ann> hi",
                           "[11:22]  * ann waves",
                           "* ann waves"}) {
    EXPECT_EQ(ParseIrcLine(line).kind, IrcLine::kOther) << line;
  }
}

TEST(IrcLine, JoinsAndParts) {
  ExpectNotice("=== ann [n=ann@host.example]  has joined #room", IrcLine::kJoined, "ann");
  ExpectNotice("=== ann has joined #room", IrcLine::kJoined, "ann");
  ExpectNotice("=== ann has joined", IrcLine::kJoined, "ann");
  ExpectNotice("=== z[1]  [n=z@host]  has joined #room", IrcLine::kJoined, "z[1]");
  ExpectNotice("=== ann [n=ann@host]  has left #room [\"bye] all\"] ", IrcLine::kLeft, "ann");
  ExpectNotice("=== ann [n=ann@host]  has left #room []", IrcLine::kLeft, "ann");
  ExpectNotice("=== ann has quit [Ping timeout]", IrcLine::kLeft, "ann");
  ExpectNotice("=== ann has quit (Ping timeout)", IrcLine::kLeft, "ann");
  ExpectNotice("=== ann was kicked off #room by bob (enough)", IrcLine::kRemoved, "ann");
}

TEST(IrcLine, NameChanges) {
  ExpectNotice("=== ann is now known as ann_away", IrcLine::kRenamed, "ann", "ann_away");
  ExpectNotice("=== x`off is now known as x ", IrcLine::kRenamed, "x`off", "x");
  ExpectNotice("=== ann is now known as the one who knows", IrcLine::kOther, "");
  ExpectNotice("=== ann is now known as ", IrcLine::kOther, "");
}

TEST(IrcLine, OtherNotices) {
  for (const char* line :
       {"===", "=== ", "===  has joined #room", "=== ann", "=== ann waves",
        "=== ann has left the building", "=== ann has joinedhands", "=== ann has a cold",
        "=== mode/#room [+o ann]  by bob", "=== ..[topic/#room:ann] : ann has joined us",
        "=== ann [unfinished has joined #room", "====  ann has joined #room"}) {
    EXPECT_EQ(ParseIrcLine(line).kind, IrcLine::kOther) << line;
  }
}

}  // namespace
}  // namespace im::bench
