// What a handler of an RPC knows of the call.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace im::rpc {

// Who an access token speaks for.
struct Identity {
  int64_t user_id = 0;
  int64_t device_id = 0;
  std::chrono::system_clock::time_point expires_at;
};

// Tells who a token speaks for, or fails with TOKEN_INVALID, TOKEN_EXPIRED, DEVICE_REVOKED, or, if
// the keys are not known yet, SERVICE_UNAVAILABLE. Called on reaction threads: must not block.
using Authenticate = std::function<absl::StatusOr<Identity>(std::string_view access_token)>;

struct Caller {
  // Zero for methods that need no token.
  Identity identity;
  std::string access_token;
  // The client's address as the gateway saw it ("10.0.0.1"), from metadata "x-im-address"; empty if
  // the call did not come through it. For limits only; never logged.
  std::string address;
  // Follows a call through all services: metadata "x-request-id".
  std::string request_id;
  // When the client gives up.
  std::chrono::system_clock::time_point deadline;

  int64_t user_id() const { return identity.user_id; }
  int64_t device_id() const { return identity.device_id; }
};

inline constexpr char kRequestIdKey[] = "x-request-id";
inline constexpr char kAddressKey[] = "x-im-address";
inline constexpr char kAuthorizationKey[] = "authorization";

// The token of "Bearer TOKEN"; empty if it is not of that form.
std::string_view BearerToken(std::string_view authorization);

}  // namespace im::rpc
