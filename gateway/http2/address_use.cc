#include "gateway/http2/address_use.h"

#include <algorithm>

namespace im::gateway::http2 {

std::shared_ptr<AddressUse> AddressUses::Of(const std::string& address) {
  MutexLock lock(&mu_);
  std::weak_ptr<AddressUse>& known = uses_[AddressKey(address)];
  if (auto use = known.lock()) return use;
  auto use = std::make_shared<AddressUse>();
  use->exempt = exempt_.Contains(address);
  known = use;
  if (uses_.size() >= sweep_at_) {
    std::erase_if(uses_, [](const auto& each) { return each.second.expired(); });
    sweep_at_ = std::max<size_t>(1024, uses_.size() * 2);
  }
  return use;
}

}  // namespace im::gateway::http2
