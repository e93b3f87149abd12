#include <set>

#include "absl/strings/ascii.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"
#include "imctl/people.h"

namespace im::imctl {

void AddLookup(CLI::App& app, Run* run) {
  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      AddCommand(app, "lookup", "Look people up by user name", "imctl lookup bob carol");
  command->add_option("NAME", *names, "User names")->required();
  command->callback([=] {
    *run = [names](Context& context) -> absl::Status {
      auth::v1::LookUpProfilesRequest request;
      for (const std::string& name : *names) request.add_user_names(name);
      IM_ASSIGN_OR_RETURN(const auto response,
                          context.Call(&auth::v1::AccountService::Stub::LookUpProfiles, request));
      Table table({"USER", "DISPLAY NAME", "BIO"});
      std::set<std::string> found;
      for (const auto& profile : response.profiles()) {
        found.insert(profile.user_name());
        if (context.json()) PrintLine(ToJson(profile));
        table.Add({profile.user_name(), profile.display_name(), profile.bio()});
      }
      if (!context.json() && !found.empty()) table.Print("");
      std::vector<std::string> missing;
      for (const std::string& name : *names) {
        if (found.count(absl::AsciiStrToLower(name)) == 0) missing.push_back(name);
      }
      return missing.empty() ? absl::OkStatus() : NoSuchUsers(missing);
    };
  });
}

}  // namespace im::imctl
