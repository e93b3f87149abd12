// The set-up under test: PostgreSQL of its own, the services with two instances of what may have
// several, and between clients and gateways a network that can be made bad.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/faults/island.h"
#include "tests/faults/tcp_proxy.h"
#include "tests/support/private_cluster.h"
#include "tests/support/stack.h"

namespace im::faults {

struct SetUpOptions {
  uint64_t seed = 1;
  std::map<std::string, int> instances = {{"gateway", 2}, {"chat", 2}, {"presence", 2}};
  // Further configuration of services, as in StackOptions.
  std::map<std::string, std::vector<std::string>> flags;
  // PostgreSQL's disk, which the nemesis can fill (root only); 0: the machine's.
  int disk_mb = 0;
  // The second instances of chat and presence in a network of their own, which the nemesis can cut
  // off (root only); then the services are on TCP with mutual TLS instead of unix sockets.
  bool island = false;
};

// Started by the constructor, gone with the destructor. Fails by exceptions. The nemesis alone
// changes it; others may use doors() and database() at any time.
class SetUp {
 public:
  explicit SetUp(SetUpOptions options);
  ~SetUp();
  SetUp(const SetUp&) = delete;
  SetUp& operator=(const SetUp&) = delete;

  // Where clients connect, "127.0.0.1:PORT" each: proxies, one per gateway, which take the other
  // gateways when theirs is away. Constant.
  const std::vector<std::string>& doors() const { return doors_; }
  // Reaches the primary, also after a fail-over.
  testing::TestDatabase& database() { return stack_->database(); }

  testing::Stack& stack() { return *stack_; }
  testing::PrivateCluster& cluster() { return *cluster_; }
  // Of each door.
  std::vector<std::unique_ptr<TcpProxy>>& proxies() { return proxies_; }

  // Null: everything is on one machine.
  Island* island() { return island_.get(); }

  // Whether every service and the database say that they serve.
  bool IsHealthy();

 private:
  std::unique_ptr<Island> island_;
  std::unique_ptr<testing::PrivateCluster> cluster_;
  std::unique_ptr<testing::Stack> stack_;
  std::vector<std::unique_ptr<TcpProxy>> proxies_;
  std::vector<std::string> doors_;
};

}  // namespace im::faults
