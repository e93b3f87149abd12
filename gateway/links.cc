#include "gateway/links.h"

namespace im::gateway {

uint64_t RendezvousWeight(const std::string& address, uint64_t key) {
  // FNV-1a over the address, then splitmix64: the standard library's hash may differ by machine.
  uint64_t hash = 14695981039346656037u;
  for (const char c : address) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  hash ^= key * 0x9e3779b97f4a7c15u;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
  return hash ^ (hash >> 31);
}

Links::Links(const Upstreams& upstreams, const rpc::ChannelTls& tls, const std::string& gateway_id,
             const LinkOptions* options, LinkEvents* events) {
  const auto add = [&](Link::Service service, const std::vector<std::string>& addresses) {
    for (const std::string& address : addresses) {
      const int index = static_cast<int>(links_.size());
      links_.push_back(
          std::make_unique<Link>(service, index, address, tls, gateway_id, options, events));
    }
  };
  add(Link::Service::kChat, upstreams.chat);
  add(Link::Service::kPresence, upstreams.presence);
}

Links::~Links() {
  for (const auto& link : links_) link->Stop();
}

Link* Links::Pick(Link::Service service, uint64_t key,
                  const std::function<bool(const Link&)>& usable) const {
  Link* best = nullptr;
  uint64_t best_weight = 0;
  for (const auto& link : links_) {
    if (link->service() != service || !usable(*link)) continue;
    const uint64_t weight = RendezvousWeight(link->address(), key);
    if (best == nullptr || weight > best_weight) {
      best = link.get();
      best_weight = weight;
    }
  }
  return best;
}

bool Links::IsUp(Link::Service service) const {
  for (const auto& link : links_) {
    if (link->service() == service && link->generation() != 0) return true;
  }
  return false;
}

}  // namespace im::gateway
