#include "common/rpc/channel.h"

#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "common/base/config.h"
#include "common/rpc/reactions.h"

namespace im::rpc {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

void AddUpstreamTlsOptions(Config* config, ChannelTls* tls) {
  config->Add("upstreams.tls_ca", &tls->ca,
              "PEM file of the CA of services on other machines; empty: plaintext.");
  config->Add("upstreams.tls_certificate", &tls->certificate,
              "PEM file of the certificate shown to them.");
  config->Add("upstreams.tls_key", &tls->key, "PEM file of its private key.");
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address, const ChannelTls& tls,
                                       const ChannelLimits& limits) {
  KeepReactionThreads();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  // How long connecting may take, in spite of the name.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  // Each channel has its own connection, so that a link does not wait behind bulk calls.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(limits.max_receive_bytes);
  if (limits.window_bytes > 0) {
    // Else gRPC measures the line, and takes in megabytes of a call that nobody reads.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, limits.window_bytes);
  }
  if (address.rfind("unix:", 0) == 0) arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!tls.ca.empty() || !tls.certificate.empty()) {
    grpc::SslCredentialsOptions options;
    if (!tls.ca.empty()) options.pem_root_certs = ReadAll(tls.ca);
    if (!tls.certificate.empty()) {
      options.pem_cert_chain = ReadAll(tls.certificate);
      options.pem_private_key = ReadAll(tls.key);
    }
    credentials = grpc::SslCredentials(options);
  }
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

std::vector<std::string> ParseAddresses(const std::string& list) {
  std::vector<std::string> addresses;
  for (absl::string_view part : absl::StrSplit(list, ',')) {
    part = absl::StripAsciiWhitespace(part);
    if (!part.empty()) addresses.emplace_back(part);
  }
  return addresses;
}

}  // namespace im::rpc
