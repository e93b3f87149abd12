#include "common/rpc/server.h"

#include <arpa/inet.h>
#include <grpc/grpc_security.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/service_type.h>
#include <sys/stat.h>

#include <mutex>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/rpc/certificate_files.h"
#include "common/rpc/library_logs.h"
#include "common/rpc/reactions.h"

namespace im::rpc {
namespace {

constexpr std::chrono::seconds kHealthPatience{3};
// When it is looked again until all is well for the first time, twice as late each time: whoever
// started it waits for that.
constexpr std::chrono::milliseconds kFirstLook{20};
constexpr std::chrono::milliseconds kLook{1000};

// Puts the name of a service that the generic one handles on reflection's list, which is made from
// registered methods: one that nobody calls.
class Announced : public grpc::Service {
 public:
  explicit Announced(const std::string& service) : method_("/" + service + "/-") {
    AddMethod(new grpc::internal::RpcServiceMethod(method_.c_str(),
                                                   grpc::internal::RpcMethod::NORMAL_RPC, nullptr));
    MarkMethodCallback(
        0,
        new grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
            [](grpc::CallbackServerContext* context, const grpc::ByteBuffer*, grpc::ByteBuffer*) {
              auto* reactor = context->DefaultReactor();
              reactor->Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""));
              return reactor;
            }));
  }

 private:
  const std::string method_;
};

// TLS with certificates that may be replaced. gRPC has the parts, but no C++ class of it: its own
// (FileWatcherCertificateProvider) drops the old certificate for a new one that is broken. Which
// versions and ciphers: gRPC's defaults, TLS 1.2 with AEAD and forward secrecy, and 1.3.
class ReloadingCredentials : public grpc::ServerCredentials {
 public:
  explicit ReloadingCredentials(std::shared_ptr<CertificateFiles> files, bool asks_for_certificates)
      : files_(std::move(files)), asks_(asks_for_certificates) {}

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    grpc_server_credentials* const credentials = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            asks_ ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                  : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            &ReloadingCredentials::Fetch, this));
    const int port = grpc_server_add_http2_port(server, address.c_str(), credentials);
    grpc_server_credentials_release(credentials);
    return port;
  }

  // At the start and before each handshake, one at a time.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto* const credentials = static_cast<ReloadingCredentials*>(self);
    CertificateFiles::Pem pem;
    if (!credentials->files_->TakeNewer(&credentials->seen_, &pem)) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    const grpc_ssl_pem_key_cert_pair pair = {pem.key.c_str(), pem.certificate.c_str()};
    // Callers that are not asked for a certificate have none to be compared with an authority, but
    // gRPC insists on some.
    const std::string& roots = credentials->asks_ ? pem.client_ca : pem.certificate;
    *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<CertificateFiles> files_;
  const bool asks_;
  uint64_t seen_ = 0;
};

// "unix:/run/x" or "unix:///run/x".
std::string PathOf(const std::string& address) {
  const std::string path = address.substr(std::string("unix:").size());
  return absl::StartsWith(path, "//") ? path.substr(2) : path;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const Listen& listen) {
  const bool unix_socket = absl::StartsWith(listen.address, "unix:");
  if (unix_socket && listen.tls_certificate.empty()) return grpc::InsecureServerCredentials();
  // Some calls between services need no token, and others on this machine are strangers, too.
  if (!unix_socket &&
      (listen.tls_certificate.empty() || listen.tls_key.empty() || listen.tls_client_ca.empty())) {
    return absl::FailedPreconditionError(
        absl::StrCat("refusing to listen on ", listen.address,
                     " without mutual TLS. Set tls_certificate, tls_key and tls_client_ca, the CA "
                     "whose certificates the services and the gateway show, or listen on a unix "
                     "socket, unix:/path."));
  }
  IM_ASSIGN_OR_RETURN(
      std::shared_ptr<CertificateFiles> files,
      CertificateFiles::Load({listen.tls_certificate, listen.tls_key, listen.tls_client_ca}));
  return std::make_shared<ReloadingCredentials>(std::move(files), !listen.tls_client_ca.empty());
}

}  // namespace

Listen ToListen(const ServerOptions& options) {
  return {.address = options.listen,
          .tls_certificate = options.tls_certificate,
          .tls_key = options.tls_key,
          .tls_client_ca = options.tls_client_ca};
}

bool IsLocal(const std::string& address) {
  if (absl::StartsWith(address, "unix:") || absl::StartsWith(address, "localhost:") ||
      absl::StartsWith(address, "[::1]:")) {
    return true;
  }
  // An address, not a name that begins like one.
  in_addr ip{};
  return inet_pton(AF_INET, address.substr(0, address.rfind(':')).c_str(), &ip) == 1 &&
         (ntohl(ip.s_addr) >> 24) == 127;
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& config) {
  static std::once_flag once;
  std::call_once(once, [] {
    RouteLibraryLogs();
    KeepReactionThreads();
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
  std::unique_ptr<Server> server(new Server);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(config.max_receive_bytes);
  builder.SetMaxSendMessageSize(-1);
  // Pings of clients are welcome every ten seconds, also on connections without a call.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // A peer that vanished without a word.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20000);
  // Two processes on one port would share the connections between them.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  if (config.connection_idle.count() > 0) {
    const int idle_ms = static_cast<int>(config.connection_idle.count()) * 1000;
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, idle_ms);
    // One that does not even begin to speak HTTP/2.
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, idle_ms);
  }
  if (config.calls_per_connection > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, config.calls_per_connection);
  }

  std::vector<int> ports(config.listen.size(), 0);
  for (size_t i = 0; i < config.listen.size(); ++i) {
    const Listen& listen = config.listen[i];
    auto credentials = Credentials(listen);
    if (!credentials.ok()) return credentials.status();
    builder.AddListeningPort(listen.address, *credentials, &ports[i]);
    server->credentials_.push_back(*std::move(credentials));
  }
  if (config.generic != nullptr) builder.RegisterCallbackGenericService(config.generic);
  for (grpc::Service* service : config.services) builder.RegisterService(service);
  for (const std::string& name : config.generic_services) {
    server->announced_.push_back(std::make_unique<Announced>(name));
    builder.RegisterService(server->announced_.back().get());
  }
  server->server_ = builder.BuildAndStart();
  for (size_t i = 0; i < config.listen.size(); ++i) {
    std::string address = config.listen[i].address;
    if (server->server_ == nullptr || ports[i] == 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", address, ": is another process using it?"));
    }
    if (absl::EndsWith(address, ":0")) {
      address = absl::StrCat(address.substr(0, address.size() - 1), ports[i]);
    }
    // Some calls between services need no token: who runs them may call, whatever the umask.
    if (absl::StartsWith(address, "unix:") && chmod(PathOf(address).c_str(), 0600) != 0) {
      return absl::UnavailableError(absl::StrCat("cannot set the mode of ", address));
    }
    server->addresses_.push_back(std::move(address));
  }
  if (config.healthy) {
    auto* health = server->server_->GetHealthCheckService();
    health->SetServingStatus(false);
    server->checked_at_.store(std::chrono::steady_clock::now());
    const auto look = [raw = server.get(), health, healthy = config.healthy] {
      const bool well = healthy();
      raw->checked_at_.store(std::chrono::steady_clock::now());
      health->SetServingStatus(!raw->draining_.load() && well);
      return well;
    };
    server->health_ =
        std::make_unique<Ticker>(kLook, [raw = server.get(), look, next = kFirstLook]() mutable {
          for (; !look() && next < kLook && !raw->draining_.load(); next *= 2) {
            std::this_thread::sleep_for(next);
          }
          next = kLook;
        });
    // A check that hangs (a database that was stopped, say) is an answer, too.
    server->health_watch_ =
        std::make_unique<Ticker>(std::chrono::seconds(1), [raw = server.get(), health] {
          if (std::chrono::steady_clock::now() - raw->checked_at_.load() > kHealthPatience) {
            health->SetServingStatus(false);
          }
        });
  }
  return server;
}

Server::~Server() { Shutdown(std::chrono::milliseconds(0)); }

std::shared_ptr<grpc::Channel> Server::InProcessChannel() {
  return server_->InProcessChannel(grpc::ChannelArguments());
}

void Server::Drain() {
  draining_.store(true);
  if (health_ != nullptr) health_->Wake();
}

void Server::Shutdown(std::chrono::milliseconds grace) {
  if (server_ == nullptr) return;
  // Ends its first looks, too.
  draining_.store(true);
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
  // After the calls, for a check may hang.
  health_watch_.reset();
  health_.reset();
  server_.reset();
}

}  // namespace im::rpc
