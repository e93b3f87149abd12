// How soon a server says that it can work.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/rpc/server.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace im::rpc {
namespace {

using grpc::health::v1::HealthCheckResponse;
using std::chrono::steady_clock;

std::unique_ptr<Server> Started(std::function<bool()> healthy) {
  const std::string address = "unix:" + ::testing::TempDir() + "im-health-test.sock";
  auto server = Server::Start({.listen = {{.address = address}}, .healthy = std::move(healthy)});
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

// What Watch says first that is `wanted`; the stream tells of every change.
void AwaitStatus(Server* server, HealthCheckResponse::ServingStatus wanted) {
  const auto stub = grpc::health::v1::Health::NewStub(server->InProcessChannel());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const auto stream = stub->Watch(&context, {});
  HealthCheckResponse response;
  while (stream->Read(&response)) {
    if (response.status() == wanted) {
      context.TryCancel();
      return;
    }
  }
  ADD_FAILURE() << "never came to be so";
}

// The sixth look is after 0.6 s; once a second it would be after five. There is time for a slow
// machine.
TEST(HealthTest, WhatIsToComeIsLookedForOften) {
  std::atomic<int> looks{0};
  const auto from = steady_clock::now();
  const auto server = Started([&] { return ++looks > 5; });
  AwaitStatus(server.get(), HealthCheckResponse::SERVING);
  EXPECT_LT(steady_clock::now() - from, std::chrono::seconds(4));
}

TEST(HealthTest, WhatEndsLaterIsToldAndIsLookedForOnceASecond) {
  std::atomic<bool> well{true};
  std::vector<steady_clock::time_point> unwell_looks;  // the ticker's, until it is notified
  absl::Notification looked_again;
  const auto server = Started([&] {
    if (well.load()) return true;
    if (unwell_looks.size() < 3) unwell_looks.push_back(steady_clock::now());
    if (unwell_looks.size() == 3 && !looked_again.HasBeenNotified()) looked_again.Notify();
    return false;
  });
  AwaitStatus(server.get(), HealthCheckResponse::SERVING);
  well = false;
  AwaitStatus(server.get(), HealthCheckResponse::NOT_SERVING);
  looked_again.WaitForNotification();
  EXPECT_GE(unwell_looks[1] - unwell_looks[0], std::chrono::milliseconds(800));
  EXPECT_GE(unwell_looks[2] - unwell_looks[1], std::chrono::milliseconds(800));
  well = true;
  AwaitStatus(server.get(), HealthCheckResponse::SERVING);
}

// Who never was well ends as soon as anybody.
TEST(HealthTest, AServerThatNeverWasWellEnds) {
  absl::Notification looked;
  auto server = Started([&] {
    if (!looked.HasBeenNotified()) looked.Notify();
    return false;
  });
  looked.WaitForNotification();
  server.reset();
}

}  // namespace
}  // namespace im::rpc
