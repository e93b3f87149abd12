// The sessions of this gateway, by number, user and device.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"

namespace im::gateway {

class Session;

// Thread-safe; a leaf. Sessions are in it from their Welcome to their end.
class SessionTable {
 public:
  SessionTable(size_t max_sessions, size_t max_per_account)
      : max_sessions_(max_sessions), max_per_account_(max_per_account) {}

  // Returns the session of the same device that it takes the place of, if there is one; the caller
  // ends it. Fails with TOO_MANY_STREAMS, OVERLOADED or SHUTTING_DOWN.
  absl::StatusOr<std::shared_ptr<Session>> Add(const std::shared_ptr<Session>& session);
  void Remove(const Session& session);
  // Takes no more from now on.
  void Close();

  std::shared_ptr<Session> Find(uint64_t number) const;
  std::shared_ptr<Session> FindDevice(int64_t device_id) const;
  std::vector<std::shared_ptr<Session>> All() const;
  // Appends the sessions of these users.
  template <typename Ids>
  void FindUsers(const Ids& user_ids, std::vector<std::shared_ptr<Session>>* found) const {
    MutexLock lock(&mu_);
    for (const int64_t user_id : user_ids) {
      const auto sessions = users_.find(user_id);
      if (sessions == users_.end()) continue;
      found->insert(found->end(), sessions->second.begin(), sessions->second.end());
    }
  }
  size_t size() const;

 private:
  void RemoveLocked(const Session& session) IM_REQUIRES(mu_);

  const size_t max_sessions_;
  const size_t max_per_account_;
  mutable Mutex mu_;
  bool closed_ IM_GUARDED_BY(mu_) = false;
  std::unordered_map<uint64_t, std::shared_ptr<Session>> sessions_ IM_GUARDED_BY(mu_);
  std::unordered_map<int64_t, std::vector<std::shared_ptr<Session>>> users_ IM_GUARDED_BY(mu_);
  std::unordered_map<int64_t, std::shared_ptr<Session>> devices_ IM_GUARDED_BY(mu_);
};

}  // namespace im::gateway
