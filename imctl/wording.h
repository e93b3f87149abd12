// Refusals in words for the one who was refused: the server's own speak of "the caller".
#pragma once

#include <string>

#include "absl/status/status.h"

namespace im::imctl {

// The message; in our words if the server said no more than the reason. Not escaped.
std::string Wording(const absl::Status& status);

}  // namespace im::imctl
