// Signs access tokens. For im-auth and tests only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/token/keys.h"

namespace im::token {

struct Claims {
  int64_t user_id = 0;
  int64_t device_id = 0;
  std::chrono::system_clock::time_point issued_at;
  std::chrono::system_clock::time_point expires_at;
};

// Thread-safe. `private_pem` is that of the key `key_id`.
absl::StatusOr<std::string> Issue(const std::string& key_id, const std::string& private_pem,
                                  const Claims& claims);

}  // namespace im::token
