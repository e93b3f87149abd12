#include "absl/strings/str_cat.h"
#include "imctl/commands.h"
#include "imctl/log_in.h"

namespace im::imctl {

void AddRegister(CLI::App& app, Run* run) {
  auto options = std::make_shared<LogInOptions>();
  auto display_name = std::make_shared<std::string>();
  CLI::App* command = AddCommand(app, "register", "Make an account and log in",
                                 "imctl register ann\n"
                                 "imctl --profile bob register bob --password-file bob.secret");
  options->AddTo(command, "A user name: 3 to 32 of a-z 0-9 _ . -");
  command->add_option("--display-name", *display_name, "How others see you");
  command->callback([=] {
    *run = [=](Context& context) {
      auth::v1::RegisterRequest request;
      request.set_display_name(*display_name);
      return LogIn(context, *options, "New password", true,
                   &auth::v1::AccountService::Stub::Register, request, "the account was made",
                   absl::StrCat("try imctl login ", options->name, " first"));
    };
  });
}

}  // namespace im::imctl
