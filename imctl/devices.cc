#include "absl/strings/str_cat.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"

namespace im::imctl {

using auth::v1::DeviceService;

namespace {

absl::Status List(Context& context) {
  IM_ASSIGN_OR_RETURN(const auto devices, context.List(&DeviceService::Stub::ListDevices,
                                                       auth::v1::ListDevicesRequest(),
                                                       &auth::v1::ListDevicesResponse::devices));
  Table table({"ID", "NAME", "PLATFORM", "LOGGED IN", "LAST USED", ""});
  for (const auto& device : devices) {
    if (context.json()) PrintLine(ToJson(device));
    table.Add({absl::StrCat(device.device_id()), device.description().name(),
               device.description().platform(), FormatTime(device.logged_in_at()),
               FormatTime(device.last_used_at()), device.current() ? "this one" : ""});
  }
  if (!context.json()) table.Print("No devices.");
  return absl::OkStatus();
}

}  // namespace

void AddDevices(CLI::App& app, Run* run) {
  CLI::App* command = AddCommand(app, "devices", "Where you are logged in",
                                 "imctl devices\n"
                                 "imctl devices revoke 17");
  command->require_subcommand(0, 1);
  command->callback([=] {
    if (command->get_subcommands().empty()) *run = List;
  });
  AddCommand(*command, "list", "List your devices", "imctl devices list")->callback([=] {
    *run = List;
  });

  struct Options {
    int64_t id = 0;
    bool others = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* revoke = AddCommand(*command, "revoke", "Log a device out",
                                "imctl devices revoke 17\n"
                                "imctl devices revoke --others");
  auto* id = revoke->add_option("ID", options->id, "Which, from imctl devices");
  revoke->add_flag("--others", options->others, "All but this one")->excludes(id);
  revoke->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      auth::v1::RevokeDevicesRequest request;
      if (options->others) {
        request.set_all_others(true);
      } else if (options->id != 0) {
        request.set_device_id(options->id);
      } else {
        return absl::InvalidArgumentError("say which device: its ID, or --others");
      }
      IM_ASSIGN_OR_RETURN(const auto response,
                          context.Call(&DeviceService::Stub::RevokeDevices, request));
      PrintLine(context.json() ? ToJson(response)
                               : absl::StrCat(response.revoked(), " logged out."));
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
