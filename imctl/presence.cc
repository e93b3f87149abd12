#include "absl/strings/str_cat.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "im/presence/v1/presence.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/describe.h"
#include "imctl/output.h"
#include "imctl/people.h"
#include "imctl/statuses.h"

namespace im::imctl {

using presence::v1::PresenceService;

namespace {

// Of GetPresence.
constexpr size_t kMostAtOnce = 500;

absl::StatusOr<std::vector<int64_t>> Contacts(Context& context) {
  chat::v1::ListContactsRequest request;
  request.set_page_size(1000);
  request.add_states(chat::v1::CONTACT_STATE_CONTACT);
  IM_ASSIGN_OR_RETURN(const auto contacts,
                      context.List(&chat::v1::ContactService::Stub::ListContacts, request,
                                   &chat::v1::ListContactsResponse::contacts));
  std::vector<int64_t> ids;
  for (const auto& contact : contacts) ids.push_back(contact.user_id());
  return ids;
}

absl::Status Show(Context& context, const std::vector<std::string>& names) {
  People people(&context);
  std::vector<int64_t> ids;
  if (names.empty()) {
    IM_ASSIGN_OR_RETURN(ids, Contacts(context));
    people.Load(ids);
  } else {
    IM_ASSIGN_OR_RETURN(ids, people.Ids(names));
  }
  Table table({"USER", "STATUS"});
  for (size_t from = 0; from < ids.size(); from += kMostAtOnce) {
    presence::v1::GetPresenceRequest request;
    for (size_t i = from; i < std::min(from + kMostAtOnce, ids.size()); ++i) {
      request.add_user_ids(ids[i]);
    }
    IM_ASSIGN_OR_RETURN(const auto response,
                        context.Call(&PresenceService::Stub::GetPresence, request));
    for (const auto& presence : response.presences()) {
      const std::string name = people.Name(presence.user_id());
      if (context.json()) PrintLine(ToJson(presence, {{"user_name", name}}));
      table.Add({name, Describe(presence)});
    }
  }
  if (!context.json()) table.Print("No contacts yet.");
  return absl::OkStatus();
}

}  // namespace

void AddPresence(CLI::App& app, Run* run) {
  CLI::App* command = AddCommand(app, "presence", "Who is online",
                                 "imctl presence\n"
                                 "imctl presence get bob carol\n"
                                 "imctl presence set away");
  command->require_subcommand(0, 1);
  command->callback([=] {
    if (command->get_subcommands().empty()) {
      *run = [](Context& context) { return Show(context, {}); };
    }
  });
  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* get = AddCommand(*command, "get", "Of people, or of all contacts",
                             "imctl presence get\n"
                             "imctl presence get bob carol");
  get->add_option("NAME", *names, "User names; none: all contacts");
  get->callback([=] { *run = [names](Context& context) { return Show(context, *names); }; });

  auto status = std::make_shared<std::string>();
  CLI::App* set =
      AddCommand(*command, "set", "Your status, while this device is connected (listen, chat)",
                 "imctl presence set away");
  set->add_option("STATUS", *status, "online, away, busy or invisible")
      ->required()
      ->check(IsStatus());
  set->callback([=] {
    *run = [status](Context& context) -> absl::Status {
      presence::v1::SetStatusRequest request;
      request.set_status(StatusOf(*status));
      const auto response = context.Call(&PresenceService::Stub::SetStatus, request);
      if (ReasonOf(response.status()) == Reason::NOT_CONNECTED) {
        return Error(Reason::NOT_CONNECTED,
                     "a status lasts as long as this profile is connected: run imctl listen or "
                     "imctl chat, or give them --status");
      }
      IM_RETURN_IF_ERROR(response.status());
      PrintLine(context.json() ? absl::StrCat("{\"status\":", JsonString(*status), "}")
                               : absl::StrCat("You are ", *status, "."));
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
