// im-presence: who is online, and who may see it.
#include <iostream>

#include "absl/cleanup/cleanup.h"
#include "common/base/config.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/process.h"
#include "common/bus/link_server.h"
#include "common/pg/pool.h"
#include "common/rpc/channel.h"
#include "common/rpc/router.h"
#include "common/rpc/server.h"
#include "common/token/verifier.h"
#include "common/token/watcher.h"
#include "services/presence/presence_server.h"
#include "services/presence/unary.h"

namespace {

int Fail(const absl::Status& status) {
  std::cerr << "im-presence: " << status.message() << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  im::InitProcess();
  im::Config config("im-presence", "Who is online, and who may see it.");
  im::ServerOptions server_options;
  im::LoggingOptions logging;
  im::MetricsOptions metrics;
  im::pg::PoolOptions database;
  std::string auth;
  std::string chat;
  im::rpc::ChannelTls upstream_tls;
  im::AddServerOptions(&config, &server_options);
  config.Add("database.url", &database.url, "PostgreSQL connection URL.")->required();
  config.Add("database.connections", &database.connections, "Connections to the database.")
      ->check(CLI::Range(2, 100));
  config.Add("upstreams.auth", &auth, "Addresses of im-auth, comma separated.")->required();
  config.Add("upstreams.chat", &chat, "Addresses of all instances of im-chat, comma separated.")
      ->required();
  im::rpc::AddUpstreamTlsOptions(&config, &upstream_tls);
  im::AddLoggingOptions(&config, &logging);
  im::AddMetricsOptions(&config, &metrics);
  if (auto exit_code = config.Parse(argc, argv)) return *exit_code;
  im::InitLog(logging, "presence");

  auto exposer = im::ServeMetrics(metrics.listen);
  if (!exposer.ok()) return Fail(exposer.status());

  im::pg::Pool pool(database);
  im::token::Verifier verifier;
  im::token::Watcher watcher({.addresses = im::rpc::ParseAddresses(auth), .tls = upstream_tls},
                             &verifier);

  im::presence::PresenceServerOptions options;
  for (const std::string& address : im::rpc::ParseAddresses(chat)) {
    options.chat.push_back(im::rpc::Connect(address, upstream_tls));
  }
  if (options.chat.empty()) {
    return Fail(absl::InvalidArgumentError("[upstreams] chat names no address"));
  }
  im::presence::PresenceServer presence(options, &pool);
  im::bus::LinkServer links({.authenticate = verifier.AsAuthenticate(),
                             .ready = [&verifier] { return verifier.HasKeys(); },
                             .handler = &presence});
  presence.Start(&links);
  // However main ends: before `links`, which presence uses, and after the server, which uses it.
  const absl::Cleanup stop = [&presence] { presence.Stop(); };

  im::Workers workers(8, 1000);
  im::rpc::Router router(verifier.AsAuthenticate(), &workers);
  im::presence::AddPresenceService(&router, &presence);
  router.Serve({im::presence::kPresenceService});

  auto server = im::rpc::Server::Start({.listen = {im::rpc::ToListen(server_options)},
                                        .generic = &router,
                                        .generic_services = router.services(),
                                        .services = {&links},
                                        .healthy = [&presence] { return presence.Healthy(); }});
  if (!server.ok()) return Fail(server.status());
  im::Log(im::LogLevel::kInfo, "started", {{"listen", (*server)->addresses()[0]}});

  im::WaitForShutdownSignal();
  im::Log(im::LogLevel::kInfo, "stopping");
  (*server)->Drain();
  links.Shutdown();
  (*server)->Shutdown(std::chrono::seconds(3));
  return 0;
}
