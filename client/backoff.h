// How long to wait before trying again.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>

namespace im::client {

// Exponential with full jitter: uniform between zero and a limit that doubles with each failure, so
// that many clients which lost the same server come back spread out. Not thread-safe.
class Backoff {
 public:
  struct Limits {
    std::chrono::milliseconds first{250};
    std::chrono::milliseconds most{10'000};
  };

  // `uniform` returns numbers in [0, 1).
  Backoff(Limits limits, std::function<double()> uniform)
      : limits_(limits), uniform_(std::move(uniform)) {}

  std::chrono::milliseconds Next() {
    const auto limit = limits_.first * (int64_t{1} << std::min(failures_, 20));
    if (limit < limits_.most) ++failures_;
    return std::chrono::milliseconds(static_cast<int64_t>(
        uniform_() * static_cast<double>(std::min(limit, limits_.most).count())));
  }
  void Reset() { failures_ = 0; }

 private:
  Limits limits_;
  std::function<double()> uniform_;
  int failures_ = 0;
};

}  // namespace im::client
