// Checks of text that people enter.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace im {

// The number of Unicode characters (code points), or nullopt if it is not well-formed UTF-8
// (overlong forms, surrogates and values above U+10FFFF are not).
std::optional<size_t> CountCharacters(std::string_view text);

// Well-formed UTF-8 without NUL.
bool IsText(std::string_view text);

// Text without line breaks and other control characters: what stands in a list, as a name or title.
bool IsLine(std::string_view text);

}  // namespace im
