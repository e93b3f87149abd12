// A mutex that clang's thread-safety analysis understands.
//
// std::mutex underneath rather than absl::Mutex: Debian builds Abseil without ThreadSanitizer,
// which then reports races in correct programs.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define IM_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define IM_THREAD_ANNOTATION(x)
#endif
#define IM_CAPABILITY(x) IM_THREAD_ANNOTATION(capability(x))
#define IM_SCOPED_CAPABILITY IM_THREAD_ANNOTATION(scoped_lockable)
#define IM_GUARDED_BY(x) IM_THREAD_ANNOTATION(guarded_by(x))
#define IM_REQUIRES(...) IM_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define IM_EXCLUDES(...) IM_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define IM_ACQUIRE(...) IM_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define IM_RELEASE(...) IM_THREAD_ANNOTATION(release_capability(__VA_ARGS__))

namespace im {

class IM_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() IM_ACQUIRE() { mutex_.lock(); }
  void Unlock() IM_RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class IM_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) IM_ACQUIRE(mutex) : mutex_(mutex) { mutex_->Lock(); }
  ~MutexLock() IM_RELEASE() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

// Waits are spurious: call in a loop that checks the condition.
class CondVar {
 public:
  void Wait(Mutex* mutex) IM_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    cond_.wait(lock);
    lock.release();
  }
  // Returns false if the deadline passed.
  bool WaitUntil(Mutex* mutex, std::chrono::steady_clock::time_point deadline) IM_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    const auto status = cond_.wait_until(lock, deadline);
    lock.release();
    return status == std::cv_status::no_timeout;
  }
  void NotifyOne() { cond_.notify_one(); }
  void NotifyAll() { cond_.notify_all(); }

 private:
  std::condition_variable cond_;
};

}  // namespace im
