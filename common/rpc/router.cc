#include "common/rpc/router.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/base/admission.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/random.h"
#include "common/rpc/bytes.h"
#include "common/rpc/status.h"

namespace im::rpc {

struct Router::Method {
  std::string name;
  Access access = Access::kUser;
  Blocking blocking;
  Workers* workers = nullptr;
  // Shared by the methods with the same workers.
  std::shared_ptr<Admission> admission;
  std::function<void(const Caller&, std::string, Answer)> raw;
  prometheus::Histogram* seconds = nullptr;
};

namespace {

auto& SecondsFamily() {
  static auto& family = HistogramFamily("im_rpc_seconds", "Time to answer a unary call.");
  return family;
}
auto& FailuresFamily() {
  static auto& family = CounterFamily("im_rpc_failures_total", "Unary calls that failed.");
  return family;
}

// Nobody waits longer than this for a worker; who would have to is told so at once.
constexpr std::chrono::milliseconds kLongestWait{2000};
// What has waited this long nevertheless is not begun.
constexpr std::chrono::milliseconds kStale{5000};

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

std::string FindMetadata(const grpc::GenericCallbackServerContext& context, const char* key) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return {};
  return std::string(found->second.data(), found->second.size());
}

}  // namespace

std::string_view BearerToken(std::string_view authorization) {
  constexpr std::string_view kBearer = "Bearer ";
  if (authorization.substr(0, kBearer.size()) != kBearer) return {};
  return authorization.substr(kBearer.size());
}

// One call: reads one message, has it handled, writes one message. Deletes itself in OnDone, which
// comes after Finish, which whoever answers calls exactly once.
class UnaryCall : public grpc::ServerGenericBidiReactor {
 public:
  UnaryCall(Router* router, const Router::Method* method,
            grpc::GenericCallbackServerContext* context)
      : router_(router),
        method_(method),
        context_(context),
        started_(std::chrono::steady_clock::now()) {
    caller_.request_id = FindMetadata(*context, kRequestIdKey);
    if (caller_.request_id.empty() || caller_.request_id.size() > 64) {
      caller_.request_id = RandomHex(8);
    }
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Answer(Error(Reason::MALFORMED_REQUEST, "the call carries no request"));
    caller_.deadline = context_->deadline();
    caller_.address = FindMetadata(*context_, kAddressKey);
    if (method_->access == Access::kUser) {
      const std::string authorization = FindMetadata(*context_, kAuthorizationKey);
      if (authorization.empty()) return Answer(Error(Reason::TOKEN_MISSING));
      const std::string_view token = BearerToken(authorization);
      absl::StatusOr<Identity> identity = router_->authenticate_(token);
      if (!identity.ok()) return Answer(identity.status());
      caller_.identity = *identity;
      caller_.access_token = std::string(token);
    }
    std::string bytes = ToString(request_);
    request_.Clear();
    if (method_->raw) {
      LogContext log_context(caller_.request_id);
      return method_->raw(caller_, std::move(bytes), [this](absl::StatusOr<std::string> answer) {
        Answer(std::move(answer));
      });
    }
    const size_t size = bytes.size();
    const absl::Status overloaded =
        Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::milliseconds(1000)});
    if (!method_->admission->Enter(size)) return Answer(overloaded);
    const bool queued = method_->workers->TrySubmit([this, size, bytes = std::move(bytes)] {
      LogContext log_context(caller_.request_id);
      const absl::Status worth = CheckWorth();
      if (!worth.ok()) {
        method_->admission->GiveUp(size);
        return Answer(worth);
      }
      method_->admission->Leave(size);
      Answer(method_->blocking(caller_, bytes));
    });
    if (!queued) {
      method_->admission->GiveUp(size);
      Answer(overloaded);
    }
  }

  void OnCancel() override { cancelled_.store(true); }
  void OnDone() override { delete this; }

 private:
  // Whether it is still to be done.
  absl::Status CheckWorth() const {
    if (cancelled_.load()) return Error(Reason::CANCELLED);
    // Too many were let in before it was known how long each takes.
    if (std::chrono::steady_clock::now() - started_ > kStale) {
      return Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::seconds(1)});
    }
    // Its client may not have had time to cancel.
    if (caller_.deadline < std::chrono::system_clock::now()) {
      return Error(Reason::DEADLINE_EXCEEDED);
    }
    return absl::OkStatus();
  }
  void Answer(absl::StatusOr<std::string> answer) {
    LogContext log_context(caller_.request_id);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
    method_->seconds->Observe(elapsed.count());
    if (answer.ok()) {
      Log(LogLevel::kInfo, "rpc",
          {{"method", method_->name}, {"user", caller_.user_id()}, {"ms", elapsed.count() * 1e3}});
      response_ = ToByteBuffer(*answer);
      StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
      return;
    }
    const grpc::Status status = ToGrpc(answer.status());
    const std::string reason =
        std::string(ReasonName(ReasonOf(answer.status()).value_or(Reason::INTERNAL)));
    FailuresFamily().Add({{"method", method_->name}, {"reason", reason}}).Increment();
    Log(LogLevel::kInfo, "rpc",
        {{"method", method_->name},
         {"user", caller_.user_id()},
         {"ms", elapsed.count() * 1e3},
         {"reason", reason}});
    Finish(status);
  }

  Router* const router_;
  const Router::Method* const method_;
  grpc::GenericCallbackServerContext* const context_;
  const std::chrono::steady_clock::time_point started_;
  Caller caller_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::atomic<bool> cancelled_{false};
};

namespace {

class RefusedCall : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedCall(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

Router::Router(Authenticate authenticate, Workers* workers)
    : authenticate_(std::move(authenticate)), workers_(workers) {}
Router::~Router() = default;

void Router::Check(const std::string& method, const google::protobuf::Descriptor* request,
                   const google::protobuf::Descriptor* response) {
  std::string name = method;
  for (char& c : name) {
    if (c == '/') c = '.';
  }
  const auto* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
  if (descriptor == nullptr || descriptor->input_type() != request ||
      descriptor->output_type() != response) {
    Die(absl::StrCat("handler does not fit the proto: ", method));
  }
}

absl::Status Router::Malformed(const google::protobuf::Message& request) {
  return Error(Reason::MALFORMED_REQUEST,
               absl::StrCat("not a ", request.GetTypeName(), ", or a text in it is not UTF-8"));
}

void Router::AddBlocking(const std::string& method, Access access, Workers* workers,
                         Blocking handler) {
  auto entry = std::make_unique<Method>();
  entry->name = method;
  entry->access = access;
  entry->blocking = std::move(handler);
  entry->workers = workers;
  for (const auto& [path, other] : methods_) {
    if (other->workers == workers) entry->admission = other->admission;
  }
  if (entry->admission == nullptr) entry->admission = std::make_shared<Admission>(kLongestWait);
  entry->seconds = &SecondsFamily().Add({{"method", method}}, LatencyBuckets());
  methods_["/" + method] = std::move(entry);
}

void Router::UnaryRaw(const std::string& method, Access access,
                      std::function<void(const Caller&, std::string, Answer)> handler) {
  auto entry = std::make_unique<Method>();
  entry->name = method;
  entry->access = access;
  entry->raw = std::move(handler);
  entry->seconds = &SecondsFamily().Add({{"method", method}}, LatencyBuckets());
  methods_["/" + method] = std::move(entry);
}

void Router::Serve(const std::vector<std::string>& services) {
  services_ = services;
  for (const std::string& service : services) {
    const auto* descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service);
    if (descriptor == nullptr) Die("no such service: " + service);
    for (int i = 0; i < descriptor->method_count(); ++i) {
      const std::string path = absl::StrCat("/", service, "/", descriptor->method(i)->name());
      if (methods_.count(path) == 0) Die("no handler for " + path);
    }
  }
}

grpc::ServerGenericBidiReactor* Router::CreateReactor(grpc::GenericCallbackServerContext* context) {
  const auto found = methods_.find(context->method());
  if (found == methods_.end()) {
    return new RefusedCall(Error(Reason::UNKNOWN_METHOD, "no method " + context->method()));
  }
  return new UnaryCall(this, found->second.get(), context);
}

}  // namespace im::rpc
