#include "imctl/log_in.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"
#include "imctl/password.h"

namespace im::imctl {

using auth::v1::AccountService;

absl::Status CheckFree(Context& context, const std::string& user_name) {
  IM_ASSIGN_OR_RETURN(const Profile* profile, context.OpenProfile());
  IM_ASSIGN_OR_RETURN(const auto account, profile->ReadAccount());
  // What cannot be kept is not asked for.
  if (!account) return profile->Lock().status();
  return absl::InvalidArgumentError(absl::StrCat(
      "the profile '", context.options.profile, "' is logged in as ", account->profile.user_name(),
      ": imctl logout first, or log in beside it with --profile ", user_name));
}

auth::v1::DeviceDescription DescribeDevice(const std::string& name) {
  auth::v1::DeviceDescription description;
  char host[64] = "";
  gethostname(host, sizeof host - 1);
  description.set_name(name.empty() ? host : name);
  description.set_platform("imctl " IM_VERSION " (linux)");
  return description;
}

absl::Status KeepAccount(Context& context, const auth::v1::Profile& profile,
                         const auth::v1::Tokens& tokens) {
  IM_ASSIGN_OR_RETURN(const Profile* kept, context.OpenProfile());
  IM_ASSIGN_OR_RETURN(const client::Options server, context.ServerOptions());
  Account account{server.server, server.tls, server.ca_file, profile, tokens};
  IM_ASSIGN_OR_RETURN(const Profile::Held lock, kept->Lock());
  IM_RETURN_IF_ERROR(kept->WriteAccount(account));
  if (context.json()) {
    PrintLine(ToJson(profile, {{"device_id", absl::StrCat(tokens.device_id())}}));
  } else {
    PrintLine(absl::StrCat("Logged in as ", profile.user_name(), " on ", server.server, "."));
  }
  return absl::OkStatus();
}

void AddLogIn(CLI::App& app, Run* run) {
  struct Options {
    std::string name;
    std::string device;
    PasswordOptions password;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(app, "login", "Log in with user name and password",
                                 "imctl login ann\n"
                                 "imctl --profile work --server im.example.org:7401 login ann");
  command->add_option("NAME", options->name, "Your user name")->required();
  command->add_option("--device-name", options->device, "How the device is listed (host name)");
  options->password.AddTo(command);
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      IM_RETURN_IF_ERROR(CheckFree(context, options->name));
      IM_ASSIGN_OR_RETURN(const auto channel, context.OpenChannel());
      IM_ASSIGN_OR_RETURN(const std::string password,
                          ReadPassword(options->password, "Password", false));
      auth::v1::LogInRequest request;
      request.set_user_name(options->name);
      request.set_password(password);
      *request.mutable_device() = DescribeDevice(options->device);
      IM_ASSIGN_OR_RETURN(const auto response,
                          channel->Call(&AccountService::Stub::LogIn, request));
      return KeepAccount(context, response.profile(), response.tokens());
    };
  });
}

}  // namespace im::imctl
