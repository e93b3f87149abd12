#include "services/chat/writer_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "common/base/error.h"

namespace im::chat {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using ::testing::Optional;

SendItem Message(size_t bytes = 1) {
  SendItem item;
  item.content.assign(bytes, 'x');
  return item;
}

absl::Status Put(WriterQueue* queue, SendItem item) { return queue->Put(&item); }

TEST(WriterQueueTest, IsBoundedInNumber) {
  WriterQueue queue({.items = 2});
  EXPECT_TRUE(Put(&queue, Message()).ok());
  EXPECT_TRUE(Put(&queue, Message()).ok());
  const absl::Status refused = Put(&queue, Message());
  EXPECT_THAT(ReasonOf(refused), Optional(Reason::OVERLOADED));
  EXPECT_TRUE(DetailsOf(refused).retry_after.has_value());
  EXPECT_EQ(queue.Take(10, true).sends.size(), 2U);
  EXPECT_TRUE(Put(&queue, Message()).ok());
}

TEST(WriterQueueTest, IsBoundedInBytes) {
  WriterQueue queue({.bytes = 1000});
  EXPECT_TRUE(Put(&queue, Message(600)).ok());
  SendItem large = Message(600);
  EXPECT_THAT(ReasonOf(queue.Put(&large)), Optional(Reason::OVERLOADED));
  EXPECT_EQ(large.content.size(), 600U) << "it is the caller's still";
  EXPECT_TRUE(Put(&queue, Message(300)).ok());
  EXPECT_EQ(queue.Take(1, true).sends.size(), 1U);
  EXPECT_TRUE(queue.Put(&large).ok());
}

TEST(WriterQueueTest, TakesNoMoreWhileTheFirstHasWaitedTooLong) {
  WriterQueue queue({.items = 10'000'000, .bytes = size_t{1} << 30, .wait = milliseconds(20)});
  ASSERT_TRUE(Put(&queue, Message()).ok());
  const auto until = steady_clock::now() + std::chrono::seconds(20);
  absl::Status status;
  while (status.ok() && steady_clock::now() < until) status = Put(&queue, Message());
  EXPECT_THAT(ReasonOf(status), Optional(Reason::OVERLOADED));
  // Neither of another kind, which the same writer has to do.
  TypingItem typing;
  EXPECT_THAT(ReasonOf(queue.Put(&typing)), Optional(Reason::OVERLOADED));
  queue.Take(1'000'000, true);
  EXPECT_TRUE(Put(&queue, Message()).ok());
}

// A writer that needs a while for each: who comes when that many wait is told before they have
// waited.
TEST(WriterQueueTest, TakesNoMoreThanThePaceOfLateAllows) {
  WriterQueue queue({.wait = milliseconds(1000)});
  ASSERT_TRUE(Put(&queue, Message()).ok());
  for (int i = 0; i < 20; ++i) {
    queue.Take(1, true);
    ASSERT_TRUE(Put(&queue, Message()).ok());
    // The work.
    const auto until = steady_clock::now() + milliseconds(20);
    while (steady_clock::now() < until) {
    }
  }
  const auto from = steady_clock::now();
  int taken = 0;
  while (taken < 1000 && Put(&queue, Message()).ok()) ++taken;
  EXPECT_LT(steady_clock::now() - from, milliseconds(900)) << "they waited too long";
  EXPECT_LT(taken, 60);
}

// As fast as it goes.
void PutAndTakeMany(WriterQueue* queue) {
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Put(queue, Message()).ok());
    queue->Take(1, true);
  }
}

TEST(WriterQueueTest, GathersWhenMuchComes) {
  WriterQueue queue({.gather_share = 1e9, .gather = std::chrono::seconds(60)});
  PutAndTakeMany(&queue);
  size_t taken = 0;
  auto from = steady_clock::now();
  std::thread taker([&] { taken = queue.Take(3, true).sends.size(); });
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(Put(&queue, Message()).ok());
    std::this_thread::sleep_for(milliseconds(20));
  }
  taker.join();
  EXPECT_EQ(taken, 3U);
  EXPECT_LT(steady_clock::now() - from, std::chrono::seconds(10)) << "a full batch does not wait";

  // It is over with the end of the queue, too.
  from = steady_clock::now();
  taker = std::thread([&] { taken = queue.Take(100, true).sends.size(); });
  EXPECT_TRUE(Put(&queue, Message()).ok());
  queue.Close();
  taker.join();
  EXPECT_EQ(taken, 1U);
  EXPECT_LT(steady_clock::now() - from, std::chrono::seconds(10));
}

TEST(WriterQueueTest, GathersWhileTheyKeepComing) {
  WriterQueue queue({.gather_share = 1e9, .gather = std::chrono::seconds(6)});
  PutAndTakeMany(&queue);
  ASSERT_TRUE(Put(&queue, Message()).ok());
  auto from = steady_clock::now();
  EXPECT_EQ(queue.Take(100, true).sends.size(), 1U);
  EXPECT_GT(steady_clock::now() - from, milliseconds(1900));
  EXPECT_LT(steady_clock::now() - from, milliseconds(3900)) << "nothing came for a third of it";

  PutAndTakeMany(&queue);
  ASSERT_TRUE(Put(&queue, Message()).ok());
  size_t taken = 0;
  from = steady_clock::now();
  std::thread taker([&] { taken = queue.Take(100, true).sends.size(); });
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_TRUE(Put(&queue, Message()).ok());
  taker.join();
  EXPECT_EQ(taken, 2U);
  EXPECT_GT(steady_clock::now() - from, milliseconds(3900)) << "one came within the first third";
  EXPECT_LT(steady_clock::now() - from, milliseconds(5900));
}

TEST(WriterQueueTest, GathersForAShareOfARound) {
  WriterQueue queue({.gather_share = 0.2, .gather = std::chrono::seconds(60)});
  for (int i = 0; i < 20; ++i) {
    for (int k = 0; k < 200; ++k) ASSERT_TRUE(Put(&queue, Message()).ok());
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_EQ(queue.Take(200, true).sends.size(), 200U) << "a full batch does not wait";
  }
  ASSERT_TRUE(Put(&queue, Message()).ok());
  const auto from = steady_clock::now();
  EXPECT_EQ(queue.Take(200, true).sends.size(), 1U);
  EXPECT_GT(steady_clock::now() - from, milliseconds(3)) << "a third, since nothing comes";
  EXPECT_LT(steady_clock::now() - from, std::chrono::seconds(10));
}

// What was much a while ago is nothing now; and nobody gathers for what is no message.
TEST(WriterQueueTest, ForgetsThatMuchCame) {
  // A third of that, if they did not forget.
  WriterQueue queue({.gather_share = 1e9, .gather = milliseconds(12'000)});
  PutAndTakeMany(&queue);
  TypingItem typing;
  ASSERT_TRUE(queue.Put(&typing).ok());
  auto from = steady_clock::now();
  EXPECT_EQ(queue.Take(10, true).typings.size(), 1U);
  EXPECT_LT(steady_clock::now() - from, milliseconds(3900));

  std::this_thread::sleep_for(milliseconds(1000));
  ASSERT_TRUE(Put(&queue, Message()).ok());
  from = steady_clock::now();
  EXPECT_EQ(queue.Take(10, true).sends.size(), 1U);
  EXPECT_LT(steady_clock::now() - from, milliseconds(3900));
}

// A round that took long does not stand for each of the many that the next one takes.
TEST(WriterQueueTest, OneSlowRoundRefusesNobodyWhoFitsIntoTheNext) {
  WriterQueue queue({.wait = milliseconds(100)});
  ASSERT_TRUE(Put(&queue, Message()).ok());
  queue.Take(500, true);
  ASSERT_TRUE(Put(&queue, Message()).ok());
  const auto until = steady_clock::now() + milliseconds(80);
  while (steady_clock::now() < until) {
  }
  queue.Take(500, true);
  for (int i = 0; i < 499; ++i) ASSERT_TRUE(Put(&queue, Message()).ok()) << i;
}

TEST(WriterQueueTest, WhatIsTooOldOrNotWantedAnyMoreIsNotBegun) {
  WriterQueue queue({.stale = milliseconds(20)});
  Waiting waiting;
  waiting.since = steady_clock::now();
  waiting.deadline = system_clock::now() + std::chrono::hours(1);
  EXPECT_TRUE(queue.CheckWorth(waiting).ok());
  waiting.deadline = system_clock::now() - milliseconds(1);
  EXPECT_THAT(ReasonOf(queue.CheckWorth(waiting)), Optional(Reason::DEADLINE_EXCEEDED));
  waiting.deadline = system_clock::time_point::max();
  waiting.since = steady_clock::now() - milliseconds(21);
  EXPECT_THAT(ReasonOf(queue.CheckWorth(waiting)), Optional(Reason::OVERLOADED));
}

TEST(WriterQueueTest, ClosedItGivesOutWhatIsLeft) {
  WriterQueue queue({});
  ASSERT_TRUE(Put(&queue, Message()).ok());
  queue.Close();
  EXPECT_THAT(ReasonOf(Put(&queue, Message())), Optional(Reason::OVERLOADED));
  EXPECT_EQ(queue.Take(10, true).sends.size(), 1U);
  EXPECT_TRUE(queue.Take(10, true).empty());
}

}  // namespace
}  // namespace im::chat
