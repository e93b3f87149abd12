#include "gateway/extra.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/metrics.h"
#include "gateway/relay.h"
#include "gateway/route.h"

namespace im::gateway {
namespace {

// Calls at the same time; each holds up to a message of each direction.
constexpr int kMaxUnderWay = 5'000;
// What gRPC reads of a service before the client took it, for each call.
constexpr int kWindowBytes = 64 << 10;

prometheus::Family<prometheus::Counter>& CallsFamily() {
  static auto& family = CounterFamily("im_gateway_extra_calls_total",
                                      "Calls passed on to services of upstreams.extra.");
  return family;
}

}  // namespace

absl::StatusOr<ExtraPackages> ParseExtraPackages(const std::string& text) {
  ExtraPackages packages;
  for (const std::string& pair : rpc::ParseAddresses(text)) {
    const std::vector<std::string> parts = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("upstreams.extra: ", pair, " is not PACKAGE=ADDRESS"));
    }
    const std::string& package = parts[0];
    for (const char* own : {"im.", "grpc.health.", "grpc.reflection."}) {
      if (!absl::StartsWith(absl::StrCat(package, "."), own)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("upstreams.extra: ", package, " is the gateway's own"));
    }
    packages[package].push_back(parts[1]);
  }
  return packages;
}

Extra::Extra(const ExtraPackages& packages, const rpc::ChannelTls& tls, size_t max_message_bytes) {
  const rpc::ChannelLimits limits{.window_bytes = kWindowBytes,
                                  .max_receive_bytes = static_cast<int>(max_message_bytes)};
  for (const auto& [package, addresses] : packages) {
    for (const std::string& address : addresses) {
      auto channel = rpc::Connect(address, tls, limits);
      auto stub = std::make_unique<grpc::GenericStub>(channel);
      packages_[package].push_back({std::move(channel), std::move(stub)});
    }
  }
}

grpc::GenericStub* Extra::Pick(const std::string& package) {
  const std::vector<Instance>& instances = packages_.at(package);
  const size_t first = next_.fetch_add(1);
  for (size_t i = 0; i < instances.size(); ++i) {
    const Instance& instance = instances[(first + i) % instances.size()];
    if (instance.channel->GetState(true) == GRPC_CHANNEL_READY) return instance.stub.get();
  }
  return instances[first % instances.size()].stub.get();
}

absl::StatusOr<std::shared_ptr<SessionEvents>> Extra::Open(const CallInfo& call,
                                                           std::shared_ptr<Sink> sink) {
  const std::string package = PackageOf(call.path);
  if (under_way_->fetch_add(1) >= kMaxUnderWay) {
    under_way_->fetch_sub(1);
    return Error(Reason::OVERLOADED, {}, {.retry_after = std::chrono::milliseconds(1'000)});
  }
  const auto ended = [package, under_way = under_way_](const grpc::Status& status) {
    under_way->fetch_sub(1);
    CallsFamily()
        .Add({{"package", package}, {"code", absl::StrCat(static_cast<int>(status.error_code()))}})
        .Increment();
  };
  return Relay(call, Pick(package), std::move(sink),
               RelayOptions{.metadata = true, .ended = ended});
}

}  // namespace im::gateway
