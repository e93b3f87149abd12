#include "common/base/flush_scope.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>

namespace im {
namespace {

struct Counted : Flushable {
  void FlushNow() override { ++flushes; }
  int flushes = 0;
};

TEST(FlushScopeTest, WithoutAScopeTheCallerFlushes) {
  Counted output;
  EXPECT_FALSE(FlushScope::Defer(&output));
  EXPECT_EQ(output.flushes, 0);
}

TEST(FlushScopeTest, FlushesOnceAtTheEndOfTheOutermost) {
  Counted one, other;
  {
    FlushScope outer;
    {
      FlushScope inner;
      EXPECT_TRUE(FlushScope::Defer(&one));
      EXPECT_TRUE(FlushScope::Defer(&other));
      EXPECT_TRUE(FlushScope::Defer(&one));
    }
    EXPECT_EQ(one.flushes, 0);
  }
  EXPECT_EQ(one.flushes, 1);
  EXPECT_EQ(other.flushes, 1);
  EXPECT_FALSE(FlushScope::Defer(&one));
}

TEST(FlushScopeTest, KeepsWhatItFlushes) {
  auto output = std::make_shared<Counted>();
  std::weak_ptr<Counted> alive = output;
  {
    FlushScope scope;
    EXPECT_TRUE(FlushScope::Defer(std::move(output)));
    EXPECT_FALSE(alive.expired());
  }
  EXPECT_TRUE(alive.expired());
}

TEST(FlushScopeTest, IsItsThreadsOwn) {
  FlushScope scope;
  Counted output;
  std::thread([&] { EXPECT_FALSE(FlushScope::Defer(&output)); }).join();
}

// What one flushes may leave something to flush elsewhere: no scope is open any more.
TEST(FlushScopeTest, FlushingMayFlush) {
  struct Chained : Flushable {
    void FlushNow() override { deferred = FlushScope::Defer(next); }
    Flushable* next = nullptr;
    std::optional<bool> deferred;
  };
  Counted last;
  Chained first;
  first.next = &last;
  {
    FlushScope scope;
    FlushScope::Defer(&first);
  }
  EXPECT_EQ(first.deferred, false);
}

}  // namespace
}  // namespace im
