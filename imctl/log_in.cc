#include "imctl/log_in.h"

#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "imctl/commands.h"
#include "imctl/output.h"

namespace im::imctl {

using auth::v1::AccountService;

void LogInOptions::AddTo(CLI::App* command, const std::string& about_name) {
  command->add_option("NAME", name, about_name)->required();
  command->add_option("--device-name", device, "How the device is listed (host name)");
  password.AddTo(command);
}

absl::Status CheckFree(Context& context, const std::string& user_name) {
  IM_ASSIGN_OR_RETURN(const Profile* profile, context.OpenProfile());
  IM_ASSIGN_OR_RETURN(const auto account, profile->ReadAccount());
  // What cannot be kept is not asked for.
  if (!account) return profile->Lock().status();
  IM_ASSIGN_OR_RETURN(const client::Options server, context.ServerOptions());
  const std::string name = absl::AsciiStrToLower(user_name);
  if (account->profile.user_name() == name && account->server == server.server) {
    const absl::Status alive =
        context.Call(&AccountService::Stub::GetProfile, auth::v1::GetProfileRequest()).status();
    if (absl::IsUnauthenticated(alive)) return absl::OkStatus();
    IM_RETURN_IF_ERROR(alive);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the profile '", context.options.profile, "' is logged in as ", account->profile.user_name(),
      " on ", account->server, ": imctl logout first, or log in beside it with ",
      context.options.profile == name ? "another --profile" : absl::StrCat("--profile ", name)));
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
  auto options = std::make_shared<LogInOptions>();
  CLI::App* command = AddCommand(app, "login", "Log in with user name and password",
                                 "imctl login ann\n"
                                 "imctl --profile work --server im.example.org:7401 login ann");
  options->AddTo(command, "Your user name");
  command->callback([=] {
    *run = [options](Context& context) {
      return LogIn(context, *options, "Password", false, &AccountService::Stub::LogIn,
                   auth::v1::LogInRequest(), "the log-in was done",
                   "log in again; imctl devices shows what is too many");
    };
  });
}

}  // namespace im::imctl
