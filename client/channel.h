// One connection to a gateway, and unary calls on it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"

namespace im::client {

struct Options {
  // HOST:PORT or "unix:/path".
  std::string server = "127.0.0.1:7400";
  bool tls = false;
  // PEM file of the authorities to trust, with tls; empty: the system's.
  std::string ca_file;
  // PEM files of what is shown to a server that asks for it, with tls; empty: nothing.
  std::string certificate_file;
  std::string key_file;
  std::chrono::milliseconds call_timeout{15'000};
};

// Thread-safe. Holds one TCP connection of its own, made on first use and made again when lost. The
// destructor cancels calls that are still under way and waits for their callbacks; it must not run
// on one of them.
class Channel {
 public:
  // Fails if one of the files cannot be read; does not connect yet.
  static absl::StatusOr<std::shared_ptr<Channel>> Open(const Options& options);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  const std::shared_ptr<grpc::Channel>& grpc() const { return channel_; }
  const Options& options() const { return options_; }

  // Blocks until answered:  channel->Call(&AccountService::Stub::LogIn, request)
  // An empty token sends none.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, const std::string& token = {}) {
    grpc::ClientContext context;
    Prepare(&context, token);
    Stub stub(channel_);
    Response response;
    const grpc::Status status = (stub.*method)(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    return response;
  }

  // Returns at once and calls `done` (absl::StatusOr<Response>) on a thread of gRPC's, which it
  // must not block:
  //   channel->Call<MessageService>(&MessageService::Stub::async::ListEntries, request, token,
  //   done)
  template <typename Service, typename Async, typename Request, typename Response, typename Done>
  void Call(void (Async::*method)(grpc::ClientContext*, const Request*, Response*,
                                  std::function<void(grpc::Status)>),
            const Request& request, const std::string& token, Done done) {
    struct Running {
      explicit Running(const std::shared_ptr<grpc::Channel>& channel) : stub(channel) {}
      typename Service::Stub stub;
      grpc::ClientContext context;
      Request request;
      Response response;
    };
    auto running = std::make_shared<Running>(channel_);
    running->request = request;
    Prepare(&running->context, token);
    Began(&running->context);
    (running->stub.async()->*method)(
        &running->context, &running->request, &running->response,
        [this, running, done = std::move(done)](const grpc::Status& status) {
          if (status.ok()) {
            done(std::move(running->response));
          } else {
            done(rpc::FromGrpc(status));
          }
          Ended(&running->context);
        });
  }

  // Cancels all asynchronous calls under way; their callbacks come with CANCELLED.
  void CancelAll();

 private:
  explicit Channel(const Options& options) : options_(options) {}

  void Prepare(grpc::ClientContext* context, const std::string& token) const;
  void Began(grpc::ClientContext* context);
  void Ended(grpc::ClientContext* context);

  const Options options_;
  std::shared_ptr<grpc::Channel> channel_;

  Mutex mu_;
  CondVar changed_;
  std::unordered_set<grpc::ClientContext*> running_ IM_GUARDED_BY(mu_);
};

// The deadline and the metadata of a call with this token.
void AddToken(grpc::ClientContext* context, const std::string& token);

}  // namespace im::client
