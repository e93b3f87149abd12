#include "services/chat/message_service.h"

#include <google/protobuf/util/time_util.h>

#include "common/base/error.h"
#include "im/chat/v1/messages.pb.h"
#include "services/chat/send_request.h"

namespace im::chat {

void MessageService::Send(int64_t user, std::string_view request, const Origin& origin,
                          Deadline deadline, Done done) {
  if (origin.link != nullptr && origin.link->IsLate()) return done(Overloaded(Busy::kGateway));
  absl::StatusOr<SendItem> item = ParseSendRequest(request);
  if (!item.ok()) return done(item.status());
  item->sender = user;
  item->origin = origin;
  item->waiting.deadline = deadline;
  item->done = [done = std::move(done)](absl::StatusOr<Entry> entry) {
    if (!entry.ok()) return done(entry.status());
    v1::SendMessageResponse response;
    response.set_conversation_id(entry->conversation_id);
    response.set_request_id(entry->request_id);
    response.set_seq(entry->seq);
    *response.mutable_at() = google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(entry->at);
    response.set_count(entry->count);
    done(response.SerializeAsString());
  };
  writers_->Submit(*std::move(item));
}

void MessageService::SetTyping(int64_t user, std::string_view request, const Origin& origin,
                               Deadline deadline, Done done) {
  v1::SetTypingRequest typing;
  if (!typing.ParseFromArray(request.data(), static_cast<int>(request.size()))) {
    return done(Error(Reason::MALFORMED_REQUEST));
  }
  TypingItem item;
  item.conversation_id = typing.conversation_id();
  item.user = user;
  item.typing = typing.typing();
  item.origin = origin;
  item.waiting.deadline = deadline;
  item.done = [done = std::move(done)](const absl::Status& status) {
    if (!status.ok()) return done(status);
    done(v1::SetTypingResponse().SerializeAsString());
  };
  writers_->Submit(std::move(item));
}

void MessageService::Register(rpc::Router* router) {
  router->UnaryRaw("im.chat.v1.MessageService/SendMessage", rpc::Access::kUser,
                   [this](const rpc::Caller& caller, const std::string& request, Done answer) {
                     Send(caller.user_id(), request, {}, caller.deadline, std::move(answer));
                   });
  router->UnaryRaw("im.chat.v1.MessageService/SetTyping", rpc::Access::kUser,
                   [this](const rpc::Caller& caller, const std::string& request, Done answer) {
                     SetTyping(caller.user_id(), request, {}, caller.deadline, std::move(answer));
                   });
}

}  // namespace im::chat
