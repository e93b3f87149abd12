// A gateway's side of a link to a real LinkServer, in one process.
//
//   TestLinks links;                     // the service's side; set the hooks that matter
//   TestGateway gateway(&links);
//   gateway.Open(/*session=*/1, kAlice);
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/base/error.h"
#include "common/base/mutex.h"
#include "common/bus/link_server.h"
#include "im/chat/v1/sync.pb.h"

namespace im::testing {

// Access tokens are user ids. The hooks are called on reaction threads.
class TestLinks : public bus::LinkHandler {
 public:
  explicit TestLinks(size_t max_queue_bytes = 64 << 20)
      : server(bus::LinkServerOptions{.authenticate = &Authenticate,
                                      .ready = nullptr,
                                      .handler = this,
                                      .max_queue_bytes = max_queue_bytes}) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&server);
    grpc_ = builder.BuildAndStart();
  }
  ~TestLinks() override { Stop(); }

  // Ends all links; afterwards no hook is called any more.
  void Stop() {
    server.Shutdown();
    grpc_->Shutdown();
    grpc_->Wait();
  }

  std::shared_ptr<grpc::Channel> Channel() { return grpc_->InProcessChannel({}); }

  void OnLinkDown(const std::shared_ptr<bus::Link>& link) override {
    if (on_down) on_down(link);
  }
  void OnSessionOpened(const std::shared_ptr<bus::Link>&, const bus::Session&) override {}
  void OnSessionClosed(const std::shared_ptr<bus::Link>& link, const bus::Session& session,
                       bool) override {
    if (on_closed) on_closed(link, session);
  }
  void OnCall(const std::shared_ptr<bus::Link>& link, const bus::Session& session,
              internal::v1::SessionCall call) override {
    if (on_call) on_call(link, session, call);
  }
  void OnResumeMore(const std::shared_ptr<bus::Link>& link, const bus::Session& session) override {
    if (on_more) on_more(link, session);
  }
  void OnCatchUp(const std::shared_ptr<bus::Link>& link, int64_t since) override {
    if (on_catch_up) on_catch_up(link, since);
  }

  std::function<void(const std::shared_ptr<bus::Link>&)> on_down;
  std::function<void(const std::shared_ptr<bus::Link>&, const bus::Session&)> on_closed;
  std::function<void(const std::shared_ptr<bus::Link>&, const bus::Session&,
                     const internal::v1::SessionCall&)>
      on_call;
  std::function<void(const std::shared_ptr<bus::Link>&, const bus::Session&)> on_more;
  std::function<void(const std::shared_ptr<bus::Link>&, int64_t)> on_catch_up;
  bus::LinkServer server;

 private:
  static absl::StatusOr<rpc::Identity> Authenticate(std::string_view token) {
    rpc::Identity identity;
    if (!absl::SimpleAtoi(absl::string_view(token.data(), token.size()), &identity.user_id)) {
      return Error(Reason::TOKEN_INVALID);
    }
    identity.device_id = identity.user_id * 10;
    return identity;
  }

  std::unique_ptr<grpc::Server> grpc_;
};

class TestGateway {
 public:
  explicit TestGateway(TestLinks* links)
      : stub_(internal::v1::LinkService::NewStub(links->Channel())) {
    stream_ = stub_->Attach(&context_);
    internal::v1::GatewayItem item;
    item.mutable_hello()->set_gateway_id("test");
    Send(item);
    reader_ = std::thread([this] { Read(); });
  }
  ~TestGateway() { Stop(); }

  // Cuts the link.
  void Stop() {
    if (!reader_.joinable()) return;
    Hold(false);
    context_.TryCancel();
    reader_.join();
    (void)stream_->Finish();
  }

  void Send(const internal::v1::GatewayItem& item) {
    internal::v1::AttachRequest request;
    *request.add_items() = item;
    EXPECT_TRUE(stream_->Write(request));
  }
  void Open(uint64_t session, int64_t user) {
    internal::v1::GatewayItem item;
    item.mutable_open()->set_session(session);
    item.mutable_open()->set_access_token(std::to_string(user));
    Send(item);
    const auto answer = Next();
    ASSERT_TRUE(answer.has_value() && answer->has_opened());
  }
  void Have(uint64_t session, const chat::v1::Have& have) {
    HaveBytes(session, have.SerializeAsString());
  }
  void HaveBytes(uint64_t session, const std::string& have) {
    internal::v1::GatewayItem item;
    item.mutable_call()->set_session(session);
    item.mutable_call()->set_frame(3);
    item.mutable_call()->set_request(have);
    Send(item);
  }
  void More(uint64_t session) {
    internal::v1::GatewayItem item;
    item.mutable_resume_more()->set_session(session);
    Send(item);
  }
  void CatchUp(int64_t since_micros) {
    internal::v1::GatewayItem item;
    item.mutable_catch_up()->mutable_since()->set_seconds(since_micros / 1000000);
    item.mutable_catch_up()->mutable_since()->set_nanos(
        static_cast<int32_t>(since_micros % 1000000) * 1000);
    Send(item);
  }

  // The next item that is no hello or sign of life; nullopt: none came in time.
  std::optional<internal::v1::ServiceItem> Next(
      std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(&mu_);
    while (items_.empty()) {
      if (!changed_.WaitUntil(&mu_, deadline)) return std::nullopt;
    }
    internal::v1::ServiceItem item = std::move(items_.front());
    items_.pop_front();
    return item;
  }

  // While held, nothing is read from the stream, as by a gateway that is stuck.
  void Hold(bool hold) {
    MutexLock lock(&mu_);
    held_ = hold;
    changed_.NotifyAll();
  }

 private:
  void Read() {
    internal::v1::AttachResponse response;
    while (stream_->Read(&response)) {
      MutexLock lock(&mu_);
      for (internal::v1::ServiceItem& item : *response.mutable_items()) {
        if (item.has_hello() || item.has_heartbeat()) continue;
        items_.push_back(std::move(item));
      }
      changed_.NotifyAll();
      while (held_) changed_.Wait(&mu_);
    }
  }

  grpc::ClientContext context_;
  std::unique_ptr<internal::v1::LinkService::Stub> stub_;
  std::unique_ptr<
      grpc::ClientReaderWriter<internal::v1::AttachRequest, internal::v1::AttachResponse>>
      stream_;
  Mutex mu_;
  CondVar changed_;
  std::deque<internal::v1::ServiceItem> items_ IM_GUARDED_BY(mu_);
  bool held_ IM_GUARDED_BY(mu_) = false;
  std::thread reader_;
};

}  // namespace im::testing
