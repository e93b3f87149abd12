#include "common/base/admission.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace im {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(AdmissionTest, LetsNobodyInWhileTheFirstHasWaitedTooLong) {
  Admission admission(milliseconds(30));
  EXPECT_TRUE(admission.Enter(1));
  const auto until = steady_clock::now() + std::chrono::seconds(20);
  bool full = false;
  while (!full && steady_clock::now() < until) full = !admission.Enter(0);
  EXPECT_TRUE(full);
  // The first had its turn, late: the others would have theirs at that pace.
  admission.Leave(1);
  EXPECT_FALSE(admission.Enter(1));
}

TEST(AdmissionTest, LetsInAsManyAsHaveTheirTurnInTimeAtThePaceOfLate) {
  Admission admission(milliseconds(500));
  // Ten milliseconds each, and always one who waits.
  ASSERT_TRUE(admission.Enter(1));
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(admission.Enter(1));
    std::this_thread::sleep_for(milliseconds(10));
    admission.Leave(1);
  }
  const auto from = steady_clock::now();
  int let_in = 0;
  while (let_in < 1'000 && admission.Enter(1)) ++let_in;
  // About fifty, all at once; fewer on a machine that sleeps longer than it is told to.
  EXPECT_LT(let_in, 60);
  EXPECT_GT(let_in, 10);
  EXPECT_LT(steady_clock::now() - from, milliseconds(400)) << "the first waited too long";
}

TEST(AdmissionTest, OneTurnThatTakesLongTurnsNobodyAway) {
  Admission admission(std::chrono::seconds(10));
  ASSERT_TRUE(admission.Enter(1));
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(admission.Enter(1));
    admission.Leave(1);
  }
  std::this_thread::sleep_for(milliseconds(100));
  admission.Leave(1);
  // At a twentieth of a second each, these would be too many.
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(admission.Enter(1)) << i;
}

TEST(AdmissionTest, WhatIsGivenUpSaysNothingOfThePace) {
  Admission admission(milliseconds(500));
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(admission.Enter(1));
  std::this_thread::sleep_for(milliseconds(20));
  admission.Leave(1);
  for (int i = 0; i < 900; ++i) admission.GiveUp(1);
  // A hundred at 20 ms.
  EXPECT_FALSE(admission.Enter(1));
}

TEST(AdmissionTest, ForgetsABadTime) {
  Admission admission(milliseconds(50));
  ASSERT_TRUE(admission.Enter(1));
  std::this_thread::sleep_for(milliseconds(200));
  admission.Leave(1);
  // Those who come alone are let in whatever was before, and their turns are at once.
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(admission.Enter(1));
    admission.Leave(1);
  }
  EXPECT_TRUE(admission.Enter(1));
  EXPECT_TRUE(admission.Enter(1));
}

TEST(AdmissionTest, IsBoundedInBytes) {
  Admission admission(std::chrono::hours(1), 1000);
  EXPECT_TRUE(admission.Enter(600));
  EXPECT_FALSE(admission.Enter(600));
  EXPECT_TRUE(admission.Enter(400));
  EXPECT_FALSE(admission.Enter(1));
  admission.Leave(600);
  EXPECT_TRUE(admission.Enter(600));
}

}  // namespace
}  // namespace im
