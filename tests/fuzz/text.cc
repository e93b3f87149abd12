// Text of strangers: what counts as text, what can be a user name, and what of it is shown on a
// terminal.
#include "common/base/text.h"

#include <clocale>
#include <vector>

#include "imctl/escape.h"
#include "services/auth/user_name.h"
#include "tests/fuzz/check.h"

using im::fuzz::Check;

namespace {

// The characters, or what is no UTF-8 as -1, byte by byte.
std::vector<int32_t> Characters(std::string_view text) {
  std::vector<int32_t> characters;
  while (!text.empty()) {
    const im::imctl::Character c = im::imctl::FirstCharacter(text);
    Check(c.length >= 1 && static_cast<size_t>(c.length) <= text.size(), "a character has bytes");
    Check(c.value >= 0 || c.length == 1, "what is no character goes byte by byte");
    characters.push_back(c.value);
    text.remove_prefix(c.length);
  }
  return characters;
}

bool IsValid(const std::vector<int32_t>& characters) {
  for (const int32_t c : characters) {
    if (c < 0) return false;
  }
  return true;
}

// Controls, characters that change the direction of others, and the two that break lines: Unicode's
// categories Cc, Zl, Zp and its property Bidi_Control, written down once more.
bool MayMislead(int32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void CheckShown(const std::string& shown, bool with_lines) {
  const auto characters = Characters(shown);
  Check(IsValid(characters), "what is shown is UTF-8");
  for (const int32_t c : characters) {
    Check((with_lines && c == '\n') || !MayMislead(c), "nothing that is shown misleads");
  }
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines(1);
  for (const char c : text) {
    if (c == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += c;
    }
  }
  return lines;
}

std::string WithoutBlanks(std::string_view text) {
  std::string rest;
  for (const char c : text) {
    if (c != ' ' && c != '\n') rest += c;
  }
  return rest;
}

// Unicode's categories Cc, Zl and Zp.
bool IsOneLine(const std::vector<int32_t>& characters) {
  for (const int32_t c : characters) {
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029) return false;
  }
  return true;
}

void CheckEscape(std::string_view text, int width) {
  using namespace im::imctl;  // NOLINT: one function
  const std::string escaped = Escape(text);
  CheckShown(escaped, false);
  Check(Escape(escaped) == escaped, "what may be shown stays as it is");
  Check(escaped.size() <= 10 * text.size(), "escaping does not blow a text up");

  const std::string indented = EscapeLines(text, "  ");
  CheckShown(indented, true);
  const auto lines = Lines(indented);
  for (size_t i = 1; i < lines.size(); ++i) {
    Check(lines[i].substr(0, 2) == "  ", "no line can pass for one of ours");
  }

  const std::string wrapped = Wrap(indented, "  ", width);
  CheckShown(wrapped, true);
  Check(WithoutBlanks(wrapped) == WithoutBlanks(indented), "wrapping loses nothing");
  // A character of two columns fits no narrower.
  if (width < 4) return;
  for (const std::string& line : Lines(wrapped)) {
    Check(DisplayWidth(line) <= width, "no line is wider than the screen");
  }
}

void CheckNames(std::string_view text) {
  using namespace im::auth;  // NOLINT: one function
  Check(UserNameHash(text) == UserNameHash(Fold(text)), "a name counts however it is written");
  const auto name = ParseUserName(text);
  if (!name) return;
  Check(name->size() >= 3 && name->size() <= 32 && name->size() == text.size(),
        "a name has its length");
  Check(ParseUserName(*name) == name && Fold(text) == *name, "a name has one form");
  Check(name->find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") == std::string::npos,
        "a name holds nothing but its letters");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool utf8 = std::setlocale(LC_ALL, "C.UTF-8") != nullptr;
  Check(utf8, "there is a locale for widths");
  im::fuzz::Input input(data, size);
  const int width = input.Byte() % 100;
  const std::string_view text = input.rest();
  const auto characters = Characters(text);
  const auto count = im::CountCharacters(text);
  Check(count.has_value() == IsValid(characters), "servers and imctl agree on what UTF-8 is");
  if (count) Check(*count == characters.size(), "and how long it is");
  Check(im::IsText(text) == (count && text.find('\0') == std::string_view::npos),
        "text has no NUL");
  Check(im::IsLine(text) == (count && IsOneLine(characters)), "a line has no controls or breaks");
  CheckEscape(text, width);
  CheckNames(text);
  return 0;
}
