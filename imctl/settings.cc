#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"

namespace im::imctl {

using chat::v1::ContactService;

namespace {

void Print(Context& context, const chat::v1::Settings& settings) {
  if (context.json()) return PrintLine(ToJson(settings));
  PrintLine(absl::StrCat("reachable by  ", settings.reachability() == chat::v1::REACHABILITY_ANYONE
                                               ? "anyone"
                                               : "contacts"));
}

absl::Status Show(Context& context) {
  IM_ASSIGN_OR_RETURN(const auto response, context.Call(&ContactService::Stub::GetSettings,
                                                        chat::v1::GetSettingsRequest()));
  Print(context, response.settings());
  return absl::OkStatus();
}

}  // namespace

void AddSettings(CLI::App& app, Run* run) {
  CLI::App* command = AddCommand(app, "settings", "Who may write to you",
                                 "imctl settings\n"
                                 "imctl settings set --reachable-by anyone");
  command->require_subcommand(0, 1);
  command->callback([=] {
    if (command->get_subcommands().empty()) *run = Show;
  });
  AddCommand(*command, "show", "Show them", "imctl settings show")->callback([=] { *run = Show; });
  auto reachable = std::make_shared<std::string>();
  CLI::App* set =
      AddCommand(*command, "set", "Change them", "imctl settings set --reachable-by anyone");
  set->add_option("--reachable-by", *reachable, "contacts or anyone")
      ->required()
      ->check(CLI::IsMember({"contacts", "anyone"}));
  set->callback([=] {
    *run = [reachable](Context& context) -> absl::Status {
      chat::v1::UpdateSettingsRequest request;
      request.set_request_id(RandomBytes(16));
      request.set_reachability(*reachable == "anyone" ? chat::v1::REACHABILITY_ANYONE
                                                      : chat::v1::REACHABILITY_CONTACTS);
      IM_ASSIGN_OR_RETURN(const auto response,
                          context.Call(&ContactService::Stub::UpdateSettings, request));
      Print(context, response.settings());
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
