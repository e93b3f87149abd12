#include "absl/strings/str_cat.h"
#include "common/base/random.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/describe.h"
#include "imctl/output.h"
#include "imctl/people.h"

namespace im::imctl {

using chat::v1::Contact;
using chat::v1::ContactService;

namespace {

void PrintContacts(Context& context, const std::vector<Contact>& contacts,
                   const std::string& if_empty) {
  People people(&context);
  std::vector<int64_t> ids;
  for (const Contact& contact : contacts) ids.push_back(contact.user_id());
  people.Load(ids);
  Table table({"USER", "STATE", "SINCE", "", "GREETING"});
  for (const Contact& contact : contacts) {
    const std::string name = people.Name(contact.user_id());
    if (context.json()) PrintLine(ToJson(contact, {{"user_name", name}}));
    table.Add({name, Describe(contact.state()), FormatTime(contact.since()),
               contact.blocked() ? "blocked" : "", contact.greeting()});
  }
  if (!context.json()) table.Print(if_empty);
}

absl::Status List(Context& context) {
  IM_ASSIGN_OR_RETURN(const auto contacts, context.List(&ContactService::Stub::ListContacts,
                                                        chat::v1::ListContactsRequest(),
                                                        &chat::v1::ListContactsResponse::contacts));
  PrintContacts(context, contacts, "No contacts yet: imctl contacts request NAME");
  return absl::OkStatus();
}

// A command that does one thing to one person.
template <typename Request, typename Response>
void AddDeed(CLI::App& parent, Run* run, const std::string& name, const std::string& purpose,
             const std::string& done,
             grpc::Status (ContactService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                          Response*)) {
  auto who = std::make_shared<std::string>();
  CLI::App* command = AddCommand(parent, name, purpose, "imctl contacts " + name + " bob");
  command->add_option("NAME", *who, "Their user name")->required();
  command->callback([=] {
    *run = [=](Context& context) -> absl::Status {
      People people(&context);
      Request request;
      IM_ASSIGN_OR_RETURN(const int64_t id, people.Id(*who));
      request.set_user_id(id);
      request.set_request_id(RandomBytes(16));
      IM_ASSIGN_OR_RETURN(const Response response, context.Call(method, request));
      PrintLine(context.json() ? ToJson(response, {{"user_name", people.Name(id)}})
                               : absl::StrCat(people.Name(id), ": ", done));
      return absl::OkStatus();
    };
  });
}

void AddRequest(CLI::App& parent, Run* run) {
  struct Options {
    std::string who;
    std::string greeting;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(parent, "request", "Ask somebody to become a contact",
                                 "imctl contacts request bob --greeting 'Ann from work'");
  command->add_option("NAME", options->who, "Their user name")->required();
  command->add_option("--greeting", options->greeting, "A word to go with it");
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      People people(&context);
      chat::v1::RequestContactRequest request;
      IM_ASSIGN_OR_RETURN(const int64_t id, people.Id(options->who));
      request.set_user_id(id);
      request.set_request_id(RandomBytes(16));
      request.set_greeting(options->greeting);
      IM_ASSIGN_OR_RETURN(const auto response,
                          context.Call(&ContactService::Stub::RequestContact, request));
      PrintLine(context.json()
                    ? ToJson(response.contact(), {{"user_name", people.Name(id)}})
                    : absl::StrCat(people.Name(id), ": ", Describe(response.contact().state())));
      return absl::OkStatus();
    };
  });
}

void AddSearch(CLI::App& parent, Run* run) {
  auto query = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, "search", "Contacts whose name holds a text", "imctl contacts search bo");
  command->add_option("TEXT", *query, "Part of a user name or display name")->required();
  command->callback([=] {
    *run = [query](Context& context) -> absl::Status {
      chat::v1::SearchContactsRequest request;
      request.set_query(*query);
      IM_ASSIGN_OR_RETURN(const auto contacts,
                          context.List(&ContactService::Stub::SearchContacts, request,
                                       &chat::v1::SearchContactsResponse::contacts));
      PrintContacts(context, contacts, "No contact's name holds that.");
      return absl::OkStatus();
    };
  });
}

}  // namespace

void AddContacts(CLI::App& app, Run* run) {
  CLI::App* command = AddCommand(app, "contacts", "Contacts, requests and blocks",
                                 "imctl contacts\n"
                                 "imctl contacts request bob --greeting 'Ann from work'\n"
                                 "imctl contacts accept ann");
  command->require_subcommand(0, 1);
  command->callback([=] {
    if (command->get_subcommands().empty()) *run = List;
  });
  AddCommand(*command, "list", "Contacts and open requests", "imctl contacts list")->callback([=] {
    *run = List;
  });
  AddRequest(*command, run);
  using Stub = ContactService::Stub;
  AddDeed(*command, run, "accept", "Accept a request", "contact now", &Stub::AcceptContact);
  AddDeed(*command, run, "decline", "Decline a request", "declined", &Stub::DeclineContact);
  AddDeed(*command, run, "withdraw", "Take your own request back", "withdrawn",
          &Stub::WithdrawContact);
  AddDeed(*command, run, "remove", "Stop being contacts", "no contact any more",
          &Stub::RemoveContact);
  AddSearch(*command, run);
  AddDeed(*command, run, "block", "Let nothing of theirs reach you", "blocked", &Stub::BlockUser);
  AddDeed(*command, run, "unblock", "End a block", "not blocked any more", &Stub::UnblockUser);
  AddCommand(*command, "blocked", "Whom you have blocked", "imctl contacts blocked")->callback([=] {
    *run = [](Context& context) -> absl::Status {
      IM_ASSIGN_OR_RETURN(
          const auto contacts,
          context.List(&ContactService::Stub::ListBlocked, chat::v1::ListBlockedRequest(),
                       &chat::v1::ListBlockedResponse::contacts));
      PrintContacts(context, contacts, "Nobody is blocked.");
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
