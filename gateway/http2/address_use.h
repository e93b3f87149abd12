// What each address of clients has of the door, so that none takes it all.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/base/mutex.h"
#include "gateway/address.h"

namespace im::gateway::http2 {

// Lives as long as there is a connection or a call. Thread-safe; who adds takes away.
struct AddressUse {
  // None of the limits of one address hold.
  bool exempt = false;
  std::atomic<size_t> connections{0};
  // Streams and calls that have not ended.
  std::atomic<size_t> calls{0};
  // Of messages that are not whole yet.
  std::atomic<size_t> partial_bytes{0};
};

// Thread-safe; a leaf.
class AddressUses {
 public:
  explicit AddressUses(AddressSet exempt) : exempt_(std::move(exempt)) {}

  // Of a client's address. Those that limits count as one (AddressKey) share it.
  std::shared_ptr<AddressUse> Of(const std::string& address);

 private:
  const AddressSet exempt_;
  Mutex mu_;
  std::unordered_map<std::string, std::weak_ptr<AddressUse>> uses_ IM_GUARDED_BY(mu_);
  // Those that went are forgotten when there are so many.
  size_t sweep_at_ IM_GUARDED_BY(mu_) = 1024;
};

}  // namespace im::gateway::http2
