// A gateway with its server, an auth, a chat and a presence to talk to, and devices that connect.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/serve.h"
#include "tests/gateway/device.h"
#include "tests/gateway/fake_service.h"

namespace im::gateway {

class GatewayTest : public ::testing::Test {
 protected:
  GatewayTest();
  ~GatewayTest() override;

  // Starts the services and then the gateway, with options as they are then.
  void Start();
  void StartServices();
  void StartGateway();
  void StopGateway();

  std::shared_ptr<grpc::Channel> Channel() const;
  std::unique_ptr<Device> Connect(const std::string& token, const std::string& have = {});
  // Connected and caught up; the services' memory of it is taken.
  std::unique_ptr<Device> Live(const std::string& token, uint64_t* session = nullptr);
  // Fails the test if it does not come true.
  void Await(const std::function<bool()>& condition);
  void Revoke(int64_t device_id);

  std::string SocketOf(const std::string& name) const { return "unix:" + dir_ + "/" + name; }

  std::string dir_;
  GatewayOptions options_;
  GatewayConfig config_;
  std::unique_ptr<FakeService> auth_;
  std::unique_ptr<FakeService> chat_;
  std::unique_ptr<FakeService> presence_;
  Mutex revoked_mu_;
  std::set<int64_t> revoked_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<Serving> server_;
};

// Bytes of chat events that mean nothing but can be parsed.
std::string ChatEvent(int64_t conversation, int64_t seq, size_t padding = 0);
int64_t SeqOf(const v1::ServerFrame& frame);
Reason ReasonOf(const v1::ServerFrame& answer);
Reason ReasonOfEnd(const absl::Status& status);

}  // namespace im::gateway
