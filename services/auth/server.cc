#include "services/auth/server.h"

#include <algorithm>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"

namespace im::auth {
namespace {

using std::chrono::steady_clock;

// A device that another instance ended is refused everywhere within a second.
constexpr std::chrono::milliseconds kPollInterval{300};
constexpr std::chrono::seconds kKeyReloadInterval{60};
constexpr std::chrono::minutes kCleaningInterval{10};

// Of calls that wait for a worker; a worker waits for the database only.
constexpr size_t kWorkerQueue = 1000;

// A hash keeps a core busy for a tenth of a second, for which messages shall not wait.
constexpr int kPasswordNiceness = 5;

std::chrono::seconds RevocationWindow(const TokenLives& lives) {
  return std::max<std::chrono::seconds>(lives.access, std::chrono::minutes(15)) +
         std::chrono::minutes(1);
}

prometheus::Gauge& PasswordQueueGauge() {
  static auto& gauge =
      GaugeFamily("im_auth_password_queue", "Calls that wait for a hashing thread.").Add({});
  return gauge;
}

}  // namespace

Server::Server(const ServerOptions& options, std::unique_ptr<PasswordHasher> hasher)
    : options_(options),
      pool_({.url = options.database_url, .connections = options.database_connections}),
      hasher_(std::move(hasher)),
      nobody_(&pg_logins_, hasher_.get()),
      verifier_({.clock = options.clock}),
      keys_(&pg_keys_, &verifier_, options.clock),
      feed_(&pg_devices_, &verifier_, RevocationWindow(options.lives)),
      mint_(&keys_, options.lives, options.clock),
      logins_({.registration_open = options.registration_open, .clock = options.clock}, &pg_logins_,
              hasher_.get(), &nobody_, &mint_, &feed_),
      devices_(&pg_devices_, &mint_, &feed_, options.clock),
      profiles_(&pg_profiles_),
      password_workers_(options.passwords.threads, options.passwords.queue, kPasswordNiceness),
      workers_(options.database_connections, kWorkerQueue),
      router_([this](std::string_view token) { return Authenticate(token); }, &workers_),
      directory_(&feed_) {
  AddServices({.logins = &logins_,
               .devices = &devices_,
               .profiles = &profiles_,
               .keys = &keys_,
               .password_workers = &password_workers_},
              &router_);
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  IM_ASSIGN_OR_RETURN(std::unique_ptr<PasswordHasher> hasher,
                      PasswordHasher::Create(options.passwords.hashing));
  std::unique_ptr<Server> server(new Server(options, std::move(hasher)));
  server->background_ =
      std::make_unique<Ticker>(kPollInterval, [raw = server.get()] { raw->RunBackground(); });
  rpc::ServerConfig config;
  config.listen = {options.listen};
  config.generic = &server->router_;
  config.generic_services = server->router_.services();
  config.services = {&server->directory_};
  config.healthy = [raw = server.get()] { return raw->keys_.Ready().ok() && raw->pool_.Ping(); };
  IM_ASSIGN_OR_RETURN(server->server_, rpc::Server::Start(config));
  return server;
}

Server::~Server() { Shutdown(std::chrono::milliseconds(0)); }

void Server::Shutdown(std::chrono::milliseconds grace) {
  if (server_ == nullptr) return;
  server_->Drain();
  feed_.Close();
  server_->Shutdown(grace);
}

absl::StatusOr<rpc::Identity> Server::Authenticate(std::string_view access_token) {
  // The verifier would say that im-auth is away.
  IM_RETURN_IF_ERROR(keys_.Ready());
  return verifier_.Verify(access_token);
}

void Server::RunBackground() {
  PasswordQueueGauge().Set(static_cast<double>(password_workers_.QueueSize()));
  // Keys last: with them log-ins begin, and the verifier accepts tokens.
  if (!feed_.Poll().ok()) return;
  const auto now = steady_clock::now();
  if (now >= hashing_due_) {
    const absl::Status status = nobody_.Reload();
    if (!status.ok()) {
      Log(LogLevel::kWarning, "hashing_in_use_not_read", {{"what", Describe(status)}});
      return;
    }
    hashing_due_ = now + kCleaningInterval;
  }
  if (now >= keys_due_) {
    const absl::Status status = keys_.Reload();
    if (status.ok()) {
      keys_due_ = now + kKeyReloadInterval;
    } else {
      Log(LogLevel::kWarning, "signing_keys_not_read", {{"what", Describe(status)}});
    }
  }
  if (now >= cleaning_due_) {
    cleaning_due_ = now + kCleaningInterval;
    const absl::Status status = pg_logins_.RemoveOldFailures(options_.clock());
    if (!status.ok()) Log(LogLevel::kWarning, "cleaning_failed", {{"what", Describe(status)}});
  }
}

}  // namespace im::auth
