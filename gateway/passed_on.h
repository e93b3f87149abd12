// Which entries were passed on lately, so that those that are published again can be dropped.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

#include "common/base/mutex.h"
#include "im/internal/v1/link.pb.h"

namespace im::gateway {

// Thread-safe; a leaf. Bounded: forgets the oldest.
class PassedOn {
 public:
  explicit PassedOn(size_t capacity) : capacity_(capacity) {}

  // Whether this very publication was remembered before: the entry, for the same users. One for
  // other users is another one, since a large audience may come in several, and not all of them
  // before a link breaks; so is another entry in the same place, as after a fail-over that lost the
  // first. Remembers it. Never true for what is no entry.
  bool Remember(const internal::v1::Publication& publication);

 private:
  using Entry = std::pair<int64_t, int64_t>;
  struct EntryHash {
    size_t operator()(const Entry& entry) const {
      return static_cast<size_t>(entry.first) * 0x9e3779b97f4a7c15u +
             static_cast<size_t>(entry.second);
    }
  };

  const size_t capacity_;
  Mutex mu_;
  std::unordered_map<Entry, uint64_t, EntryHash> entries_ IM_GUARDED_BY(mu_);
  std::deque<Entry> order_ IM_GUARDED_BY(mu_);
};

}  // namespace im::gateway
