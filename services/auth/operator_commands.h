// im-auth user add|list|lock|unlock|reset-password: for the operator on the machine. They work on
// the database, beside running services, which find out within a second.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "services/auth/password_hasher.h"

namespace im::auth {

class OperatorCommands {
 public:
  // Adds the subcommands to `app`, which must outlive this.
  explicit OperatorCommands(CLI::App* app);

  // Whether one of them was given.
  bool Given() const;
  // Runs it; the exit code: 0, or 1 after a message on stderr.
  int Run(const std::string& database_url, const HashingOptions& hashing) const;

 private:
  CLI::App* user_ = nullptr;
  CLI::App* add_ = nullptr;
  CLI::App* list_ = nullptr;
  CLI::App* lock_ = nullptr;
  CLI::App* unlock_ = nullptr;
  CLI::App* reset_password_ = nullptr;
  std::string name_;
  bool password_stdin_ = false;
  bool json_ = false;
};

}  // namespace im::auth
