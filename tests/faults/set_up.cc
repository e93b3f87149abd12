#include "tests/faults/set_up.h"

#include <utility>

namespace im::faults {

SetUp::SetUp(SetUpOptions options)
    : cluster_(std::make_unique<testing::PrivateCluster>(
          testing::PrivateClusterOptions{.disk_mb = options.disk_mb, .standby = true})) {
  // Short, so that a gateway which stands still is found out within a fault's time.
  auto& gateway = options.flags["gateway"];
  gateway.insert(gateway.begin(),
                 {"--session.heartbeat_seconds=3", "--session.reconnect_jitter_seconds=2"});
  std::map<std::string, testing::Place> places;
  if (options.island) {
    island_ = std::make_unique<Island>();
    for (const char* service : {"auth", "chat", "presence"}) {
      places[service] = {island_->shore(), {}};
    }
    for (const char* instance : {"chat-2", "presence-2"}) {
      places[instance] = {island_->address(), island_->network()};
    }
  }
  stack_ = std::make_unique<testing::Stack>(
      testing::StackOptions{.instances = std::move(options.instances),
                            .flags = std::move(options.flags),
                            .tls = options.island,
                            .places = std::move(places),
                            .cluster_url = cluster_->url()});
  std::vector<std::string> gateways;
  for (const std::string& name : stack_->names()) {
    if (name.rfind("gateway", 0) == 0) gateways.push_back(stack_->address(name));
  }
  for (size_t i = 0; i < gateways.size(); ++i) {
    // Each door has its own gateway first.
    std::vector<std::string> targets(gateways.begin() + static_cast<std::ptrdiff_t>(i),
                                     gateways.end());
    targets.insert(targets.end(), gateways.begin(),
                   gateways.begin() + static_cast<std::ptrdiff_t>(i));
    proxies_.push_back(std::make_unique<TcpProxy>(targets, options.seed + i));
    doors_.push_back(proxies_.back()->address());
  }
}

SetUp::~SetUp() {
  // Before the database is dropped, which waits for nobody.
  proxies_.clear();
  stack_.reset();
}

bool SetUp::IsHealthy() {
  // A service that did not need its database lately has not noticed that it is gone.
  if (!cluster_->Answers()) return false;
  for (const std::string& name : stack_->names()) {
    if (!stack_->IsHealthy(name)) return false;
  }
  return true;
}

}  // namespace im::faults
