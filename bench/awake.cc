#include "bench/awake.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace im::bench {

absl::StatusOr<AwakeCores> AwakeCores::Keep(const char* requests) {
  AwakeCores awake(open(requests, O_WRONLY | O_CLOEXEC));
  const int32_t longest_micros = 0;
  if (awake.fd_ < 0 ||
      write(awake.fd_, &longest_micros, sizeof longest_micros) != sizeof longest_micros) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cores cannot be kept awake: ", requests));
  }
  return awake;
}

AwakeCores::~AwakeCores() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace im::bench
