#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "imctl/commands.h"
#include "imctl/output.h"

namespace im::imctl {
namespace {

// A case of the script for a command and those under it: its commands and options.
void AppendCases(const CLI::App& app, const CLI::App& top, const std::string& path,
                 std::string* cases) {
  std::string words;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    absl::StrAppend(&words, words.empty() ? "" : " ", command->get_name());
    AppendCases(*command, top, absl::StrCat(path, " ", command->get_name()), cases);
  }
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      absl::StrAppend(&words, words.empty() ? "" : " ", "--", name);
    }
  }
  // Those of imctl itself may stand behind the command, too.
  if (&app != &top) {
    for (const CLI::Option* option : top.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        if (name != "help" && name != "version") absl::StrAppend(&words, " --", name);
      }
    }
  }
  absl::StrAppend(cases, "    \"", path, "\") words=\"", words, "\" ;;\n");
}

}  // namespace

void AddCompletion(CLI::App& app, Run* run) {
  CLI::App* command = AddCommand(app, "completion", "Print a script that completes command lines",
                                 "source <(imctl completion bash)");
  command->add_option("SHELL", "bash")->required()->check(CLI::IsMember({"bash"}));
  const CLI::App* top = &app;
  command->callback([=] {
    *run = [top](Context&) -> absl::Status {
      std::string cases;
      AppendCases(*top, *top, "imctl", &cases);
      PrintLine(absl::StrCat(
          R"(_imctl() {
  local word path=imctl words option= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [ -n "$option" ]; then option=; continue; fi
    case $word in
      --profile | --server | --ca) option=$word ;;
      -*) ;;
      *)
        case "$path $word" in
          )",
          [&] {
            std::string paths;
            std::function<void(const CLI::App&, const std::string&)> walk =
                [&](const CLI::App& at, const std::string& path) {
                  for (const CLI::App* one :
                       at.get_subcommands([](const CLI::App*) { return true; })) {
                    const std::string name = absl::StrCat(path, " ", one->get_name());
                    absl::StrAppend(&paths, paths.empty() ? "" : " | ", "\"", name, "\"");
                    walk(*one, name);
                  }
                };
            walk(*top, "imctl");
            return paths;
          }(),
          R"() path="$path $word" ;;
        esac ;;
    esac
  done
  case $option$path in
    --profile*) words=$(cd "${IMCTL_HOME:-${XDG_CONFIG_HOME:-$HOME/.config}/imctl}" 2> /dev/null && ls) ;;
    --*) words= ;;
)",
          cases, R"(  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _imctl imctl)"));
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
