// Presence in the words of the protos.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "im/presence/v1/presence.pb.h"
#include "services/presence/book.h"

namespace im::presence {

// A status that a client asks for. Fails with STATUS_INVALID.
absl::StatusOr<Status> ParseStatus(v1::Status status);
// Such a status again.
v1::Status ToRequest(Status status);
// The status of a connection: unspecified means online, as do those that we do not know.
Status ConnectionStatus(v1::Status status);

v1::Presence ToProto(UserId user, Status status, const std::optional<WallTime>& last_seen);
// The event that carries it, serialised.
std::string ToEvent(const Change& change);
std::string ToEvent(const Portrait& portrait);

}  // namespace im::presence
