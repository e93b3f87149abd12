#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/random.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/describe.h"
#include "imctl/output.h"
#include "imctl/people.h"

namespace im::imctl {

using chat::v1::ConversationService;

namespace {

struct Options {
  std::string group;
  std::string title;
  std::vector<std::string> names;
  bool open_history = false;
};

// Some refusals name people by id; people are shown by name.
absl::Status NameThem(People& people, const absl::Status& status) {
  const ErrorDetails details = DetailsOf(status);
  const auto ids = details.metadata.find("user_ids");
  const auto reason = ReasonOf(status);
  if (ids == details.metadata.end() || !reason) return status;
  std::vector<int64_t> refused;
  for (absl::string_view text : absl::StrSplit(ids->second, ',', absl::SkipWhitespace())) {
    int64_t id = 0;
    if (absl::SimpleAtoi(text, &id)) refused.push_back(id);
  }
  return Error(*reason, absl::StrCat("cannot be added: ", people.Names(refused)), details);
}

void PrintEntry(Context& context, People& people, const chat::v1::Entry& entry) {
  if (context.json()) return PrintLine(ToJson(people, entry));
  PrintText(entry.seq() == 0 ? "Nothing changed." : Describe(people, entry, "  "), "  ");
}

CLI::Option* AddGroupOption(CLI::App* command, const std::shared_ptr<Options>& options) {
  return command->add_option("GROUP", options->group, "A group's title, or group:ID")->required();
}

void AddCreate(CLI::App& parent, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(parent, "create", "Make a group",
                                 "imctl group create Operators bob carol\n"
                                 "imctl group create 'Book club' --open-history");
  command->add_option("TITLE", options->title, "1 to 128 characters")->required();
  command->add_option("NAME", options->names, "The others' user names");
  command->add_flag("--open-history", options->open_history,
                    "Who joins later sees what was before");
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      People people(&context);
      chat::v1::CreateGroupRequest request;
      request.set_request_id(RandomBytes(16));
      request.set_title(options->title);
      request.set_open_history(options->open_history);
      if (!options->names.empty()) {
        IM_ASSIGN_OR_RETURN(const auto ids, people.Ids(options->names));
        for (const int64_t id : ids) request.add_user_ids(id);
      }
      const auto response = context.Call(&ConversationService::Stub::CreateGroup, request);
      if (!response.ok()) return NameThem(people, response.status());
      const auto& group = response->conversation();
      PrintLine(context.json()
                    ? ToJson(group)
                    : absl::StrCat("Made group:", group.conversation_id(), " with ",
                                   group.member_count(),
                                   group.member_count() == 1 ? " member." : " members."));
      return absl::OkStatus();
    };
  });
}

void AddRename(CLI::App& parent, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(parent, "rename", "Give a group another title",
                                 "imctl group rename Operators 'Night shift'");
  AddGroupOption(command, options);
  command->add_option("TITLE", options->title, "1 to 128 characters")->required();
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      People people(&context);
      IM_ASSIGN_OR_RETURN(const auto group, FindGroup(context, options->group));
      chat::v1::RenameGroupRequest request;
      request.set_conversation_id(group.conversation_id());
      request.set_request_id(RandomBytes(16));
      request.set_title(options->title);
      IM_ASSIGN_OR_RETURN(const auto response,
                          context.Call(&ConversationService::Stub::RenameGroup, request));
      PrintEntry(context, people, response.entry());
      return absl::OkStatus();
    };
  });
}

void AddAdd(CLI::App& parent, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      AddCommand(parent, "add", "Add people to a group", "imctl group add Operators dave erin");
  AddGroupOption(command, options);
  command->add_option("NAME", options->names, "User names")->required();
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      People people(&context);
      IM_ASSIGN_OR_RETURN(const auto ids, people.Ids(options->names));
      IM_ASSIGN_OR_RETURN(const auto group, FindGroup(context, options->group));
      chat::v1::AddMembersRequest request;
      request.set_conversation_id(group.conversation_id());
      request.set_request_id(RandomBytes(16));
      for (const int64_t id : ids) request.add_user_ids(id);
      const auto response = context.Call(&ConversationService::Stub::AddMembers, request);
      if (!response.ok()) return NameThem(people, response.status());
      PrintEntry(context, people, response->entry());
      return absl::OkStatus();
    };
  });
}

void AddRemove(CLI::App& parent, Run* run) {
  auto options = std::make_shared<Options>();
  options->names.resize(1);
  CLI::App* command = AddCommand(parent, "remove", "Remove somebody else from a group",
                                 "imctl group remove Operators dave");
  AddGroupOption(command, options);
  command->add_option("NAME", options->names[0], "A user name")->required();
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      People people(&context);
      chat::v1::RemoveMemberRequest request;
      IM_ASSIGN_OR_RETURN(const int64_t id, people.Id(options->names[0]));
      IM_ASSIGN_OR_RETURN(const auto group, FindGroup(context, options->group));
      request.set_conversation_id(group.conversation_id());
      request.set_request_id(RandomBytes(16));
      request.set_user_id(id);
      IM_ASSIGN_OR_RETURN(const auto response,
                          context.Call(&ConversationService::Stub::RemoveMember, request));
      PrintEntry(context, people, response.entry());
      return absl::OkStatus();
    };
  });
}

// leave and return: no arguments but the group.
template <typename Request, typename Response>
void AddOwn(CLI::App& parent, Run* run, const std::string& name, const std::string& purpose,
            grpc::Status (ConversationService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*)) {
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(parent, name, purpose, "imctl group " + name + " Operators");
  AddGroupOption(command, options);
  command->callback([=] {
    *run = [=](Context& context) -> absl::Status {
      People people(&context);
      IM_ASSIGN_OR_RETURN(const auto group, FindGroup(context, options->group));
      Request request;
      request.set_conversation_id(group.conversation_id());
      request.set_request_id(RandomBytes(16));
      IM_ASSIGN_OR_RETURN(const Response response, context.Call(method, request));
      PrintEntry(context, people, response.entry());
      return absl::OkStatus();
    };
  });
}

std::string Describe(chat::v1::Role role) {
  return role == chat::v1::ROLE_FOUNDER ? "founder" : role == chat::v1::ROLE_ADMIN ? "admin" : "";
}

void AddMembers(CLI::App& parent, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      AddCommand(parent, "members", "Who is in a group", "imctl group members Operators");
  AddGroupOption(command, options);
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      People people(&context);
      IM_ASSIGN_OR_RETURN(const auto group, FindGroup(context, options->group));
      chat::v1::ListMembersRequest request;
      request.set_conversation_id(group.conversation_id());
      request.set_page_size(1000);
      IM_ASSIGN_OR_RETURN(const auto members,
                          context.List(&ConversationService::Stub::ListMembers, request,
                                       &chat::v1::ListMembersResponse::members));
      std::vector<int64_t> ids;
      for (const auto& member : members) ids.push_back(member.user_id());
      people.Load(ids);
      Table table({"USER", "ROLE", "SINCE NUMBER"});
      for (const auto& member : members) {
        const std::string name = people.Name(member.user_id());
        if (context.json()) PrintLine(ToJson(member, {{"user_name", name}}));
        table.Add({name, Describe(member.role()), absl::StrCat(member.join_seq())});
      }
      if (!context.json()) table.Print("Nobody.");
      return absl::OkStatus();
    };
  });
}

void AddWatermarks(CLI::App& parent, Run* run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(parent, "watermarks", "How far members have received and read",
                                 "imctl group watermarks Operators");
  AddGroupOption(command, options);
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      People people(&context);
      IM_ASSIGN_OR_RETURN(const auto group, FindGroup(context, options->group));
      chat::v1::ListWatermarksRequest request;
      request.set_conversation_id(group.conversation_id());
      request.set_page_size(1000);
      IM_ASSIGN_OR_RETURN(const auto watermarks,
                          context.List(&chat::v1::MessageService::Stub::ListWatermarks, request,
                                       &chat::v1::ListWatermarksResponse::watermarks));
      std::vector<int64_t> ids;
      for (const auto& watermark : watermarks) ids.push_back(watermark.user_id());
      people.Load(ids);
      Table table({"USER", "RECEIVED", "READ"});
      for (const auto& watermark : watermarks) {
        const std::string name = people.Name(watermark.user_id());
        if (context.json()) PrintLine(ToJson(watermark, {{"user_name", name}}));
        table.Add(
            {name, absl::StrCat(watermark.delivered_seq()), absl::StrCat(watermark.read_seq())});
      }
      if (!context.json()) table.Print("Nobody.");
      return absl::OkStatus();
    };
  });
}

}  // namespace

void AddGroup(CLI::App& app, Run* run) {
  CLI::App* command = AddCommand(app, "group", "Make groups, and who is in them",
                                 "imctl group create Operators bob carol\n"
                                 "imctl group add Operators dave\n"
                                 "imctl group members Operators");
  command->require_subcommand(1);
  AddCreate(*command, run);
  AddRename(*command, run);
  AddAdd(*command, run);
  AddRemove(*command, run);
  AddOwn(*command, run, "leave", "Leave a group", &ConversationService::Stub::LeaveGroup);
  AddOwn(*command, run, "return", "Come back to a group that you left",
         &ConversationService::Stub::ReturnToGroup);
  AddMembers(*command, run);
  AddWatermarks(*command, run);
}

}  // namespace im::imctl
