#include "imctl/commands.h"

#include "absl/strings/str_replace.h"

namespace im::imctl {

CLI::App* AddCommand(CLI::App& app, const std::string& name, const std::string& purpose,
                     const std::string& examples) {
  CLI::App* command = app.add_subcommand(name, purpose);
  command->footer("\nExample:\n  " + absl::StrReplaceAll(examples, {{"\n", "\n  "}}));
  // --json and the like may stand behind the command, too.
  command->fallthrough();
  return command;
}

}  // namespace im::imctl
