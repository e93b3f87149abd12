#include "im/auth/v1/accounts.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/log_in.h"
#include "imctl/password.h"

namespace im::imctl {

void AddRegister(CLI::App& app, Run* run) {
  struct Options {
    std::string name;
    std::string display_name;
    std::string device;
    PasswordOptions password;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(app, "register", "Make an account and log in",
                                 "imctl register ann\n"
                                 "imctl --profile bob register bob --password-file bob.secret");
  command->add_option("NAME", options->name, "A user name: 3 to 32 of a-z 0-9 _ . -")->required();
  command->add_option("--display-name", options->display_name, "How others see you");
  command->add_option("--device-name", options->device, "How the device is listed (host name)");
  options->password.AddTo(command);
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      IM_RETURN_IF_ERROR(CheckFree(context, options->name));
      IM_ASSIGN_OR_RETURN(const auto channel, context.OpenChannel());
      IM_ASSIGN_OR_RETURN(const std::string password,
                          ReadPassword(options->password, "New password", true));
      auth::v1::RegisterRequest request;
      request.set_user_name(options->name);
      request.set_password(password);
      request.set_display_name(options->display_name);
      *request.mutable_device() = DescribeDevice(options->device);
      IM_ASSIGN_OR_RETURN(const auto response,
                          channel->Call(&auth::v1::AccountService::Stub::Register, request));
      return KeepAccount(context, response.profile(), response.tokens());
    };
  });
}

}  // namespace im::imctl
