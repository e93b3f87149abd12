// User names: 3 to 32 of a-z 0-9 _ . -, upper case folded to lower.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace im::auth {

// The name as it is stored, or nullopt if it can be nobody's.
std::optional<std::string> ParseUserName(std::string_view name);

// ASCII letters to lower case.
std::string Fold(std::string_view text);

// What failed log-ins are counted by. Any text has one, also what can be nobody's name.
std::string UserNameHash(std::string_view name);

}  // namespace im::auth
