#include "imctl/escape.h"

#include <wchar.h>

#include <cstdint>
#include <cstdio>

namespace im::imctl {
namespace {

bool IsHarmful(int32_t c) {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) ||  // controls
         c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069) ||  // bidi
         c == 0x2028 || c == 0x2029 ||    // line and paragraph separators
         c == 0x00ad || c == 0x200b || (c >= 0x2060 && c <= 0x2064) || c == 0xfeff || c == 0x180e ||
         c == 0x115f || c == 0x1160 || c == 0x3164 || c == 0xffa0 ||  // invisible
         (c >= 0xfff9 && c <= 0xfffb) ||                              // annotations
         (c >= 0xe0000 && c <= 0xe007f) ||                            // tags
         (c >= 0x206a && c <= 0x206f);                                // deprecated formatting
}

void AppendEscaped(std::string_view text, std::string* out) {
  const Character c = FirstCharacter(text);
  char buffer[16];
  if (c.value < 0) {
    snprintf(buffer, sizeof buffer, "\\x%02x", static_cast<unsigned char>(text[0]));
    *out += buffer;
  } else if (c.value == '\n') {
    *out += "\\n";
  } else if (c.value == '\t') {
    *out += "\\t";
  } else if (!IsHarmful(c.value)) {
    *out += text.substr(0, c.length);
  } else {
    snprintf(buffer, sizeof buffer,
             c.value < 0x100     ? "\\x%02x"
             : c.value < 0x10000 ? "\\u%04x"
                                 : "\\U%08x",
             static_cast<unsigned>(c.value));
    *out += buffer;
  }
}

}  // namespace

Character FirstCharacter(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const int length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length == 0 || first > 0xf4 || text.size() < static_cast<size_t>(length)) return {-1, 1};
  int32_t value = first & (0x7f >> length);
  for (int i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {-1, 1};
    value = (value << 6) | (byte(i) & 0x3f);
  }
  constexpr int32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kLeast[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
    return {-1, 1};
  }
  return {value, length};
}

std::string Escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    AppendEscaped(text, &out);
    text.remove_prefix(FirstCharacter(text).length);
  }
  return out;
}

std::string EscapeLines(std::string_view text, std::string_view indent) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (text[0] == '\n') {
      out += '\n';
      out += indent;
    } else if (text[0] == '\t') {
      out += "    ";
    } else {
      AppendEscaped(text, &out);
    }
    text.remove_prefix(FirstCharacter(text).length);
  }
  return out;
}

std::string Wrap(std::string_view text, std::string_view indent, int width) {
  if (width <= 0) return std::string(text);
  // On a narrow screen half of it, so that there is room for text.
  indent = indent.substr(0, static_cast<size_t>(width / 2));
  std::string out;
  std::string line;
  int column = 0;
  bool begun = false;
  // Behind the last space of the line; 0: it has none but its own indent.
  size_t gap = 0;
  while (!text.empty()) {
    const Character c = FirstCharacter(text);
    const auto length = static_cast<size_t>(c.length);
    if (c.value == '\n') {
      out += line + '\n';
      line.clear();
      column = 0;
      begun = false;
      gap = 0;
    } else {
      const int columns = c.value < 0 ? 1 : CharacterWidth(c.value);
      if (column + columns > width) {
        const int moved = gap == 0 ? width : DisplayWidth(std::string_view(line).substr(gap));
        const bool fits = static_cast<int>(indent.size()) + moved + columns <= width;
        const size_t end = fits ? gap : line.size();
        out += line.substr(0, end) + '\n';
        line = std::string(indent) + line.substr(end);
        column = DisplayWidth(line);
        gap = 0;
      }
      line += text.substr(0, length);
      column += columns;
      begun = begun || c.value != ' ';
      if (begun && c.value == ' ') gap = line.size();
    }
    text.remove_prefix(length);
  }
  return out + line;
}

int CharacterWidth(int32_t value) {
  // A variation selector may widen what is before it, and what the C library does not know may be a
  // newer emoji.
  if (value == 0xfe0f) return 1;
  const int width = wcwidth(static_cast<wchar_t>(value));
  return width < 0 ? 2 : width;
}

int DisplayWidth(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Character c = FirstCharacter(text);
    width += c.value < 0 ? 1 : CharacterWidth(c.value);
    text.remove_prefix(c.length);
  }
  return width;
}

}  // namespace im::imctl
