#include <algorithm>

#include "absl/strings/str_cat.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/describe.h"
#include "imctl/output.h"
#include "imctl/people.h"

namespace im::imctl {

using chat::v1::Entry;

void AddHistory(CLI::App& app, Run* run) {
  struct Options {
    std::string who;
    int64_t before = 0;
    int64_t after = 0;
    int limit = 50;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(app, "history", "Read a conversation back",
                                 "imctl history bob\n"
                                 "imctl history bob --before 120 --limit 20\n"
                                 "imctl --json history Operators --after 0 --limit 100000");
  command->add_option("WHO", options->who, "A user name, a group's title, or group:ID")->required();
  auto* before = command->add_option("--before", options->before, "Entries before this number")
                     ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  auto* after = command->add_option("--after", options->after, "Entries after this number")
                    ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}))
                    ->excludes(before);
  command->add_option("--limit", options->limit, "At most this many (50)")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  command->callback([=] {
    const bool forward = after->count() > 0;
    *run = [options, forward](Context& context) -> absl::Status {
      People people(&context);
      IM_ASSIGN_OR_RETURN(const auto conversation, FindConversation(context, people, options->who));
      chat::v1::ListEntriesRequest request;
      request.set_conversation_id(conversation.conversation_id());
      if (forward) {
        request.set_after_seq(options->after);
      } else if (options->before > 0) {
        request.set_before_seq(options->before);
      }
      // Pages are in rising order each; going back, the older page belongs in front.
      std::vector<Entry> entries;
      while (static_cast<int>(entries.size()) < options->limit) {
        request.set_page_size(std::min(200, options->limit - static_cast<int>(entries.size())));
        IM_ASSIGN_OR_RETURN(const auto page,
                            context.Call(&chat::v1::MessageService::Stub::ListEntries, request));
        entries.insert(forward ? entries.end() : entries.begin(), page.entries().begin(),
                       page.entries().end());
        if (page.next_page_token().empty()) break;
        request.set_page_token(page.next_page_token());
      }
      std::vector<int64_t> ids;
      for (const Entry& entry : entries) ids.push_back(entry.sender_user_id());
      people.Load(ids);
      for (const Entry& entry : entries) {
        if (context.json()) {
          PrintLine(ToJson(people, entry));
          continue;
        }
        const std::string head = absl::StrCat(entry.seq(), "  ", FormatShortTime(entry.at()), "  ");
        const std::string indent(head.size(), ' ');
        PrintText(head + Describe(people, entry, indent), indent);
      }
      if (entries.empty() && !context.json()) PrintLine("Nothing there.");
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
