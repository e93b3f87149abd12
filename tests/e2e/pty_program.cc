#include "tests/e2e/pty_program.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>

namespace im::testing {

PtyProgram::PtyProgram(const std::vector<std::string>& command,
                       const std::vector<std::string>& environment) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  winsize size{};
  size.ws_col = 80;
  size.ws_row = 24;
  pid_ = forkpty(&master_, nullptr, nullptr, &size);
  if (pid_ < 0) throw std::runtime_error("forkpty failed");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (const std::string& variable : environment) putenv(const_cast<char*>(variable.c_str()));
    execv(words[0], words.data());
    _exit(127);
  }
  reader_ = std::thread([this] {
    char buffer[4096];
    for (;;) {
      const ssize_t count = read(master_, buffer, sizeof buffer);
      std::lock_guard lock(mu_);
      if (count <= 0) {
        closed_ = true;
        changed_.notify_all();
        return;
      }
      screen_.append(buffer, static_cast<size_t>(count));
      changed_.notify_all();
    }
  });
}

PtyProgram::~PtyProgram() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  reader_.join();
  close(master_);
}

void PtyProgram::Type(const std::string& keys) {
  if (write(master_, keys.data(), keys.size()) != static_cast<ssize_t>(keys.size())) {
    ADD_FAILURE() << "the terminal is gone";
  }
}

bool PtyProgram::Sees(const std::string& text) {
  std::unique_lock lock(mu_);
  size_t found = std::string::npos;
  changed_.wait_for(lock, std::chrono::seconds(20), [&] {
    found = screen_.find(text, seen_);
    return found != std::string::npos || closed_;
  });
  if (found == std::string::npos) {
    ADD_FAILURE() << "never saw '" << text << "' in:\n" << screen_.substr(seen_);
    return false;
  }
  seen_ = found + text.size();
  return true;
}

int PtyProgram::Ends() {
  int status = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "does not end; last on its screen:\n" << Screen().substr(seen_);
      return -1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string PtyProgram::Screen() {
  std::lock_guard lock(mu_);
  return screen_;
}

}  // namespace im::testing
