// A program on a terminal of its own, for tests of what people see.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace im::testing {

// Killed on destruction. Not thread-safe.
class PtyProgram {
 public:
  PtyProgram(const std::vector<std::string>& command, const std::vector<std::string>& environment);
  ~PtyProgram();
  PtyProgram(const PtyProgram&) = delete;
  PtyProgram& operator=(const PtyProgram&) = delete;

  void Type(const std::string& keys);
  // Waits until it has printed this since the last call that found something; fails the test and
  // returns false after 20 seconds.
  bool Sees(const std::string& text);
  // Waits up to 20 seconds for its end; the exit status, or 128 + signal; -1 if it does not end.
  int Ends();
  // All that it printed.
  std::string Screen();

 private:
  int master_ = -1;
  pid_t pid_ = -1;
  std::thread reader_;
  std::mutex mu_;
  std::condition_variable changed_;
  std::string screen_;
  size_t seen_ = 0;
  bool closed_ = false;
};

}  // namespace im::testing
