#include "im/auth/v1/accounts.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"
#include "imctl/password.h"

namespace im::imctl {

void AddPassword(CLI::App& app, Run* run) {
  auto from_stdin = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(app, "passwd", "Change the password; other devices are logged out",
                 "imctl passwd\n"
                 "printf '%s\\n' \"$OLD\" \"$NEW\" | imctl passwd --password-stdin");
  command->add_flag("--password-stdin", *from_stdin,
                    "Read the old and the new password from standard input, a line each");
  command->callback([=] {
    *run = [from_stdin](Context& context) -> absl::Status {
      IM_RETURN_IF_ERROR(context.GetAccount().status());
      auth::v1::ChangePasswordRequest request;
      PasswordOptions source;
      source.from_stdin = *from_stdin;
      IM_ASSIGN_OR_RETURN(*request.mutable_current_password(),
                          ReadPassword(source, "Current password", false));
      IM_ASSIGN_OR_RETURN(*request.mutable_new_password(),
                          ReadPassword(source, "New password", true));
      IM_RETURN_IF_ERROR(context
                             .CallOnce(&auth::v1::AccountService::Stub::ChangePassword, request,
                                       "the password was changed",
                                       "try to log in with the new password first")
                             .status());
      PrintLine(context.json() ? "{\"changed\":true}"
                               : "Changed. All other devices have been logged out.");
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
