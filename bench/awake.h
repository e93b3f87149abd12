// Idle cores that poll for work instead of halting.
#pragma once

#include <utility>

#include "absl/status/statusor.h"

namespace im::bench {

// The kernel's quality of service for latency (Linux's Documentation/power/pm_qos_interface.rst):
// the file takes the longest time, in microseconds, that a core may take to wake up, as an int32 in
// the machine's byte order, which holds for as long as the file is open. Only root may open it.
inline constexpr char kLatencyRequests[] = "/dev/cpu_dma_latency";

// While it lives no idle core halts. A halted core of a virtual machine is woken through its host,
// which takes 16 to 25 µs for each step of a message's way.
class AwakeCores {
 public:
  // PERMISSION_DENIED to who is not root; NOT_FOUND where the kernel does not have it.
  static absl::StatusOr<AwakeCores> Keep(const char* requests = kLatencyRequests);
  ~AwakeCores();
  AwakeCores(AwakeCores&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  AwakeCores& operator=(AwakeCores&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

 private:
  explicit AwakeCores(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace im::bench
