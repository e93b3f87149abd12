// Which passwords may be set.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace im::auth {

// OK, or PASSWORD_REFUSED with one violation of `field` for each rule that is broken: 8 to 256
// bytes, text, not a common password, not holding the user name (folded already).
absl::Status CheckPassword(std::string_view field, std::string_view password,
                           std::string_view user_name);

// Whether a guesser would try it among the first: a known one, also with digits or marks around it
// or letters written as digits; a run of the keyboard or the alphabet; a repetition.
bool IsCommonPassword(std::string_view password);

}  // namespace im::auth
