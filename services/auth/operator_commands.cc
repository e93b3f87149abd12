#include "services/auth/operator_commands.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/error.h"
#include "common/pg/pool.h"
#include "services/auth/password_policy.h"
#include "services/auth/pg_operator.h"
#include "services/auth/user_name.h"

namespace im::auth {
namespace {

constexpr int kListPage = 1000;

std::string TimeText(const std::optional<Time>& time) {
  if (!time) return "-";
  const std::time_t seconds = std::chrono::system_clock::to_time_t(*time);
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

// A line from the terminal, unseen.
absl::StatusOr<std::string> Prompt(const std::string& text) {
  termios before = {};
  if (tcgetattr(STDIN_FILENO, &before) != 0) return absl::UnavailableError("no terminal");
  std::cerr << text << ": " << std::flush;
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  std::string line;
  const bool got = static_cast<bool>(std::getline(std::cin, line));
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  std::cerr << "\n";
  if (!got) return absl::CancelledError("no password was given");
  return line;
}

absl::StatusOr<std::string> AskPassword(bool from_stdin) {
  std::string password;
  if (from_stdin) {
    if (!std::getline(std::cin, password)) {
      return absl::InvalidArgumentError("--password-stdin: standard input is empty");
    }
    return password;
  }
  if (isatty(STDIN_FILENO) == 0) {
    return absl::InvalidArgumentError(
        "no terminal to ask for the password; give it with --password-stdin");
  }
  IM_ASSIGN_OR_RETURN(password, Prompt("New password"));
  IM_ASSIGN_OR_RETURN(const std::string again, Prompt("Again"));
  if (again != password) return absl::InvalidArgumentError("the two differ");
  return password;
}

absl::StatusOr<std::string> AskAndHash(const std::string& user_name, bool from_stdin,
                                       const HashingOptions& options) {
  IM_ASSIGN_OR_RETURN(const std::string password, AskPassword(from_stdin));
  IM_RETURN_IF_ERROR(CheckPassword("password", password, user_name));
  IM_ASSIGN_OR_RETURN(const auto hasher, PasswordHasher::Create(options));
  return hasher->Hash(password);
}

void PrintJson(const AccountRow& account) {
  google::protobuf::Struct object;
  auto& fields = *object.mutable_fields();
  fields["user_id"].set_number_value(static_cast<double>(account.profile.user_id));
  fields["user_name"].set_string_value(account.profile.user_name);
  fields["display_name"].set_string_value(account.profile.display_name);
  fields["created_at"].set_string_value(TimeText(account.created_at));
  fields["locked"].set_bool_value(account.locked_at.has_value());
  fields["devices"].set_number_value(static_cast<double>(account.devices));
  if (account.last_used_at) {
    fields["last_used_at"].set_string_value(TimeText(account.last_used_at));
  } else {
    fields["last_used_at"].set_null_value(google::protobuf::NULL_VALUE);
  }
  std::string line;
  // A Struct of plain values always has a JSON form.
  (void)google::protobuf::util::MessageToJsonString(object, &line);
  std::cout << line << "\n";
}

void PrintRow(const AccountRow& account) {
  std::cout << absl::StreamFormat("%8d  %-32s  %-6s  %7d  %-20s  %s\n", account.profile.user_id,
                                  account.profile.user_name, account.locked_at ? "locked" : "open",
                                  account.devices, TimeText(account.created_at),
                                  TimeText(account.last_used_at));
}

absl::Status List(PgOperator* accounts, bool json) {
  if (!json) {
    std::cout << absl::StreamFormat("%8s  %-32s  %-6s  %7s  %-20s  %s\n", "ID", "NAME", "STATE",
                                    "DEVICES", "CREATED", "LAST USED");
  }
  int64_t after = 0;
  while (true) {
    IM_ASSIGN_OR_RETURN(const std::vector<AccountRow> page,
                        accounts->List(after, kListPage, std::chrono::system_clock::now()));
    for (const AccountRow& account : page) json ? PrintJson(account) : PrintRow(account);
    if (page.size() < kListPage) return absl::OkStatus();
    after = page.back().profile.user_id;
  }
}

absl::Status NoSuchUser(const std::string& name) {
  return Error(Reason::USER_NOT_FOUND, absl::StrCat("there is no user ", name));
}

}  // namespace

OperatorCommands::OperatorCommands(CLI::App* app) {
  user_ = app->add_subcommand("user", "Look after accounts: on this machine, for the operator.");
  user_->require_subcommand(1)->fallthrough();
  const auto command = [this](const char* name, const char* description) {
    CLI::App* added = user_->add_subcommand(name, description)->fallthrough();
    added->add_option("NAME", name_, "The user name.")->required();
    return added;
  };
  const auto with_password = [this](CLI::App* to) {
    to->add_flag("--password-stdin", password_stdin_,
                 "Read the password from the first line of standard input; else it is asked for.");
  };
  add_ = command("add", "Make an account, also where registration is closed.");
  with_password(add_);
  list_ = user_->add_subcommand("list", "List the accounts.")->fallthrough();
  list_->add_flag("--json", json_, "One JSON object a line.");
  lock_ = command("lock", "Keep an account from logging in, and end its devices.");
  unlock_ = command("unlock", "Let an account log in again, also after wrong passwords.");
  reset_password_ = command("reset-password", "Set a new password, and end the account's devices.");
  with_password(reset_password_);
}

bool OperatorCommands::Given() const { return user_->parsed(); }

int OperatorCommands::Run(const std::string& database_url, const HashingOptions& hashing) const {
  pg::Pool pool({.url = database_url, .connections = 1});
  PgOperator accounts(&pool);
  const Time now = std::chrono::system_clock::now();
  const auto run = [&]() -> absl::Status {
    if (list_->parsed()) return List(&accounts, json_);
    const std::optional<std::string> name = ParseUserName(name_);
    if (!name) return Error(Reason::USER_NAME_INVALID);
    if (add_->parsed()) {
      IM_ASSIGN_OR_RETURN(const std::string hash, AskAndHash(*name, password_stdin_, hashing));
      IM_ASSIGN_OR_RETURN(const std::optional<int64_t> id, accounts.Add(*name, hash, now));
      if (!id) return Error(Reason::USER_NAME_TAKEN);
      std::cout << "Added " << *name << ", user id " << *id << ".\n";
    } else if (lock_->parsed()) {
      IM_ASSIGN_OR_RETURN(const std::optional<int> ended, accounts.Lock(*name, now));
      if (!ended) return NoSuchUser(*name);
      std::cout << "Locked " << *name << "; devices ended: " << *ended << ".\n";
    } else if (unlock_->parsed()) {
      IM_ASSIGN_OR_RETURN(const bool found, accounts.Unlock(*name));
      if (!found) return NoSuchUser(*name);
      std::cout << "Unlocked " << *name << ".\n";
    } else {
      IM_ASSIGN_OR_RETURN(const std::string hash, AskAndHash(*name, password_stdin_, hashing));
      IM_ASSIGN_OR_RETURN(const std::optional<int> ended, accounts.ResetPassword(*name, hash));
      if (!ended) return NoSuchUser(*name);
      std::cout << "Set a new password for " << *name << "; devices ended: " << *ended << ".\n";
    }
    return absl::OkStatus();
  };
  const absl::Status status = run();
  if (status.ok()) return 0;
  std::cerr << "im-auth: " << status.message() << "\n";
  return 1;
}

}  // namespace im::auth
