// Passwords, never from the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"

namespace im::imctl {

// --password-stdin and --password-file of a command.
struct PasswordOptions {
  bool from_stdin = false;
  std::string file;

  void AddTo(CLI::App* command);
};

// From where the options say, else asked for on the terminal without echo; twice if `confirm`.
absl::StatusOr<std::string> ReadPassword(const PasswordOptions& options, const std::string& prompt,
                                         bool confirm);

// A line from standard input, without its end.
absl::StatusOr<std::string> ReadPasswordLine();

}  // namespace im::imctl
