// What access tokens are: JWTs signed with ES256, with the claims sub (user id), device, iat, exp
// and iss.
#pragma once

#include <chrono>
#include <functional>

namespace im::token {

// Tests have a clock of their own.
using Clock = std::function<std::chrono::system_clock::time_point()>;

inline constexpr char kIssuer[] = "im";
inline constexpr char kDeviceClaim[] = "device";

// The longest life an access token may be given. A revoked device is remembered for longer than
// that, and then needs to be no more.
inline constexpr std::chrono::minutes kLongestLife{60};

// How far the clocks of two machines may differ.
inline constexpr std::chrono::seconds kLeeway{5};

}  // namespace im::token
