#include "services/chat/link_handler.h"

#include "common/base/error.h"
#include "im/gateway/v1/gateway.pb.h"
#include "services/chat/history_service.h"

namespace im::chat {
namespace {

using bus::Link;
using bus::Session;
using Frame = gateway::v1::ConnectRequest;

// Frames of streams name none.
constexpr auto kNoDeadline = MessageService::Deadline::max();

// Parses, handles, serialises.
template <typename Request, typename Response>
absl::StatusOr<std::string> Handle(
    const std::string& bytes,
    const std::function<absl::StatusOr<Response>(const Request&)>& handler) {
  Request request;
  if (!request.ParseFromString(bytes)) return Error(Reason::MALFORMED_REQUEST);
  const absl::StatusOr<Response> response = handler(request);
  if (!response.ok()) return response.status();
  return response->SerializeAsString();
}

}  // namespace

void ChatLinkHandler::OnLinkDown(const std::shared_ptr<Link>& link) {
  parts_.resumes->Cancel(link);
}

void ChatLinkHandler::OnSessionOpened(const std::shared_ptr<Link>&, const Session&) {}

void ChatLinkHandler::OnSessionClosed(const std::shared_ptr<Link>& link, const Session& session,
                                      bool) {
  parts_.resumes->Cancel(link, session.number);
}

void ChatLinkHandler::OnCall(const std::shared_ptr<Link>& link, const Session& session,
                             internal::v1::SessionCall call) {
  const int64_t user = session.identity.user_id;
  const int frame = call.frame();
  const std::string request = std::move(*call.mutable_request());
  const auto answer = [link, session, call](absl::StatusOr<std::string> response) {
    link->Answer(session, call, std::move(response));
  };
  switch (frame) {
    case Frame::kHaveFieldNumber:
      return parts_.resumes->Start(link, session, request);
    case Frame::kSendMessageFieldNumber:
      return parts_.messages->Send(user, request, {link, session.number}, kNoDeadline, answer);
    case Frame::kSetTypingFieldNumber:
      return parts_.messages->SetTyping(user, request, {link, session.number}, kNoDeadline, answer);
    case Frame::kAcknowledgeDeliveryFieldNumber:
      return answer(Handle<v1::AcknowledgeDeliveryRequest, v1::AcknowledgeDeliveryResponse>(
          request, [&](const v1::AcknowledgeDeliveryRequest& acknowledge) {
            return AcknowledgeDelivery(parts_.watermarks, user, acknowledge);
          }));
    case Frame::kMarkReadFieldNumber: {
      const bool let_in = admission_.Enter(request.size());
      const bool queued = let_in && parts_.workers->TrySubmit([this, watermarks = parts_.watermarks,
                                                               user, request, answer] {
        admission_.Leave(request.size());
        answer(Handle<v1::MarkReadRequest, v1::MarkReadResponse>(
            request,
            [&](const v1::MarkReadRequest& mark) { return MarkRead(watermarks, user, mark); }));
      });
      if (!queued) {
        if (let_in) admission_.GiveUp(request.size());
        answer(Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::milliseconds(1000)}));
      }
      return;
    }
    default:
      return answer(Error(Reason::UNKNOWN_METHOD, "no such frame"));
  }
}

void ChatLinkHandler::OnResumeMore(const std::shared_ptr<Link>& link, const Session& session) {
  parts_.resumes->More(link, session);
}

void ChatLinkHandler::OnCatchUp(const std::shared_ptr<Link>& link, int64_t since) {
  parts_.catch_ups->Start(link, since);
}

}  // namespace im::chat
