#include "im/auth/v1/accounts.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"

namespace im::imctl {

void AddLogOut(CLI::App& app, Run* run) {
  auto forget = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(app, "logout", "End this device and remove its tokens",
                                 "imctl logout\n"
                                 "imctl logout --forget    # also when the server is gone");
  command->add_flag("--forget", *forget, "Remove the tokens even if the server cannot be told");
  command->callback([=] {
    *run = [forget](Context& context) -> absl::Status {
      IM_ASSIGN_OR_RETURN(const Profile* profile, context.OpenProfile());
      if (!*forget) IM_RETURN_IF_ERROR(context.GetAccount().status());
      const auto response =
          context.Call(&auth::v1::AccountService::Stub::LogOut, auth::v1::LogOutRequest());
      // A device that ended already is logged out as well.
      if (!response.ok() && !absl::IsUnauthenticated(response.status()) && !*forget) {
        return WithAdvice(response.status(),
                          "imctl logout --forget removes the tokens all the same");
      }
      IM_RETURN_IF_ERROR(profile->Remove());
      PrintLine(context.json() ? "{\"logged_out\":true}" : "Logged out.");
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
