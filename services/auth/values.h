// The plain values of im-auth.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace im::auth {

using Time = std::chrono::system_clock::time_point;

inline int64_t ToMicros(Time time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}
inline Time FromMicros(int64_t micros) { return Time(std::chrono::microseconds(micros)); }

struct Profile {
  int64_t user_id = 0;
  std::string user_name;
  std::string display_name;
  std::string bio;
};

struct DeviceDescription {
  std::string name;
  std::string platform;
};

struct Device {
  int64_t device_id = 0;
  DeviceDescription description;
  Time logged_in_at;
  Time last_used_at;
};

struct TokenPair {
  std::string access_token;
  Time access_expires_at;
  std::string refresh_token;
  Time refresh_expires_at;
  int64_t device_id = 0;
};

struct Revocation {
  int64_t device_id = 0;
  Time at;
};

}  // namespace im::auth
