#include "tests/gateway/device.h"

#include <gtest/gtest.h>

#include "common/rpc/bytes.h"
#include "common/rpc/call.h"
#include "common/rpc/status.h"

namespace im::gateway {

using std::chrono::steady_clock;

Device::Device(const std::shared_ptr<grpc::Channel>& channel, const std::string& token,
               const std::string& method)
    : stub_(std::make_unique<grpc::GenericStub>(channel)) {
  if (!token.empty()) context_.AddMetadata(rpc::kAuthorizationKey, "Bearer " + token);
  context_.set_wait_for_ready(true);
  const std::string path =
      method.front() == '/' ? method : "/im.gateway.v1.GatewayService/" + method;
  stub_->PrepareBidiStreamingCall(&context_, path, grpc::StubOptions(), this);
  AddHold();
  StartCall();
}

Device::~Device() {
  context_.TryCancel();
  if (held_) RemoveHold();
  MutexLock lock(&mu_);
  while (!done_) changed_.Wait(&mu_);
}

void Device::SendBytes(const std::string& bytes) {
  const auto until = steady_clock::now() + kPatience;
  {
    MutexLock lock(&mu_);
    if (!read_ok_) return;
    writing_ = true;
    out_ = rpc::ToByteBuffer(bytes);
  }
  StartWrite(&out_);
  MutexLock lock(&mu_);
  while (writing_) {
    if (!changed_.WaitUntil(&mu_, until)) {
      ADD_FAILURE() << "a frame could not be written";
      return;
    }
  }
}

void Device::Hello(const std::string& have) {
  v1::ConnectRequest frame;
  EXPECT_TRUE(frame.mutable_hello()->mutable_have()->ParseFromString(have));
  Send(frame);
}

void Device::SendMessage(uint64_t call_id, int64_t conversation, const std::string& request_id) {
  v1::ConnectRequest frame;
  frame.set_call_id(call_id);
  frame.mutable_send_message()->set_conversation_id(conversation);
  frame.mutable_send_message()->set_request_id(request_id);
  Send(frame);
}

std::optional<std::string> Device::NextBytes() {
  const auto until = steady_clock::now() + kPatience;
  {
    MutexLock lock(&mu_);
    if (!read_ok_) return std::nullopt;
    reading_ = true;
  }
  StartRead(&in_);
  MutexLock lock(&mu_);
  while (reading_) {
    if (!changed_.WaitUntil(&mu_, until)) {
      ADD_FAILURE() << "no frame came";
      context_.TryCancel();
      while (reading_) changed_.Wait(&mu_);
      return std::nullopt;
    }
  }
  if (!read_ok_) return std::nullopt;
  return rpc::ToString(in_);
}

v1::ServerFrame Device::Next() {
  while (true) {
    const auto bytes = NextBytes();
    if (!bytes) return {};
    v1::ConnectResponse response;
    EXPECT_TRUE(response.ParseFromString(*bytes));
    if (!response.frame().has_heartbeat()) return response.frame();
  }
}

v1::ServerFrame Device::NextOf(v1::ServerFrame::FrameCase kind) {
  while (true) {
    v1::ServerFrame frame = Next();
    if (frame.frame_case() == kind) return frame;
    if (frame.frame_case() == v1::ServerFrame::FRAME_NOT_SET) {
      ADD_FAILURE() << "the stream ended before a frame of kind " << kind;
      return frame;
    }
  }
}

absl::Status Device::End() {
  while (NextBytes()) {
  }
  if (held_) RemoveHold();
  held_ = false;
  MutexLock lock(&mu_);
  while (!done_) changed_.Wait(&mu_);
  return rpc::FromGrpc(status_);
}

void Device::OnReadDone(bool ok) {
  MutexLock lock(&mu_);
  reading_ = false;
  if (!ok) read_ok_ = false;
  changed_.NotifyAll();
}

void Device::OnWriteDone(bool) {
  MutexLock lock(&mu_);
  writing_ = false;
  changed_.NotifyAll();
}

void Device::OnDone(const grpc::Status& status) {
  MutexLock lock(&mu_);
  status_ = status;
  done_ = true;
  changed_.NotifyAll();
}

}  // namespace im::gateway
