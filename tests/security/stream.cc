#include "tests/security/stream.h"

#include <chrono>

#include "common/base/error.h"
#include "common/rpc/bytes.h"
#include "common/rpc/status.h"

namespace im::testing {
namespace {

using gateway::v1::ServerFrame;

// What a client is told on a unary call at that moment.
absl::Status StatusOfEnd(const gateway::v1::SessionEnd& end) {
  switch (end.reason()) {
    case gateway::v1::SESSION_END_REASON_DEVICE_REVOKED:
      return Error(Reason::DEVICE_REVOKED);
    case gateway::v1::SESSION_END_REASON_TOKEN_EXPIRED:
      return Error(Reason::TOKEN_EXPIRED);
    default:
      return absl::AbortedError(end.ShortDebugString());
  }
}

}  // namespace

Stream::Stream(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
               const std::string& token, const std::string& first)
    : stub_(std::make_unique<grpc::GenericStub>(channel)) {
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  if (!token.empty()) context_.AddMetadata("authorization", "Bearer " + token);
  call_ = stub_->PrepareCall(&context_, path, &queue_);
  call_->StartCall(this);
  if (Await(this)) Send(first);
}

Stream::~Stream() {
  if (!ended_) {
    context_.TryCancel();
    grpc::Status status;
    call_->Finish(&status, this);
    Await(this);
  }
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) continue;
}

bool Stream::Await(void* tag) {
  void* got = nullptr;
  bool ok = false;
  return queue_.Next(&got, &ok) && got == tag && ok;
}

void Stream::Send(const std::string& bytes) {
  call_->Write(rpc::ToByteBuffer(bytes), this);
  // One that failed is told by the next read.
  Await(this);
}

absl::StatusOr<ServerFrame> Stream::Next() {
  if (ended_) return absl::AbortedError("the stream ended before");
  grpc::ByteBuffer in;
  call_->Read(&in, this);
  if (!Await(this)) {
    ended_ = true;
    grpc::Status status;
    call_->Finish(&status, this);
    Await(this);
    if (status.ok()) return absl::AbortedError("the stream ended");
    return rpc::FromGrpc(status);
  }
  gateway::v1::ConnectResponse response;
  if (!response.ParseFromString(rpc::ToString(in))) return absl::DataLossError("not a frame");
  if (response.frame().has_session_end()) return StatusOfEnd(response.frame().session_end());
  return response.frame();
}

absl::StatusOr<std::string> Stream::ToCaughtUp() {
  std::string text;
  while (true) {
    IM_ASSIGN_OR_RETURN(const ServerFrame frame, Next());
    text += frame.Utf8DebugString();
    if (frame.has_caught_up()) return text;
  }
}

absl::StatusOr<std::string> Stream::ToAnswer(uint64_t call_id) {
  while (true) {
    IM_ASSIGN_OR_RETURN(const ServerFrame frame, Next());
    if (frame.answer().call_id() != call_id) continue;
    if (!frame.answer().has_failure()) return frame.Utf8DebugString();
    const auto& failure = frame.answer().failure();
    const auto reason = ParseReason(failure.reason());
    if (!reason) return absl::UnknownError(failure.ShortDebugString());
    if (static_cast<int>(ReasonCode(*reason)) != failure.code()) {
      return absl::UnknownError("the reason's code is another: " + failure.ShortDebugString());
    }
    return Error(*reason, failure.message());
  }
}

}  // namespace im::testing
