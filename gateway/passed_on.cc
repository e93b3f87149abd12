#include "gateway/passed_on.h"

#include <functional>
#include <string_view>

namespace im::gateway {
namespace {

// The same for the same event to the same users in any order.
uint64_t Fingerprint(const internal::v1::Publication& publication) {
  uint64_t sum = publication.except_session() * 0xd6e8feb86659fd93u +
                 std::hash<std::string_view>()(publication.event());
  for (const int64_t user_id : publication.user_ids()) {
    uint64_t hash = static_cast<uint64_t>(user_id) + 0x9e3779b97f4a7c15u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    sum += hash ^ (hash >> 31);
  }
  return sum;
}

}  // namespace

bool PassedOn::Remember(const internal::v1::Publication& publication) {
  if (publication.conversation_id() == 0 || publication.seq() == 0) return false;
  const Entry entry{publication.conversation_id(), publication.seq()};
  const uint64_t fingerprint = Fingerprint(publication);
  MutexLock lock(&mu_);
  const auto [found, added] = entries_.try_emplace(entry, fingerprint);
  if (!added) {
    if (found->second == fingerprint) return true;
    found->second = fingerprint;
    return false;
  }
  order_.push_back(entry);
  if (order_.size() > capacity_) {
    entries_.erase(order_.front());
    order_.pop_front();
  }
  return false;
}

}  // namespace im::gateway
