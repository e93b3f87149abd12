#include "common/base/text.h"

#include <cstdint>

namespace im {

std::optional<size_t> CountCharacters(std::string_view text) {
  size_t count = 0;
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<uint8_t>(text[i]);
    size_t length = 1;
    uint32_t code = lead;
    uint32_t least = 0;
    if (lead >= 0x80) {
      if ((lead & 0xe0) == 0xc0) {
        length = 2, code = lead & 0x1f, least = 0x80;
      } else if ((lead & 0xf0) == 0xe0) {
        length = 3, code = lead & 0x0f, least = 0x800;
      } else if ((lead & 0xf8) == 0xf0) {
        length = 4, code = lead & 0x07, least = 0x10000;
      } else {
        return std::nullopt;
      }
    }
    if (i + length > text.size()) return std::nullopt;
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<uint8_t>(text[i + k]);
      if ((next & 0xc0) != 0x80) return std::nullopt;
      code = code << 6 | (next & 0x3f);
    }
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return std::nullopt;
    i += length;
    ++count;
  }
  return count;
}

bool IsText(std::string_view text) {
  return text.find('\0') == std::string_view::npos && CountCharacters(text).has_value();
}

bool IsLine(std::string_view text) {
  if (!IsText(text)) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return false;
    const auto next = [&](size_t k) { return static_cast<uint8_t>(text[i + k]); };
    // U+0080 to U+009F; U+2028 and U+2029. Well-formed, so that the lead byte has its successors.
    if (byte == 0xc2 && next(1) < 0xa0) return false;
    if (byte == 0xe2 && next(1) == 0x80 && (next(2) == 0xa8 || next(2) == 0xa9)) return false;
  }
  return true;
}

}  // namespace im
