#include "common/base/admission.h"

namespace im {

bool Admission::Enter(size_t bytes) {
  const auto now = Clock::now();
  MutexLock lock(&mu_);
  if (bytes_ + bytes > most_bytes_) return false;
  if (waiting_ == 0) {
    first_since_ = now;
  } else if (now - first_since_ > longest_wait_ || pace_ * waiting_ > longest_wait_) {
    return false;
  }
  ++waiting_;
  bytes_ += bytes;
  return true;
}

void Admission::Leave(size_t bytes) {
  const auto now = Clock::now();
  MutexLock lock(&mu_);
  const Clock::duration took = now - first_since_;
  // Bad times are learned fast, since meanwhile too many are let in.
  pace_ += (took - pace_) / (took > pace_ ? 2 : 8);
  first_since_ = now;
  --waiting_;
  bytes_ -= bytes;
}

}  // namespace im
