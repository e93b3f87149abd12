#include "tests/gateway/any_service.h"

#include <gtest/gtest.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace im::gateway {

class AnyService::Call : public grpc::ServerGenericBidiReactor {
 public:
  Call(AnyService* service, grpc::GenericCallbackServerContext* context)
      : service_(service), context_(context), method_(context->method()) {
    for (const auto& [name, value] : context->client_metadata()) {
      const std::string text(value.data(), value.size());
      if (name == "x-echo") context->AddInitialMetadata("x-echo", text);
      if (name == "x-echo-bin") context->AddTrailingMetadata("x-echo-bin", text);
    }
  }

  // Once it is known to the service.
  void Begin() {
    if (Is("Refuse")) {
      Finish(grpc::Status(grpc::StatusCode::ABORTED, "50 % of \n\xc3\xa9", "\x01\xff"));
    } else if (Is("Flood")) {
      StartSendInitialMetadata();
      Flood();
    } else if (Is("EarlyHeaders")) {
      StartSendInitialMetadata();
      StartRead(&in_);
    } else if (Is("Echo") || service_->Hears()) {
      StartRead(&in_);
    }
  }
  void Hear() {
    if (Is("Deaf")) StartRead(&in_);
  }
  void Cancel() { context_->TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    service_->bytes_read += in_.Length();
    if (!Is("Echo")) return StartRead(&in_);
    out_ = in_;
    StartWrite(&out_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    service_->bytes_written += out_.Length();
    if (Is("Flood")) return Flood();
    StartRead(&in_);
  }
  void OnCancel() override {
    ++service_->cancelled;
    // Nothing else would end it.
    if (Is("Deaf") && !service_->Hears()) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override {
    service_->Ended(this);
    delete this;
  }

 private:
  bool Is(const char* name) const { return absl::EndsWith(method_, absl::StrCat("/", name)); }
  void Flood() {
    grpc::Slice slice(std::string(kFloodBytes, 'x'));
    out_ = grpc::ByteBuffer(&slice, 1);
    StartWrite(&out_);
  }

  AnyService* const service_;
  grpc::GenericCallbackServerContext* const context_;
  const std::string method_;
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
};

AnyService::AnyService(const std::string& address) : address_(address) {
  rpc::ServerConfig config;
  config.listen = {{.address = address}};
  config.generic = this;
  config.max_receive_bytes = 4 << 20;
  auto server = rpc::Server::Start(config);
  EXPECT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
}

AnyService::~AnyService() { server_->Shutdown(std::chrono::milliseconds(0)); }

bool AnyService::Hears() {
  MutexLock lock(&mu_);
  return hears_;
}

void AnyService::Hear() {
  MutexLock lock(&mu_);
  hears_ = true;
  for (Call* call : running_) call->Hear();
}

void AnyService::CancelAll() {
  MutexLock lock(&mu_);
  for (Call* call : running_) call->Cancel();
}

void AnyService::Ended(Call* call) {
  MutexLock lock(&mu_);
  running_.erase(call);
}

std::string AnyService::last_metadata() {
  MutexLock lock(&mu_);
  return metadata_;
}

std::chrono::system_clock::time_point AnyService::last_deadline() {
  MutexLock lock(&mu_);
  return deadline_;
}

grpc::ServerGenericBidiReactor* AnyService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  auto* const call = new Call(this, context);
  {
    MutexLock lock(&mu_);
    running_.insert(call);
    metadata_.clear();
    for (const auto& [name, value] : context->client_metadata()) {
      metadata_ += std::string(name.data(), name.size()) + "=" +
                   std::string(value.data(), value.size()) + ";";
    }
    deadline_ = context->deadline();
  }
  call->Begin();
  ++calls;
  return call;
}

}  // namespace im::gateway
