// Reading im.chat.v1.SendMessageRequest from bytes, keeping the client's own bytes of the content.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "services/chat/writer.h"

namespace im::chat {

inline constexpr size_t kMaxTextBytes = 16384;

// Fills in conversation_id, request_id, request_hash and content. MALFORMED_REQUEST,
// REQUEST_ID_INVALID, CONTENT_MISSING, UNSUPPORTED_CONTENT, TEXT_EMPTY, TEXT_TOO_LONG,
// TEXT_INVALID.
absl::StatusOr<SendItem> ParseSendRequest(std::string_view bytes);

}  // namespace im::chat
