// The words of presence.
#pragma once

#include <chrono>
#include <cstdint>

namespace im::presence {

// In order of weight: a person's status is the greatest of their devices'. Invisible devices count
// as absent.
enum class Status { kOffline, kInvisible, kAway, kOnline, kBusy };

// What others see of it.
inline Status Shown(Status status) {
  return status == Status::kInvisible ? Status::kOffline : status;
}

using UserId = int64_t;
using DeviceId = int64_t;
// One gateway's link, numbered by us; never used again.
using LinkId = uint64_t;

// A session as its link names it.
struct SessionKey {
  LinkId link = 0;
  uint64_t number = 0;

  friend bool operator==(const SessionKey&, const SessionKey&) = default;
  template <typename H>
  friend H AbslHashValue(H hash, const SessionKey& key) {
    return H::combine(std::move(hash), key.link, key.number);
  }
};

// The steady clock measures, the wall clock is told to people: nothing is decided by it.
using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;
struct Moment {
  SteadyTime steady;
  WallTime wall;
};

}  // namespace im::presence
