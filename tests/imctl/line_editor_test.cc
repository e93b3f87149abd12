#include "imctl/line_editor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <clocale>

namespace im::imctl {
namespace {

using Key = LineEditor::Key;

class LineEditorTest : public ::testing::Test {
 protected:
  LineEditorTest() { std::setlocale(LC_ALL, "C.UTF-8"); }

  std::string Line(std::string_view bytes) {
    for (const auto& event : editor_.Feed(bytes)) {
      if (event.key == Key::kLine) return event.line;
    }
    return "(no line)";
  }

  LineEditor editor_;
};

TEST_F(LineEditorTest, TakesALine) { EXPECT_EQ(Line("hello\r"), "hello"); }

TEST_F(LineEditorTest, ErasesWholeCharacters) { EXPECT_EQ(Line("aé日😀\x7f\x7f\r"), "aé"); }

TEST_F(LineEditorTest, TakesCharactersAndKeysInPieces) {
  for (const char c : std::string("日\x1b[D本")) editor_.Feed(std::string(1, c));
  EXPECT_EQ(editor_.text(), "本日");
}

TEST_F(LineEditorTest, MovesAndInserts) {
  EXPECT_EQ(Line("world\x01hello \x05!\r"), "hello world!");
  EXPECT_EQ(Line("ac\x1b[Db\r"), "abc");
  EXPECT_EQ(Line("bc\x1b[Ha\x1b[Fd\r"), "abcd");
}

TEST_F(LineEditorTest, ErasesWordsAndEnds) {
  EXPECT_EQ(Line("one two  three\x17\x17\r"), "one ");
  EXPECT_EQ(Line("abc\x15x\r"), "x");
  EXPECT_EQ(Line("abc\x01\x0b\r"), "");
  EXPECT_EQ(Line("abc\x01\x1b[3~\r"), "bc");
}

TEST_F(LineEditorTest, BrowsesWhatWasTyped) {
  Line("one\r");
  Line("two\r");
  editor_.Feed("dra\x1b[A");
  EXPECT_EQ(editor_.text(), "two");
  editor_.Feed("\x1b[A\x1b[A");
  EXPECT_EQ(editor_.text(), "one");
  editor_.Feed("\x1b[B\x1b[B");
  EXPECT_EQ(editor_.text(), "dra");
}

TEST_F(LineEditorTest, EndsOnAnEmptyLineOnly) {
  EXPECT_EQ(editor_.Feed("\x04")[0].key, Key::kEnd);
  editor_.Feed("a\x01");
  EXPECT_EQ(editor_.Feed("\x04")[0].key, Key::kEdited);
  EXPECT_EQ(editor_.text(), "");
  EXPECT_EQ(editor_.Feed("\x03")[0].key, Key::kInterrupt);
}

TEST_F(LineEditorTest, DropsWhatCannotBeTyped) {
  EXPECT_EQ(Line("a\xff\x07\xe2\x80\xaez\r"), "az");
  EXPECT_EQ(Line("\x1b[200~x\x1b[201~\x1bOP\r"), "x");
}

TEST_F(LineEditorTest, ShowsTheEndThatHoldsTheCursor) {
  editor_.Feed("0123456789");
  auto view = editor_.Show(5);
  EXPECT_EQ(view.text, "6789");
  EXPECT_EQ(view.cursor, 4);
  editor_.Feed("\x01");
  view = editor_.Show(5);
  EXPECT_EQ(view.text, "0123");
  EXPECT_EQ(view.cursor, 0);
}

TEST_F(LineEditorTest, CountsColumnsNotCharacters) {
  editor_.Feed("日本語");
  EXPECT_EQ(editor_.Show(80).cursor, 6);
  EXPECT_EQ(editor_.Show(6).text, "本語");
}

}  // namespace
}  // namespace im::imctl
