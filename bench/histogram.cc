#include "bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace im::bench {

int Histogram::BucketOf(int64_t value) {
  const auto number = static_cast<uint64_t>(value);
  // Values below twice kParts have a bucket each.
  const int shift = std::max(0, static_cast<int>(std::bit_width(number)) - kPartBits - 1);
  return shift * kParts + static_cast<int>(number >> shift);
}

int64_t Histogram::TopOf(int bucket) {
  const int shift = std::max(0, bucket / kParts - 1);
  const uint64_t part = static_cast<uint64_t>(bucket - shift * kParts);
  return static_cast<int64_t>(((part + 1) << shift) - 1);
}

void Histogram::Record(int64_t value) {
  value = std::max<int64_t>(value, 0);
  ++counts_[BucketOf(value)];
  ++count_;
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value);
}

void Histogram::Add(const Histogram& other) {
  for (int i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

double Histogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

int64_t Histogram::Quantile(double quantile) const {
  const auto rank =
      std::max<int64_t>(1, static_cast<int64_t>(std::ceil(quantile * static_cast<double>(count_))));
  int64_t seen = 0;
  for (int i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(TopOf(i), max_);
  }
  return 0;
}

}  // namespace im::bench
