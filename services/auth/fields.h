// Checks of the fields that people fill in.
#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"
#include "services/auth/values.h"

namespace im::auth {

inline constexpr size_t kMostNameCharacters = 64;
inline constexpr size_t kMostBioCharacters = 500;

// INVALID_FIELD unless it is text of at most so many characters.
absl::Status CheckText(std::string_view field, std::string_view text, size_t most_characters);
// And of one line.
absl::Status CheckLine(std::string_view field, std::string_view text, size_t most_characters);

absl::Status CheckDevice(const DeviceDescription& device);

}  // namespace im::auth
