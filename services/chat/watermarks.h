// How far people have read and received. Marks only rise, and never pass what a person may see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/base/workers.h"
#include "common/pg/pool.h"
#include "services/chat/history.h"
#include "services/chat/own_log.h"
#include "services/chat/publisher.h"

namespace im::chat {

struct ReadMark {
  int64_t read_seq = 0;
  int64_t unread = 0;
};

// Thread-safe. A mark that rose is told to the direct peer, or to the members of a small group.
class Watermarks {
 public:
  // Acknowledgements are written every `period`. All must outlive it.
  Watermarks(pg::Pool* pool, Publisher* publisher, OwnLog* own_log,
             std::chrono::milliseconds period = std::chrono::seconds(1));
  ~Watermarks();

  // Blocks. Where the mark stands afterwards. CONVERSATION_NOT_FOUND if they never were in it.
  absl::StatusOr<ReadMark> MarkRead(int64_t user, int64_t conversation, int64_t seq);

  // Does not block: gathered, and written within about a second. Ignored for those who were never
  // in the conversation. Lost if the process dies: a device says it again with its next Have.
  void Acknowledge(int64_t user, int64_t conversation, int64_t seq);

  // Writes now what was gathered; blocks.
  absl::Status Flush();

  // Writes what was gathered and stops writing by itself. Call before the pool goes.
  void Shutdown();

 private:
  using Key = std::pair<int64_t, int64_t>;  // conversation, user

  absl::Status FlushBatch(const std::vector<std::pair<Key, int64_t>>& batch);
  // `kind` of mark: marks of one kind replace each other where a client is slow.
  void Tell(const std::vector<int64_t>& audience, int64_t conversation, const Watermark& watermark,
            const char* kind);

  pg::Pool* const pool_;
  Publisher* const publisher_;
  OwnLog* const own_log_;
  // One flush at a time, so that marks of one member are told in the order they rose.
  Mutex flushing_;
  Mutex mu_;
  std::map<Key, int64_t> gathered_ IM_GUARDED_BY(mu_);
  std::unique_ptr<Ticker> ticker_;
};

}  // namespace im::chat
