#include "common/base/admission.h"

#include <cmath>

namespace im {
namespace {
using Seconds = std::chrono::duration<double>;
}  // namespace

void Admission::Fade(Clock::duration elapsed) {
  const double weight = std::exp(-10 * Seconds(elapsed) / Seconds(longest_wait_));
  turns_ *= weight;
  seconds_ *= weight;
}

bool Admission::Enter(size_t bytes) {
  const auto now = Clock::now();
  MutexLock lock(&mu_);
  if (bytes_ + bytes > most_bytes_) return false;
  if (waiting_ == 0) {
    Fade(now - first_since_);
    first_since_ = now;
  } else {
    if (now - first_since_ > longest_wait_) return false;
    // The first turns, of a process that is cold, say too little.
    const bool known = Seconds(seconds_) > longest_wait_ / 100.0;
    if (known && Seconds(seconds_ / turns_ * static_cast<double>(waiting_)) > longest_wait_) {
      return false;
    }
  }
  ++waiting_;
  bytes_ += bytes;
  return true;
}

void Admission::Leave(size_t bytes) {
  const auto now = Clock::now();
  MutexLock lock(&mu_);
  const Clock::duration took = now - first_since_;
  Fade(took);
  turns_ += 1;
  seconds_ += Seconds(took).count();
  first_since_ = now;
  --waiting_;
  bytes_ -= bytes;
}

void Admission::GiveUp(size_t bytes) {
  const auto now = Clock::now();
  MutexLock lock(&mu_);
  --waiting_;
  bytes_ -= bytes;
  if (waiting_ == 0) first_since_ = now;
}

}  // namespace im
