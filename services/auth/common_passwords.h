// Words that common passwords are made of.
#pragma once

#include <string_view>
#include <vector>

namespace im::auth {

// Lower case, sorted.
const std::vector<std::string_view>& CommonPasswordWords();

}  // namespace im::auth
