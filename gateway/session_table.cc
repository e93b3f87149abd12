#include "gateway/session_table.h"

#include <algorithm>

#include "common/base/error.h"
#include "gateway/session.h"

namespace im::gateway {

absl::StatusOr<std::shared_ptr<Session>> SessionTable::Add(
    const std::shared_ptr<Session>& session) {
  constexpr std::chrono::milliseconds kLater{10'000};
  MutexLock lock(&mu_);
  if (closed_) {
    return Error(Reason::SHUTTING_DOWN, {}, {.retry_after = std::chrono::milliseconds(1'000)});
  }
  std::shared_ptr<Session> replaced;
  const auto same_device = devices_.find(session->device_id());
  if (same_device != devices_.end()) replaced = same_device->second;
  if (replaced == nullptr) {
    if (sessions_.size() >= max_sessions_) {
      return Error(Reason::OVERLOADED, "the gateway holds as many streams as allowed",
                   {.retry_after = kLater});
    }
    const auto account = users_.find(session->user_id());
    if (account != users_.end() && account->second.size() >= max_per_account_) {
      return Error(Reason::TOO_MANY_STREAMS, {}, {.retry_after = kLater});
    }
  } else {
    RemoveLocked(*replaced);
  }
  sessions_[session->number()] = session;
  users_[session->user_id()].push_back(session);
  devices_[session->device_id()] = session;
  return replaced;
}

void SessionTable::RemoveLocked(const Session& session) {
  const auto found = sessions_.find(session.number());
  if (found == sessions_.end()) return;
  const std::shared_ptr<Session> self = found->second;
  sessions_.erase(found);
  auto& of_user = users_[self->user_id()];
  of_user.erase(std::remove(of_user.begin(), of_user.end(), self), of_user.end());
  if (of_user.empty()) users_.erase(self->user_id());
  const auto device = devices_.find(self->device_id());
  if (device != devices_.end() && device->second == self) devices_.erase(device);
}

void SessionTable::Remove(const Session& session) {
  MutexLock lock(&mu_);
  RemoveLocked(session);
}

void SessionTable::Close() {
  MutexLock lock(&mu_);
  closed_ = true;
}

std::shared_ptr<Session> SessionTable::Find(uint64_t number) const {
  MutexLock lock(&mu_);
  const auto found = sessions_.find(number);
  return found == sessions_.end() ? nullptr : found->second;
}

std::shared_ptr<Session> SessionTable::FindDevice(int64_t device_id) const {
  MutexLock lock(&mu_);
  const auto found = devices_.find(device_id);
  return found == devices_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Session>> SessionTable::All() const {
  MutexLock lock(&mu_);
  std::vector<std::shared_ptr<Session>> all;
  all.reserve(sessions_.size());
  for (const auto& [number, session] : sessions_) all.push_back(session);
  return all;
}

size_t SessionTable::size() const {
  MutexLock lock(&mu_);
  return sessions_.size();
}

}  // namespace im::gateway
