// imctl profile, and whoami, which is the same without changing anything.
#include "absl/strings/str_cat.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/escape.h"
#include "imctl/output.h"

namespace im::imctl {

using auth::v1::AccountService;

namespace {

absl::Status Print(Context& context, const auth::v1::Profile& profile) {
  IM_ASSIGN_OR_RETURN(const client::Options server, context.ServerOptions());
  if (context.json()) {
    PrintLine(ToJson(profile, {{"server", server.server}}));
    return absl::OkStatus();
  }
  PrintLine(absl::StrCat("user name     ", profile.user_name()));
  PrintLine(absl::StrCat("display name  ", Escape(profile.display_name())));
  const std::string indent(14, ' ');
  PrintText(absl::StrCat("bio           ", EscapeLines(profile.bio(), indent)), indent);
  PrintLine(absl::StrCat("server        ", server.server));
  return absl::OkStatus();
}

absl::Status Show(Context& context) {
  IM_ASSIGN_OR_RETURN(const auto response, context.Call(&AccountService::Stub::GetProfile,
                                                        auth::v1::GetProfileRequest()));
  return Print(context, response.profile());
}

}  // namespace

void AddProfile(CLI::App& app, Run* run) {
  AddCommand(app, "whoami", "Who this profile is logged in as", "imctl whoami")->callback([=] {
    *run = Show;
  });

  CLI::App* command = AddCommand(app, "profile", "Show or change what others see of you",
                                 "imctl profile show\n"
                                 "imctl profile set --display-name 'Ann B.' --bio 'Likes tea'");
  command->require_subcommand(0, 1);
  command->callback([=] {
    if (command->get_subcommands().empty()) *run = Show;
  });
  AddCommand(*command, "show", "Show it", "imctl profile show")->callback([=] { *run = Show; });

  struct Options {
    std::optional<std::string> display_name;
    std::optional<std::string> bio;
  };
  auto options = std::make_shared<Options>();
  CLI::App* set = AddCommand(*command, "set", "Change it; what is not given stays",
                             "imctl profile set --display-name 'Ann B.'\n"
                             "imctl profile set --bio ''");
  set->add_option("--display-name", options->display_name, "Up to 64 characters");
  set->add_option("--bio", options->bio, "Up to 500 characters");
  set->require_option(1, 0);
  set->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      auth::v1::UpdateProfileRequest request;
      if (options->display_name) request.set_display_name(*options->display_name);
      if (options->bio) request.set_bio(*options->bio);
      IM_ASSIGN_OR_RETURN(const auto response,
                          context.Call(&AccountService::Stub::UpdateProfile, request));
      return Print(context, response.profile());
    };
  });
}

}  // namespace im::imctl
