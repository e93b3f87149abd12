// Puts flushing off to the end of a piece of work, so that what it leaves for one place goes there
// in one write.
#pragma once

#include <memory>
#include <vector>

namespace im {

// What gathers output until it is told to pass it on.
class Flushable {
 public:
  virtual ~Flushable() = default;
  virtual void FlushNow() = 0;
};

// On the stack of the thread that does the work. An inner one leaves it to the outermost. Whoever
// waits for what is put off must not do so inside of one.
class FlushScope {
 public:
  FlushScope();
  ~FlushScope();
  FlushScope(const FlushScope&) = delete;
  FlushScope& operator=(const FlushScope&) = delete;

  // True: a scope is open on this thread, and flushes `what` once at its end. False: none is, and
  // the caller has to.
  static bool Defer(std::shared_ptr<Flushable> what);
  // For what outlives all scopes.
  static bool Defer(Flushable* what) {
    return Defer(std::shared_ptr<Flushable>(std::shared_ptr<void>(), what));
  }

 private:
  FlushScope* const outer_;
  std::vector<std::shared_ptr<Flushable>> deferred_;
};

}  // namespace im
