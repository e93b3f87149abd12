#include "imctl/conversations.h"

#include "absl/strings/str_cat.h"
#include "im/chat/v1/conversations.grpc.pb.h"

namespace im::imctl {

void Conversations::Put(const chat::v1::Conversation& conversation) {
  chat::v1::Conversation& mine = known_[conversation.conversation_id()];
  mine = conversation;
  mine.clear_last_entry();
  mine.clear_stays();
}

std::string Conversations::Title(People& people, int64_t conversation_id) {
  auto known = known_.find(conversation_id);
  if (known == known_.end()) {
    chat::v1::GetConversationRequest request;
    request.set_conversation_id(conversation_id);
    const auto response =
        context_->Call(&chat::v1::ConversationService::Stub::GetConversation, request);
    if (!response.ok()) return absl::StrCat("conversation ", conversation_id);
    Put(response->conversation());
    known = known_.find(conversation_id);
  }
  return TitleOf(people, known->second);
}

}  // namespace im::imctl
