#include "gateway/fifo.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <utility>

namespace im::gateway {
namespace {

TEST(FifoTest, DoesAsADequeDoes) {
  Fifo<std::unique_ptr<int>> fifo;
  std::deque<int> deque;
  std::mt19937 random(1);
  for (int step = 0; step < 100'000; ++step) {
    // Grows for a while, then shrinks for a while.
    if (random() % 100 < (step / 500 % 2 == 0 ? 70U : 40U)) {
      fifo.push_back(std::make_unique<int>(step));
      deque.push_back(step);
    } else if (!deque.empty()) {
      ASSERT_EQ(*fifo.front(), deque.front());
      fifo.pop_front();
      deque.pop_front();
    }
    if (!deque.empty() && random() % 10 == 0) {
      const auto place = static_cast<std::ptrdiff_t>(random() % deque.size());
      fifo.erase(fifo.begin() + place);
      deque.erase(deque.begin() + place);
    }
    ASSERT_EQ(fifo.size(), deque.size());
    ASSERT_EQ(fifo.empty(), deque.empty());
    if (!deque.empty()) {
      const size_t place = random() % deque.size();
      ASSERT_EQ(*fifo[place], deque[place]);
    }
  }
  size_t place = 0;
  for (const auto& item : fifo) ASSERT_EQ(*item, deque[place++]);
  EXPECT_EQ(place, deque.size());
  fifo.clear();
  EXPECT_TRUE(fifo.empty());
}

TEST(FifoTest, HoldsNextToNothingWhileItIsEmpty) {
  Fifo<int> fifo;
  EXPECT_EQ(fifo.capacity(), 0U);
  for (int i = 0; i < 1000; ++i) fifo.push_back(i);
  EXPECT_GE(fifo.capacity(), 1000U);
  while (!fifo.empty()) fifo.pop_front();
  EXPECT_EQ(fifo.capacity(), 0U);
  // What comes and goes one by one has its place.
  fifo.push_back(1);
  fifo.pop_front();
  EXPECT_EQ(fifo.capacity(), 1U);
}

TEST(FifoTest, IsEmptyOnceItIsMoved) {
  Fifo<int> fifo;
  for (int i = 0; i < 3; ++i) fifo.push_back(i);
  fifo.pop_front();
  Fifo<int> other = std::move(fifo);
  EXPECT_TRUE(fifo.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(other.size(), 2U);
  EXPECT_EQ(other.front(), 1);
  fifo = std::move(other);
  EXPECT_TRUE(other.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(fifo.front(), 1);
}

TEST(FifoTest, HoldsNothingOfWhatHasLeft) {
  Fifo<std::shared_ptr<int>> fifo;
  const auto item = std::make_shared<int>(1);
  fifo.push_back(item);
  fifo.push_back(nullptr);
  EXPECT_EQ(item.use_count(), 2);
  fifo.pop_front();
  EXPECT_EQ(item.use_count(), 1);
}

}  // namespace
}  // namespace im::gateway
