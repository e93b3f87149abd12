// The own log of each account: contacts, settings, read marks; what changed is kept by position
// (chat.own_log), what it says now is read from the records' own tables.
//
// Positions are given out by chat.log_own(user, kind, object), in the transaction that makes the
// change: kind 1 contact (object: the other), 2 settings (0), 3 read mark (the conversation).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/pg/pool.h"
#include "im/chat/v1/sync.pb.h"
#include "services/chat/publisher.h"

namespace im::chat {

struct OwnLogPage {
  // In rising position; complete up to `position`.
  std::vector<v1::OwnRecord> records;
  // The position a device has reached that has applied this page.
  int64_t position = 0;
  // Whether records follow after `position`.
  bool more = false;
};

// What an account's devices are to hear again.
struct OwnLogNews {
  int64_t user_id = 0;
  v1::OwnLogChanged changed;
};

// Thread-safe. Calls block, but for Publish.
class OwnLog {
 public:
  // `publisher` may be null: nothing is published.
  OwnLog(pg::Pool* pool, Publisher* publisher);

  // The first `limit` records after a position, as of one moment. With limit 0: the newest position
  // alone. A log that does not reach `after_position` gives no records and its own newest position.
  absl::StatusOr<OwnLogPage> Read(int64_t user_id, int64_t after_position, int limit) const;

  // For a gateway's catch-up: of each of the users whose log changed since then (microseconds since
  // 1970), what to publish again. Where too much changed it holds no records but the position, by
  // which a device that lacks some sends Have.
  absl::StatusOr<std::vector<OwnLogNews>> ChangedSince(const std::vector<int64_t>& user_ids,
                                                       int64_t since) const;

  // After the commit of a change: tells all devices of the account. record.position is what
  // chat.log_own returned.
  void Publish(int64_t user_id, const v1::OwnRecord& record) const;

 private:
  pg::Pool* const pool_;
  Publisher* const publisher_;
};

// A page as an event, for a device that has everything up to `after_position`.
v1::OwnLogChanged ToChanged(int64_t after_position, const OwnLogPage& page);

}  // namespace im::chat
