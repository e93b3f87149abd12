// im-gateway: the one door of clients.
#include <iostream>
#include <memory>

#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/process.h"
#include "common/rpc/server.h"
#include "common/token/verifier.h"
#include "common/token/watcher.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/serve.h"

namespace im::gateway {
namespace {

int Refuse(const absl::Status& status) {
  std::cerr << "im-gateway: " << status.message() << "\n";
  return 1;
}

int Main(int argc, char** argv) {
  InitProcess();
  GatewayConfig values;
  Config config("im-gateway", "Clients' streams and calls, passed on to the services.");
  AddOptions(&config, &values);
  if (const auto exit_code = config.Parse(argc, argv)) return *exit_code;
  InitLog(values.logging, "gateway");

  token::Verifier verifier;
  GatewayOptions options = ToOptions(values);
  options.authenticate = verifier.AsAuthenticate();
  options.has_keys = [&] { return verifier.HasKeys(); };
  options.is_revoked = [&](int64_t device_id) { return verifier.IsRevoked(device_id); };
  token::WatcherOptions watched{options.upstreams.auth, options.tls, nullptr};
  auto gateway = Gateway::Create(std::move(options));
  if (!gateway.ok()) return Refuse(gateway.status());
  Log(LogLevel::kInfo, "limits", {{"exempt", values.limits.exempt}});

  watched.on_revoked = [&](int64_t device_id) { (*gateway)->Revoke(device_id); };
  token::Watcher watcher(std::move(watched), &verifier);

  auto metrics = ServeMetrics(values.metrics.listen);
  if (!metrics.ok()) return Refuse(metrics.status());

  auto serving = Serving::Start(values, gateway->get());
  if (!serving.ok()) return Refuse(serving.status());
  for (const std::string& address : (*serving)->addresses()) {
    Log(LogLevel::kInfo, "listening", {{"address", address}});
  }

  const std::chrono::seconds drain(values.drain_seconds);
  WaitForShutdownSignal(drain + std::chrono::seconds(10));
  (*serving)->Drain();
  (*gateway)->Drain(drain);
  (*serving)->Shutdown(std::chrono::seconds(1));
  return 0;
}

}  // namespace
}  // namespace im::gateway

int main(int argc, char** argv) { return im::gateway::Main(argc, argv); }
