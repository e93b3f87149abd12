// imctl as people and scripts run it, against real processes. Not thread-safe, but for Run.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "tests/e2e/pty_program.h"
#include "tests/support/log_secrets.h"
#include "tests/support/stack.h"

namespace im::testing {

inline constexpr char kPassword[] = "seven dwarfs and a whale";

// People, each with a profile of imctl, at a set-up of their own.
class ImctlTest : public ::testing::Test {
 protected:
  ImctlTest() { home_ = stack_.folder() + "/home"; }

  std::vector<std::string> Environment() const {
    return {"IMCTL_HOME=" + home_, "IMCTL_SERVER=" + stack_.address(), "TERM=xterm",
            "LC_ALL=C.UTF-8"};
  }
  static std::vector<std::string> Command(const std::string& who, std::vector<std::string> words) {
    words.insert(words.begin(), {IM_BINARY_DIR "/bin/imctl", "--profile", who});
    return words;
  }
  Outcome Run(const std::string& who, std::vector<std::string> words,
              const std::string& input = {}) {
    if (std::count(words.begin(), words.end(), "--password-stdin") > 0) {
      std::istringstream lines(input);
      for (std::string line; std::getline(lines, line);) RegisterSecret(line);
    }
    return RunProgram(Command(who, std::move(words)), input, Environment());
  }
  // Must succeed; returns what it printed.
  std::string Do(const std::string& who, std::vector<std::string> words,
                 const std::string& input = {}) {
    const std::string name = words[0];
    const Outcome outcome = Run(who, std::move(words), input);
    EXPECT_EQ(outcome.status, 0) << who << " " << name << ": " << outcome.err << outcome.out;
    return outcome.out;
  }
  void Register(const std::string& who) {
    Do(who, {"register", who, "--password-stdin"}, std::string(kPassword) + "\n");
  }
  void Befriend(const std::string& one, const std::string& other) {
    Do(one, {"contacts", "request", other});
    Do(other, {"contacts", "accept", one});
  }

  Stack stack_;
  std::string home_;
};

}  // namespace im::testing
