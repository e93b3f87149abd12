// Counts of measured times, from which percentiles are read.
#pragma once

#include <array>
#include <cstdint>

namespace im::bench {

// Log-linear like HdrHistogram: each power of two is cut into 64 equal parts, so a percentile is at
// most 1.6 % too high, whatever its size; counts, sum and maximum are exact. The unit is the
// caller's. Not thread-safe: one per thread, then Add.
//
// Closed loops (the next message waits for the last) record what they waited, as it is. An open
// loop must measure from the time at which it should have sent, or the waits that a stall caused
// are not in its figures (coordinated omission).
class Histogram {
 public:
  // Negative values count as 0.
  void Record(int64_t value);
  void Add(const Histogram& other);

  int64_t count() const { return count_; }
  int64_t max() const { return max_; }
  double mean() const;
  // The value that a share `quantile` in [0, 1] of the values does not exceed; 0 if there are none.
  int64_t Quantile(double quantile) const;

 private:
  static constexpr int kPartBits = 6;
  static constexpr int kParts = 1 << kPartBits;
  static constexpr int kBuckets = (64 - kPartBits) * kParts;

  static int BucketOf(int64_t value);
  // The highest value that falls into the bucket.
  static int64_t TopOf(int bucket);

  std::array<int64_t, kBuckets> counts_{};
  int64_t count_ = 0;
  int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace im::bench
