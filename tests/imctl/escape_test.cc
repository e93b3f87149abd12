#include "imctl/escape.h"

#include <gtest/gtest.h>

#include <clocale>

namespace im::imctl {
namespace {

TEST(EscapeTest, KeepsWhatPeopleWrite) {
  for (const std::string text : {"hello", "Grüße", "日本語", "😀👩‍👩‍👧", "עברית",
                                 "می‌خواهم", "a\\b"}) {
    EXPECT_EQ(Escape(text), text);
  }
}

TEST(EscapeTest, ShowsControlCharactersInsteadOfObeyingThem) {
  EXPECT_EQ(Escape("\x1b[2J\x1b]0;pwned\x07"), "\\x1b[2J\\x1b]0;pwned\\x07");
  EXPECT_EQ(Escape("a\rb\nc\td"), "a\\x0db\\nc\\td");
  EXPECT_EQ(Escape(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(Escape("\x7f"), "\\x7f");
  // C1, as UTF-8: CSI in one character.
  EXPECT_EQ(Escape("\xc2\x9b"
                   "2J"),
            "\\x9b2J");
}

TEST(EscapeTest, ShowsBidiAndInvisibleCharacters) {
  EXPECT_EQ(Escape("exe.\u202etxt"), "exe.\\u202etxt");
  EXPECT_EQ(Escape("\u2066\u2069\u200f\u061c"), "\\u2066\\u2069\\u200f\\u061c");
  EXPECT_EQ(Escape("bo\u200bb\ufeff\u00ad"), "bo\\u200bb\\ufeff\\xad");
  EXPECT_EQ(Escape("\u2028"), "\\u2028");
  EXPECT_EQ(Escape("\U000e0041"), "\\U000e0041");
}

TEST(EscapeTest, ShowsWhatIsNotUtf8) {
  EXPECT_EQ(Escape("a\xff\xc3"), "a\\xff\\xc3");
  EXPECT_EQ(Escape("\xed\xa0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(Escape("\xc0\x9b"), "\\xc0\\x9b");
}

TEST(EscapeTest, LinesCannotPassForOurs) {
  EXPECT_EQ(EscapeLines("a\n12:00:00  bob: b", "  "), "a\n  12:00:00  bob: b");
  EXPECT_EQ(EscapeLines("a\r\nb", "  "), "a\\x0d\n  b");
}

TEST(WrapTest, LinesThatTheScreenBreaksCannotPassForOurs) {
  std::setlocale(LC_ALL, "C.UTF-8");
  EXPECT_EQ(Wrap("bob: abcdefgh", "  ", 0), "bob: abcdefgh");
  EXPECT_EQ(Wrap("abcdefgh", "  ", 8), "abcdefgh");
  EXPECT_EQ(Wrap("abcdefghijklmno", "  ", 8), "abcdefgh\n  ijklmn\n  o");
  EXPECT_EQ(Wrap("abc def ghi", "  ", 8), "abc def \n  ghi");
  EXPECT_EQ(Wrap("a bcdefghij", "  ", 8), "a bcdefg\n  hij") << "moving it would not make it fit";
  EXPECT_EQ(Wrap("ab\n  cdefghijk", "  ", 8), "ab\n  cdefgh\n  ijk");
  EXPECT_EQ(Wrap("abcdef", "        ", 4), "abcd\n  ef") << "an indent as wide as the screen";
}

TEST(WrapTest, CountsWideCharactersAsTwo) {
  std::setlocale(LC_ALL, "C.UTF-8");
  EXPECT_EQ(Wrap("日本語日本", "  ", 8), "日本語日\n  本");
  EXPECT_EQ(Wrap("a日本語日", "  ", 8), "a日本語\n  日");
  EXPECT_EQ(Wrap("e\u0301e\u0301e\u0301", "", 3), "e\u0301e\u0301e\u0301");
  EXPECT_EQ(Wrap("❤\ufe0f❤\ufe0fx", " ", 4), "❤\ufe0f❤\ufe0f\n x");
}

TEST(DisplayWidthTest, CountsColumns) {
  std::setlocale(LC_ALL, "C.UTF-8");
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("日本"), 4);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);
}

}  // namespace
}  // namespace im::imctl
