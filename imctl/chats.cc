#include "absl/strings/str_cat.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/describe.h"
#include "imctl/escape.h"
#include "imctl/output.h"
#include "imctl/people.h"

namespace im::imctl {

namespace {

// Columns of the last message in the table.
constexpr int kSummaryWidth = 48;

std::string Shorten(const std::string& escaped) {
  std::string out;
  int width = 0;
  std::string_view rest = escaped;
  while (!rest.empty()) {
    const Character c = FirstCharacter(rest);
    width += c.value < 0 ? 1 : CharacterWidth(c.value);
    if (width > kSummaryWidth) return out + "...";
    out += rest.substr(0, c.length);
    rest.remove_prefix(c.length);
  }
  return out;
}

}  // namespace

void AddChats(CLI::App& app, Run* run) {
  auto unread_only = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(app, "chats", "Your conversations, the newest first",
                                 "imctl chats\n"
                                 "imctl chats --unread");
  command->add_flag("--unread", *unread_only, "Only those with something to read");
  command->callback([=] {
    *run = [unread_only](Context& context) -> absl::Status {
      chat::v1::ListConversationsRequest request;
      request.set_page_size(200);
      IM_ASSIGN_OR_RETURN(
          const auto conversations,
          context.List(&chat::v1::ConversationService::Stub::ListConversations, request,
                       &chat::v1::ListConversationsResponse::conversations));
      People people(&context);
      std::vector<int64_t> ids;
      for (const auto& conversation : conversations) {
        ids.push_back(conversation.peer_user_id());
        ids.push_back(conversation.last_entry().sender_user_id());
      }
      people.Load(ids);
      Table table({"WITH", "ID", "UNREAD", "MEMBERS", "LAST", ""});
      for (const auto& conversation : conversations) {
        if (*unread_only && conversation.unread_count() == 0) continue;
        const bool group = conversation.kind() == chat::v1::CONVERSATION_KIND_GROUP;
        const bool left = group && conversation.member_count() == 0;
        const std::string title = TitleOf(people, conversation);
        if (context.json()) {
          JsonFields extra;
          if (!group) extra.emplace_back("peer_user_name", title);
          PrintLine(ToJson(conversation, extra));
          continue;
        }
        std::string last;
        if (conversation.has_last_entry()) {
          const auto& entry = conversation.last_entry();
          last = Summary(people, entry);
          if (group && entry.has_message()) {
            last = absl::StrCat(people.Name(entry.sender_user_id()), ": ", last);
          }
        }
        table.Add(
            {title, absl::StrCat(conversation.conversation_id()),
             conversation.unread_count() == 0 ? "" : absl::StrCat(conversation.unread_count()),
             left    ? "left"
             : group ? absl::StrCat(conversation.member_count())
                     : "",
             FormatShortTime(conversation.last_at()), Shorten(last)});
      }
      if (!context.json()) table.Print(*unread_only ? "Nothing to read." : "No conversations yet.");
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
