#include "absl/strings/str_cat.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"
#include "imctl/people.h"

namespace im::imctl {

void AddRead(CLI::App& app, Run* run) {
  struct Options {
    std::string who;
    int64_t seq = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(app, "read", "Mark a conversation as read",
                                 "imctl read bob\n"
                                 "imctl read Operators --up-to 120");
  command->add_option("WHO", options->who, "A user name, a group's title, or group:ID")->required();
  command->add_option("--up-to", options->seq, "Up to this number (all)")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      People people(&context);
      IM_ASSIGN_OR_RETURN(const auto conversation, FindConversation(context, people, options->who));
      chat::v1::MarkReadRequest request;
      request.set_conversation_id(conversation.conversation_id());
      request.set_seq(options->seq == 0 ? conversation.last_seq() : options->seq);
      IM_ASSIGN_OR_RETURN(const auto response,
                          context.Call(&chat::v1::MessageService::Stub::MarkRead, request));
      PrintLine(context.json() ? ToJson(response)
                               : absl::StrCat("Read up to ", response.read_seq(), "; ",
                                              response.unread_count(), " left."));
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
