// Other people's text on our terminal.
#pragma once

#include <string>
#include <string_view>

namespace im::imctl {

// What may be shown: control characters (C0, C1, DEL: also those that begin ANSI sequences), bidi
// controls, invisible and line-breaking characters come out as \x1b or \u202e, bytes that are not
// UTF-8 as \xff. Never holds a line break.
std::string Escape(std::string_view text);

// The same for text of several lines: its line breaks are kept, and `indent` put behind each, so
// that no line of it can pass for one of ours.
std::string EscapeLines(std::string_view text, std::string_view indent);

// An escaped text, broken into lines of at most `width` columns (0: as they are), at spaces if
// there are any, with `indent` before each further one: a line that the terminal breaks goes on at
// the margin, where it can pass for one of ours.
std::string Wrap(std::string_view text, std::string_view indent, int width);

// Columns that the text takes on a terminal; it must have been escaped.
int DisplayWidth(std::string_view text);

// The character that begins at `text[0]`: its value, and its length in bytes. Bytes that are not
// UTF-8 come one by one as -1.
struct Character {
  int32_t value;
  int length;
};
Character FirstCharacter(std::string_view text);

// Columns of one character, rather too many than too few; 0 for those that combine with the one
// before.
int CharacterWidth(int32_t value);

}  // namespace im::imctl
