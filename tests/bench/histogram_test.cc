#include "bench/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace im::bench {
namespace {

TEST(Histogram, NothingRecorded) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.Quantile(0.5), 0);
  EXPECT_EQ(histogram.mean(), 0);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Record(i);
  EXPECT_EQ(histogram.Quantile(0.5), 50);
  EXPECT_EQ(histogram.Quantile(0.99), 99);
  EXPECT_EQ(histogram.Quantile(0), 1);
  EXPECT_EQ(histogram.Quantile(1), 100);
  EXPECT_EQ(histogram.max(), 100);
  EXPECT_DOUBLE_EQ(histogram.mean(), 50.5);
}

TEST(Histogram, NegativeCountsAsZero) {
  Histogram histogram;
  histogram.Record(-5);
  EXPECT_EQ(histogram.count(), 1);
  EXPECT_EQ(histogram.Quantile(1), 0);
}

TEST(Histogram, LargeValuesAreWithinTwoPercentAbove) {
  Histogram histogram;
  std::vector<int64_t> values;
  for (int64_t value = 1; value < int64_t{1} << 60; value = value * 3 / 2 + 1) {
    values.push_back(value);
    histogram.Record(value);
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const double quantile = static_cast<double>(i + 1) / static_cast<double>(values.size());
    const int64_t got = histogram.Quantile(quantile - 1e-9);
    EXPECT_GE(got, values[i]);
    EXPECT_LE(static_cast<double>(got), static_cast<double>(values[i]) * 1.016 + 1);
  }
}

TEST(Histogram, TheLargestValueOfAllFits) {
  Histogram histogram;
  histogram.Record(INT64_MAX);
  EXPECT_EQ(histogram.Quantile(1), INT64_MAX);
}

TEST(Histogram, NoPercentileExceedsTheMaximum) {
  Histogram histogram;
  histogram.Record(1'000'001);
  EXPECT_EQ(histogram.Quantile(0.99), 1'000'001);
}

TEST(Histogram, AddIsAsIfRecordedInOne) {
  Histogram one, other, both;
  for (int i = 0; i < 1000; ++i) {
    (i % 3 == 0 ? one : other).Record(i * 7);
    both.Record(i * 7);
  }
  one.Add(other);
  EXPECT_EQ(one.count(), both.count());
  EXPECT_EQ(one.max(), both.max());
  EXPECT_DOUBLE_EQ(one.mean(), both.mean());
  for (const double quantile : {0.1, 0.5, 0.9, 0.99, 1.0}) {
    EXPECT_EQ(one.Quantile(quantile), both.Quantile(quantile));
  }
}

}  // namespace
}  // namespace im::bench
