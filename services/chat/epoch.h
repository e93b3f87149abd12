// The epoch of the data: what tells clients that the data is not what it was.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "common/pg/pool.h"

namespace im::chat {

// Thread-safe.
class Epoch {
 public:
  // `changed` is called with every new value, the first included, from any thread.
  explicit Epoch(std::function<void(int64_t)> changed) : changed_(std::move(changed)) {}

  // 0: not known yet.
  int64_t current() const { return current_.load(); }

  // Reads it from a connection; for pg::PoolOptions.on_connect of every pool, so that no connection
  // to other data is ever used unnoticed. Throws pqxx exceptions.
  void Read(pg::Session& session);

  // The database is behind what this process saw committed: gives the data another epoch.
  absl::Status Renew(pg::Pool* pool);

 private:
  const std::function<void(int64_t)> changed_;
  std::atomic<int64_t> current_{0};
};

}  // namespace im::chat
