#include "imctl/wording.h"

#include <string_view>

#include "common/base/error.h"

namespace im::imctl {
namespace {

std::string_view OwnWords(Reason reason) {
  switch (reason) {
    case Reason::DEVICE_NOT_FOUND:
      return "You have no such device: see imctl devices.";
    case Reason::LOGIN_LOCKED:
      return "Too many wrong passwords for this name.";
    case Reason::SELF_NOT_ALLOWED:
      return "This cannot be done with yourself.";
    case Reason::RECIPIENT_REFUSES:
      return "They do not take this from you.";
    case Reason::BLOCKED_BY_CALLER:
      return "You have blocked them: imctl contacts unblock NAME.";
    case Reason::REQUEST_NOT_FOUND:
      return "There is no open contact request between you.";
    case Reason::TOO_MANY_CONTACTS:
      return "One of you has as many contacts as allowed.";
    case Reason::CONVERSATION_NOT_FOUND:
      return "You have no such conversation: see imctl chats.";
    case Reason::NOT_A_MEMBER:
      return "You are not in this conversation any more.";
    case Reason::NOT_ALLOWED:
      return "Your role does not allow this.";
    case Reason::MEMBER_REFUSED:
      return "Some of them cannot be added by you.";
    case Reason::NOT_CONNECTED:
    case Reason::SESSION_NOT_FOUND:
      return "This profile is not connected.";
    case Reason::RATE_LIMITED:
      return "Too much of this at once.";
    case Reason::MALFORMED_REQUEST:
      return "The server did not understand the request.";
    case Reason::DEADLINE_EXCEEDED:
      return "The server took too long.";
    case Reason::CANCELLED:
      return "It was given up.";
    default:
      return "";
  }
}

}  // namespace

std::string Wording(const absl::Status& status) {
  std::string message(status.message());
  const auto reason = ReasonOf(status);
  if (!reason || message != ReasonText(*reason)) return message;
  const std::string_view own = OwnWords(*reason);
  return own.empty() ? message : std::string(own);
}

}  // namespace im::imctl
