#include "gateway/config.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/rpc/channel.h"

namespace im::gateway {
namespace {

std::string Described(Action action, Scope scope) {
  return absl::StrCat("Actions of kind ", absl::StrReplaceAll(ActionName(action), {{"_", " "}}),
                      " at once and again per minute for one ", ScopeName(scope), "; 0: no limit.");
}

// Log-ins, registrations and refreshes carry no token: only the address is known.
bool Applies(Action action, Scope scope) {
  if (scope == Scope::kAddress) return true;
  return action != Action::kRegister && action != Action::kRefresh;
}

}  // namespace

void AddOptions(Config* config, GatewayConfig* values) {
  config->Add("server.listen", &values->listen,
              "Plaintext address for clients, HOST:PORT on loopback or unix:/path; empty: none.");
  config->Add("server.tls_listen", &values->tls_listen,
              "TLS address for clients, HOST:PORT; empty: none.");
  config->Add("server.tls_certificate", &values->tls_certificate,
              "PEM file of the certificate (chain) shown at tls_listen.");
  config->Add("server.tls_key", &values->tls_key, "PEM file of its private key.");
  config
      ->Add("server.loops", &values->loops,
            "Threads that hold the clients' connections; one per core that the gateway may use up.")
      ->check(CLI::Range(1, 256));
  config
      ->Add("server.drain_seconds", &values->drain_seconds,
            "At shutdown, how long clients get to take their leave.")
      ->check(CLI::Range(0, 600));
  config
      ->Add("upstreams.auth", &values->auth,
            "Addresses of im-auth, comma-separated: unix:/path or HOST:PORT.")
      ->required();
  config->Add("upstreams.chat", &values->chat, "Addresses of im-chat, one per instance.")
      ->required();
  config
      ->Add("upstreams.presence", &values->presence, "Addresses of im-presence, one per instance.")
      ->required();
  config->Add("upstreams.extra", &values->extra,
              "Services beside IM's own that clients may call: PACKAGE=ADDRESS, comma-separated.");
  rpc::AddUpstreamTlsOptions(config, &values->upstream_tls);
  config
      ->Add("session.heartbeat_seconds", &values->heartbeat_seconds,
            "How often both sides give a sign of life; three times this silent is dead.")
      ->check(CLI::Range(1, 3600));
  config
      ->Add("session.hello_seconds", &values->hello_seconds,
            "How long a new stream may take to say Hello.")
      ->check(CLI::Range(1, 600));
  config
      ->Add("session.reconnect_jitter_seconds", &values->reconnect_jitter_seconds,
            "Clients that are told to come back do so spread over this time.")
      ->check(CLI::Range(0, 600));
  config
      ->Add("limits.session_queue_bytes", &values->session.queue_bytes,
            "Bytes of events that may wait for one slow client.")
      ->check(CLI::Range(size_t{4096}, size_t{64} << 20));
  config
      ->Add("limits.max_frame_bytes", &values->session.max_frame_bytes,
            "Largest frame and unary request of a client.")
      ->check(CLI::Range(size_t{32} << 10, size_t{900} << 10));
  config
      ->Add("limits.streams_per_account", &values->session.streams_per_account,
            "Open streams of one account.")
      ->check(CLI::Range(size_t{1}, size_t{1} << 20));
  config->Add("limits.max_streams", &values->session.max_streams, "Open streams of this gateway.")
      ->check(CLI::Range(size_t{1}, size_t{10} << 20));
  config
      ->Add("limits.connection_idle_seconds", &values->connection_idle_seconds,
            "A client's connection without a call ends after this.")
      ->check(CLI::Range(1, 86'400));
  config
      ->Add("limits.max_connections", &values->max_connections,
            "Connections of clients; what is more is closed at once.")
      ->check(CLI::Range(size_t{1}, size_t{10} << 20));
  config
      ->Add("limits.connections_per_address", &values->connections_per_address,
            "Connections of one address that is not exempt; what is more is closed at once.")
      ->check(CLI::Range(size_t{1}, size_t{10} << 20));
  config
      ->Add("limits.calls_per_address", &values->connection.call.max_calls_of_address,
            "Streams and calls under way of one address that is not exempt.")
      ->check(CLI::Range(size_t{1}, size_t{10} << 20));
  config
      ->Add("limits.calls_per_connection", &values->calls_per_connection,
            "Streams and calls under way on one connection; the client keeps back what is more.")
      ->check(CLI::Range(1, 1'000'000));
  config
      ->Add("limits.link_queue_bytes", &values->link.queue_bytes,
            "Bytes that may wait for one instance of a service.")
      ->check(CLI::Range(size_t{1} << 20, size_t{1} << 30));
  config->Add(
      "limits.exempt", &values->limits.exempt,
      "Addresses without rate limits: blocks like 10.0.0.0/8, unix; comma-separated, or none.");
  config
      ->Add("limits.max_buckets", &values->limits.max_buckets,
            "Devices, accounts and addresses that rate limits remember, about 100 bytes each.")
      ->check(CLI::Range(size_t{1000}, size_t{100} << 20));
  for (int action = 0; action < kActions; ++action) {
    for (int scope = 0; scope < kScopes; ++scope) {
      const auto a = static_cast<Action>(action);
      const auto s = static_cast<Scope>(scope);
      if (!Applies(a, s)) continue;
      config
          ->Add(absl::StrCat("limits.", ActionName(a), "_per_minute_", ScopeName(s)),
                &values->limits.per_minute[action][scope], Described(a, s))
          ->check(CLI::Range(0, 100'000'000));
    }
  }
  AddLoggingOptions(config, &values->logging);
  AddMetricsOptions(config, &values->metrics);
}

GatewayOptions ToOptions(const GatewayConfig& values) {
  GatewayOptions options;
  options.upstreams = {rpc::ParseAddresses(values.auth), rpc::ParseAddresses(values.chat),
                       rpc::ParseAddresses(values.presence), values.extra};
  options.tls = values.upstream_tls;
  options.session = values.session;
  options.session.heartbeat = std::chrono::seconds(values.heartbeat_seconds);
  options.session.hello_timeout = std::chrono::seconds(values.hello_seconds);
  options.session.reconnect_jitter = std::chrono::seconds(values.reconnect_jitter_seconds);
  options.link = values.link;
  options.limits = values.limits;
  return options;
}

}  // namespace im::gateway
