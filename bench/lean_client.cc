#include "bench/lean_client.h"

#include <utility>

#include "common/rpc/status.h"

namespace im::bench {

using gateway::v1::ConnectRequest;
using gateway::v1::GatewayService;

LeanClient::LeanClient(std::shared_ptr<client::Channel> channel, const std::string& token,
                       Listener* listener)
    : channel_(std::move(channel)),
      stub_(GatewayService::NewStub(channel_->grpc())),
      listener_(listener) {
  client::AddToken(&context_, token);
  stub_->async()->Connect(&context_, this);
  // Held until no write can start any more.
  AddHold();
  StartRead(&response_);
  ConnectRequest hello;
  hello.mutable_hello()->mutable_have()->set_only_listed(true);
  Send(std::move(hello));
  StartCall();
}

LeanClient::~LeanClient() {
  context_.TryCancel();
  MutexLock lock(&mu_);
  while (!done_) changed_.Wait(&mu_);
}

void LeanClient::Send(ConnectRequest frame) {
  {
    MutexLock lock(&mu_);
    if (closed_) return;
    last_sent_ = std::chrono::steady_clock::now();
    if (writing_) {
      waiting_.push_back(std::move(frame));
      return;
    }
    writing_ = true;
    // Between here and StartWrite the stream must not end.
    AddHold();
  }
  writing_frame_ = std::move(frame);
  StartWrite(&writing_frame_);
  RemoveHold();
}

void LeanClient::SendHeartbeatAfter(std::chrono::milliseconds quiet) {
  {
    MutexLock lock(&mu_);
    if (std::chrono::steady_clock::now() - last_sent_ < quiet) return;
  }
  ConnectRequest frame;
  frame.mutable_heartbeat();
  Send(std::move(frame));
}

void LeanClient::OnReadDone(bool ok) {
  if (ok) {
    listener_->OnFrame(response_.frame());
    StartRead(&response_);
    return;
  }
  {
    MutexLock lock(&mu_);
    closed_ = true;
  }
  RemoveHold();
}

void LeanClient::OnWriteDone(bool ok) {
  {
    MutexLock lock(&mu_);
    if (!ok || closed_ || waiting_.empty()) {
      writing_ = false;
      return;
    }
    writing_frame_ = std::move(waiting_.front());
    waiting_.pop_front();
  }
  // A reaction is running, so the stream cannot end before this.
  StartWrite(&writing_frame_);
}

void LeanClient::OnDone(const grpc::Status& status) {
  listener_->OnClosed(rpc::FromGrpc(status));
  MutexLock lock(&mu_);
  done_ = true;
  changed_.NotifyAll();
}

}  // namespace im::bench
