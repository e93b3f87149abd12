// All links of this gateway, and which of them is for what.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/link.h"

namespace im::gateway {

// A weight that is the same on every gateway: of those that can, the instance with the greatest one
// is for this key, so that when one goes only its keys move.
uint64_t RendezvousWeight(const std::string& address, uint64_t key);

// Constant after construction; the links are thread-safe.
class Links {
 public:
  Links(const Upstreams& upstreams, const rpc::ChannelTls& tls, const std::string& gateway_id,
        const LinkOptions* options, LinkEvents* events);
  // Ends all of them before the first is destroyed, since their events look at all.
  ~Links();

  const std::vector<std::unique_ptr<Link>>& all() const { return links_; }
  Link* at(int index) const { return links_[index].get(); }
  // The one for the key among those of the service for which `usable` holds; null if there is none.
  Link* Pick(Link::Service service, uint64_t key,
             const std::function<bool(const Link&)>& usable) const;
  bool IsUp(Link::Service service) const;

 private:
  std::vector<std::unique_ptr<Link>> links_;
};

}  // namespace im::gateway
