#include "services/presence/wire.h"

#include <google/protobuf/util/time_util.h>

#include "common/base/error.h"

namespace im::presence {
namespace {

v1::Status ToProto(Status status) {
  switch (status) {
    case Status::kOffline:
    case Status::kInvisible:
      return v1::STATUS_OFFLINE;
    case Status::kAway:
      return v1::STATUS_AWAY;
    case Status::kOnline:
      return v1::STATUS_ONLINE;
    case Status::kBusy:
      return v1::STATUS_BUSY;
  }
  return v1::STATUS_OFFLINE;
}

}  // namespace

absl::StatusOr<Status> ParseStatus(v1::Status status) {
  switch (status) {
    case v1::STATUS_ONLINE:
      return Status::kOnline;
    case v1::STATUS_AWAY:
      return Status::kAway;
    case v1::STATUS_BUSY:
      return Status::kBusy;
    case v1::STATUS_INVISIBLE:
      return Status::kInvisible;
    default:
      return Error(Reason::STATUS_INVALID);
  }
}

v1::Status ToRequest(Status status) {
  return status == Status::kInvisible ? v1::STATUS_INVISIBLE : ToProto(status);
}

Status ConnectionStatus(v1::Status status) {
  const absl::StatusOr<Status> parsed = ParseStatus(status);
  return parsed.ok() ? *parsed : Status::kOnline;
}

v1::Presence ToProto(UserId user, Status status, const std::optional<WallTime>& last_seen) {
  v1::Presence presence;
  presence.set_user_id(user);
  presence.set_status(ToProto(status));
  if (last_seen) {
    *presence.mutable_last_seen_at() = google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(
        std::chrono::duration_cast<std::chrono::microseconds>(last_seen->time_since_epoch())
            .count());
  }
  return presence;
}

std::string ToEvent(const Change& change) {
  v1::Event event;
  *event.add_presences() = ToProto(change.user, change.status, change.last_seen);
  return event.SerializeAsString();
}

std::string ToEvent(const Portrait& portrait) {
  v1::Event event;
  event.set_complete(portrait.complete);
  for (const auto& [user, status] : portrait.present) {
    *event.add_presences() = ToProto(user, status, std::nullopt);
  }
  return event.SerializeAsString();
}

}  // namespace im::presence
