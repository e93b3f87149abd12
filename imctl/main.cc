// imctl: IM's client for people and scripts.
#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <langinfo.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "common/base/text.h"
#include "common/base/usage.h"
#include "imctl/commands.h"
#include "imctl/output.h"

namespace im::imctl {
namespace {

// CLI11 takes "[a,b]" for a list. A NUL, which no argument can hold, ends what looks like one,
// until the option has it.
std::vector<std::string> GuardLists(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  for (std::string& word : words) {
    if (!word.empty() && word.front() == '[' && word.back() == ']') word += '\0';
  }
  // The last first, as CLI11 wants them.
  std::reverse(words.begin(), words.end());
  return words;
}

std::string Unguard(std::string value) {
  if (!value.empty() && value.back() == '\0') value.pop_back();
  return value;
}

void FinishOptions(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_items_expected_max() > 0) option->transform(Unguard);
    // proto3's strings are UTF-8: the server would have to refuse the whole request unread.
    if (option->get_items_expected_max() > 0 && option->get_type_name() != "FILE") {
      option->check([](const std::string& value) { return IsText(value) ? "" : "is not UTF-8"; });
    }
    // Positionals are told apart by name; their type says nothing.
    if (option->get_positional()) option->type_name("");
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    FinishOptions(*command);
  }
}

// What libraries say on standard error is for developers, who have GRPC_VERBOSITY.
void SilenceLibraries() {
  google::protobuf::SetLogHandler(nullptr);
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
}

// A closed standard stream must fail as such: its number would go to the next connection or file.
void ReserveStandardStreams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest free number is this one.
    (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

constexpr char kFooter[] = R"(
WHO is a user name (bob, user:bob), a group's title (Operators, group:Operators) or an id
(group:12; conversation:12 for any kind). See imctl chats.

The account is kept in a profile: $IMCTL_HOME/PROFILE, else $XDG_CONFIG_HOME/imctl/PROFILE, else
~/.config/imctl/PROFILE. A profile is one device: two listen or chat at once need two profiles.

Exit codes:
  0  done
  1  refused by the server; the reason is in brackets
  2  wrong usage, or given up at a prompt
  3  not logged in, or the log-in failed or ended
  4  the server cannot be reached or cannot work
  5  too much at once: try again after the time it says
  6  something on this machine failed, such as a file

Example:
  imctl register ann
  imctl chat bob)";

int Main(int argc, char** argv) {
  ReserveStandardStreams();
  std::setlocale(LC_ALL, "");
  // All text is UTF-8, whatever the environment says; else no wide character would be known as one.
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
  InitLog({.level = LogLevel::kError});
  SilenceLibraries();

  Context context;
  Run run;
  CLI::App app("Chat from the command line.", "imctl");
  app.set_version_flag("--version", "imctl " IM_VERSION);
  app.add_option("--profile", context.options.profile, "Whose tokens to use (default)")
      ->envname("IMCTL_PROFILE")
      ->type_name("NAME");
  app.add_option("--server", context.options.server,
                 "The gateway (127.0.0.1:7400, or where the profile is logged in; IMCTL_SERVER)")
      ->type_name("HOST:PORT");
  app.add_option("--ca", context.options.ca_file,
                 "Authorities that the server's certificate is checked against (IMCTL_CA)")
      ->type_name("FILE");
  app.add_flag("--tls", context.options.tls, "Speak TLS also to this machine; elsewhere always");
  app.add_flag("--json", context.options.json, "Print JSON, an object a line");
  app.footer(kFooter);
  app.require_subcommand(1);
  AddRegister(app, &run);
  AddLogIn(app, &run);
  AddLogOut(app, &run);
  AddPassword(app, &run);
  AddProfile(app, &run);
  AddLookup(app, &run);
  AddDevices(app, &run);
  AddContacts(app, &run);
  AddSettings(app, &run);
  AddChats(app, &run);
  AddChat(app, &run);
  AddSend(app, &run);
  AddHistory(app, &run);
  AddRead(app, &run);
  AddGroup(app, &run);
  AddPresence(app, &run);
  AddListen(app, &run);
  AddHealth(app, &run);
  AddCompletion(app, &run);
  FinishOptions(app);
  try {
    app.parse(GuardLists(argc, argv));
  } catch (const CLI::ParseError& error) {
    const int code = ReportUsage(app, error);
    return std::cout.flush() ? code : kExitLocal;
  }
  const absl::Status status = context.Advise(run(context));
  return Report(status.ok() ? OutputStatus() : status, context.json());
}

}  // namespace
}  // namespace im::imctl

int main(int argc, char** argv) { return im::imctl::Main(argc, argv); }
