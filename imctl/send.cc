#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/random.h"
#include "common/base/text.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "imctl/commands.h"
#include "imctl/output.h"
#include "imctl/people.h"

namespace im::imctl {
namespace {

// All of standard input. An error part way must not send the half of a message.
absl::StatusOr<std::string> ReadInput() {
  std::string text;
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, count);
  if (ferror(stdin) != 0) {
    return absl::DataLossError(absl::StrCat("cannot read standard input: ", std::strerror(errno)));
  }
  return text;
}

}  // namespace

void AddSend(CLI::App& app, Run* run) {
  struct Options {
    std::string who;
    std::vector<std::string> words;
    std::string request_id;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = AddCommand(app, "send", "Send a message",
                                 "imctl send bob Hello there\n"
                                 "uptime | imctl send group:Operators");
  command->add_option("WHO", options->who, "A user name, a group's title, or group:ID")->required();
  command->add_option("TEXT", options->words,
                      "The message; without it, standard input, byte for byte");
  command
      ->add_option("--request-id", options->request_id,
                   "32 hexadecimal digits: the same again is stored once")
      ->check([](const std::string& value) {
        const bool good = value.size() == 32 &&
                          value.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
        return good ? "" : "a request id is 32 hexadecimal digits";
      });
  command->callback([=] {
    *run = [options](Context& context) -> absl::Status {
      People people(&context);
      IM_ASSIGN_OR_RETURN(const auto conversation, OpenConversation(context, people, options->who));
      chat::v1::SendMessageRequest request;
      request.set_conversation_id(conversation.conversation_id());
      std::string id;
      for (size_t i = 0; i < options->request_id.size(); i += 2) {
        id += static_cast<char>(std::stoi(options->request_id.substr(i, 2), nullptr, 16));
      }
      request.set_request_id(id.empty() ? RandomBytes(16) : id);
      std::string body = absl::StrJoin(options->words, " ");
      if (options->words.empty()) {
        IM_ASSIGN_OR_RETURN(body, ReadInput());
      }
      // proto3's strings are UTF-8: the server would have to refuse the whole frame unread.
      if (!IsText(body)) return Error(Reason::TEXT_INVALID);
      request.mutable_content()->mutable_text()->set_body(body);
      IM_ASSIGN_OR_RETURN(const auto response,
                          context.Call(&chat::v1::MessageService::Stub::SendMessage, request));
      PrintLine(context.json()
                    ? ToJson(response)
                    : absl::StrCat("Sent to ", options->who, " as number ", response.seq(), "."));
      return absl::OkStatus();
    };
  });
}

}  // namespace im::imctl
