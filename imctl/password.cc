#include "imctl/password.h"

#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/text.h"

namespace im::imctl {
namespace {

constexpr char kCtrlC = 3;

// Asks on the terminal itself, whatever standard input is.
absl::StatusOr<std::string> Ask(const std::string& prompt) {
  const int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
  if (tty < 0) {
    return absl::InvalidArgumentError(
        "there is no terminal to ask for the password on: use --password-stdin or --password-file");
  }
  termios before{};
  tcgetattr(tty, &before);
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  // Ctrl-C comes as a character, so that the echo is never left off; it ends the line, so that it
  // comes at once.
  silent.c_lflag &= ~static_cast<tcflag_t>(ISIG);
  silent.c_cc[VEOL] = kCtrlC;
  tcsetattr(tty, TCSAFLUSH, &silent);
  const auto say = [tty](const std::string& text) {
    return write(tty, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  };
  bool given_up = !say(prompt);
  std::string line;
  char c = 0;
  while (!given_up) {
    const ssize_t count = read(tty, &c, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0 || c == kCtrlC) {
      given_up = true;
    } else if (c == '\n') {
      break;
    } else {
      line += c;
    }
  }
  say("\n");
  tcsetattr(tty, TCSAFLUSH, &before);
  close(tty);
  if (given_up) return absl::CancelledError("given up");
  return line;
}

}  // namespace

void PasswordOptions::AddTo(CLI::App* command) {
  auto* in = command->add_flag("--password-stdin", from_stdin,
                               "Read the password from standard input (its first line)");
  command->add_option("--password-file", file, "Read the password from a file (its first line)")
      ->type_name("FILE")
      ->excludes(in);
}

absl::StatusOr<std::string> ReadPasswordLine() {
  std::string line;
  if (!std::getline(std::cin, line)) {
    return absl::InvalidArgumentError("standard input holds no password");
  }
  return line;
}

namespace {

absl::StatusOr<std::string> Read(const PasswordOptions& options, const std::string& prompt,
                                 bool confirm) {
  if (options.from_stdin) return ReadPasswordLine();
  if (!options.file.empty()) {
    std::ifstream file(options.file);
    std::string line;
    if (!std::getline(file, line)) {
      return absl::DataLossError(absl::StrCat("cannot read a password from ", options.file));
    }
    return line;
  }
  IM_ASSIGN_OR_RETURN(std::string password, Ask(prompt + ": "));
  if (confirm) {
    IM_ASSIGN_OR_RETURN(const std::string again, Ask(prompt + ", again: "));
    if (again != password) return absl::InvalidArgumentError("the two are not the same");
  }
  return password;
}

}  // namespace

absl::StatusOr<std::string> ReadPassword(const PasswordOptions& options, const std::string& prompt,
                                         bool confirm) {
  IM_ASSIGN_OR_RETURN(std::string password, Read(options, prompt, confirm));
  if (!IsText(password)) return absl::InvalidArgumentError("the password is not UTF-8");
  return password;
}

}  // namespace im::imctl
