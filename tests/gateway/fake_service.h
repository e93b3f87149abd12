// A small real service for the gateway to talk to: a LinkService that remembers what it hears and
// says what a test tells it to, and unary calls.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/base/workers.h"
#include "common/rpc/router.h"
#include "common/rpc/server.h"
#include "im/internal/v1/link.grpc.pb.h"

namespace im::gateway {

namespace pb = im::internal::v1;

inline constexpr std::chrono::seconds kPatience{20};

// "alice is user 1 on device 10": tokens in these tests are "USER:DEVICE" or "USER:DEVICE:SECONDS".
absl::StatusOr<rpc::Identity> FakeAuthenticate(std::string_view token);

class FakeService : public pb::LinkService::Service {
 public:
  // `address`: "unix:/path".
  explicit FakeService(std::string address, int64_t epoch = 7);
  ~FakeService() override;

  const std::string& address() const { return address_; }
  void Start();
  // As if it were killed.
  void Stop();

  // The standing link, of which there must be one soon.
  void Say(const pb::ServiceItem& item);
  // In one message.
  void SayAll(const pb::AttachResponse& response);
  void SayHello(int64_t epoch);
  void Publish(std::vector<int64_t> users, const std::string& event,
               const std::string& replace_key = {}, int64_t conversation = 0, int64_t seq = 0);
  void Deliver(uint64_t session, const std::string& event);
  void EndPage(uint64_t session);
  void EndResume(uint64_t session, int64_t position = 0);
  void FailResume(uint64_t session, const absl::Status& status);
  void Answer(const pb::SessionCall& call, const std::string& response);
  void Refuse(const pb::SessionCall& call, const absl::Status& status);

  // Waits for the next item of this kind that no test has taken yet.
  pb::GatewayItem Take(pb::GatewayItem::ItemCase kind);
  pb::OpenSession TakeOpen() { return Take(pb::GatewayItem::kOpen).open(); }
  pb::SessionCall TakeCall() { return Take(pb::GatewayItem::kCall).call(); }
  // Whether one of this kind waits to be taken.
  bool Has(pb::GatewayItem::ItemCase kind);
  // How many do.
  int Count(pb::GatewayItem::ItemCase kind);
  // How many links there have been.
  int links();
  void AwaitLink(int count);

  // Whether sessions are answered SessionOpened by themselves, and resumes ended. Default: both.
  std::atomic<bool> open_sessions{true};
  std::atomic<bool> end_resumes{true};
  // As the hello says; default: nothing of lanes.
  std::atomic<int> lanes{0};
  // Stops reading, and goes on beating.
  std::atomic<bool> deaf{false};
  // Stops reading and beating, as if stopped by SIGSTOP.
  std::atomic<bool> silent{false};

  // Unary calls: what came.
  struct Unary {
    std::string address;
    std::string request_id;
    std::string access_token;
  };
  Unary last_unary();
  // Of the last ListEntries, which takes until then.
  std::chrono::system_clock::time_point last_deadline();

  grpc::Status Attach(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<pb::AttachResponse, pb::AttachRequest>* stream) override;

 private:
  using Stream = grpc::ServerReaderWriter<pb::AttachResponse, pb::AttachRequest>;
  void Hear(const pb::GatewayItem& item);
  void AddUnary();

  const std::string address_;
  int64_t epoch_;
  Workers workers_{2, 100};
  std::unique_ptr<rpc::Router> router_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<Ticker> beat_;

  Mutex write_mu_;
  Mutex mu_;
  CondVar changed_;
  Stream* stream_ IM_GUARDED_BY(mu_) = nullptr;
  int links_ IM_GUARDED_BY(mu_) = 0;
  std::vector<pb::GatewayItem> heard_ IM_GUARDED_BY(mu_);
  Unary unary_ IM_GUARDED_BY(mu_);
  std::chrono::system_clock::time_point deadline_ IM_GUARDED_BY(mu_);
};

}  // namespace im::gateway
