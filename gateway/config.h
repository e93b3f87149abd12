// The configuration of im-gateway.
#pragma once

#include <string>

#include "common/base/config.h"
#include "common/rpc/channel.h"
#include "gateway/gateway.h"
#include "gateway/http2/connection.h"

namespace im::gateway {

struct GatewayConfig {
  // Where clients come in. Either may be empty, not both.
  std::string listen;
  std::string tls_listen;
  std::string tls_certificate;
  std::string tls_key;
  int loops = 2;
  int drain_seconds = 10;

  // Comma-separated addresses.
  std::string auth;
  std::string chat;
  std::string presence;
  // Comma-separated PACKAGE=ADDRESS.
  std::string extra;
  rpc::ChannelTls upstream_tls;

  int heartbeat_seconds = 20;
  int hello_seconds = 10;
  int reconnect_jitter_seconds = 5;
  int connection_idle_seconds = 60;
  // What of it operators cannot set.
  http2::ConnectionOptions connection;
  int calls_per_connection = 100;
  size_t max_connections = 60'000;
  size_t connections_per_address = 10'000;
  SessionOptions session;
  LinkOptions link;
  LimitOptions limits;
  LoggingOptions logging;
  MetricsOptions metrics;
};

void AddOptions(Config* config, GatewayConfig* values);
// What the library takes; who authenticates is left to the caller.
GatewayOptions ToOptions(const GatewayConfig& values);

}  // namespace im::gateway
