// How soon a server says that it can work.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"
#include "common/rpc/server.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace im::rpc {
namespace {

using grpc::health::v1::HealthCheckResponse;
using std::chrono::steady_clock;

std::unique_ptr<Server> Started(std::function<bool()> healthy) {
  auto server =
      Server::Start({.listen = {{.address = "127.0.0.1:0"}}, .healthy = std::move(healthy)});
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

// Once a second would be ten seconds; there is time for a slow machine.
TEST(HealthTest, WhatIsToComeIsLookedForOften) {
  std::atomic<int> looks{0};
  const auto from = steady_clock::now();
  const auto server = Started([&] { return ++looks > 10; });
  AwaitStatus(server.get(), HealthCheckResponse::SERVING);
  EXPECT_LT(steady_clock::now() - from, std::chrono::seconds(5));
}

TEST(HealthTest, WhatEndsLaterIsToldAndIsLookedForOnceASecond) {
  std::atomic<bool> well{true};
  std::atomic<int> looks{0};
  const auto server = Started([&] {
    ++looks;
    return well.load();
  });
  AwaitStatus(server.get(), HealthCheckResponse::SERVING);
  well = false;
  AwaitStatus(server.get(), HealthCheckResponse::NOT_SERVING);
  const int before = looks.load();
  const auto from = steady_clock::now();
  well = true;
  AwaitStatus(server.get(), HealthCheckResponse::SERVING);
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - from).count();
  EXPECT_LE(looks.load() - before, seconds + 2);
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
