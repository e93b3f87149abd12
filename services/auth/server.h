// im-auth put together: everything between the configuration and the first call.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/workers.h"
#include "common/pg/pool.h"
#include "common/rpc/router.h"
#include "common/rpc/server.h"
#include "common/token/verifier.h"
#include "services/auth/devices.h"
#include "services/auth/key_ring.h"
#include "services/auth/logins.h"
#include "services/auth/nobody.h"
#include "services/auth/password_hasher.h"
#include "services/auth/profiles.h"
#include "services/auth/revocation_feed.h"
#include "services/auth/services.h"
#include "services/auth/token_mint.h"

namespace im::auth {

struct PasswordOptions {
  HashingOptions hashing;
  // Each takes HashingOptions.memory_kib and a core.
  int threads = 2;
  // Calls that wait for a thread; more are refused as OVERLOADED.
  int queue = 256;
};

struct ServerOptions {
  rpc::Listen listen;
  std::string database_url;
  int database_connections = 8;
  bool registration_open = true;
  TokenLives lives;
  PasswordOptions passwords;
  token::Clock clock = std::chrono::system_clock::now;
};

// Starts whether the database is there or not; until it is, health says NOT_SERVING and calls fail
// with DATABASE_UNAVAILABLE. Thread-safe.
class Server {
 public:
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options);
  // Shutdown, with no time for running calls.
  ~Server();

  const std::vector<std::string>& addresses() const { return server_->addresses(); }

  // Health says NOT_SERVING, streams end, running calls have `grace`.
  void Shutdown(std::chrono::milliseconds grace);

  // How often a password was hashed.
  uint64_t password_hashes() const { return hasher_->runs(); }

 private:
  Server(const ServerOptions& options, std::unique_ptr<PasswordHasher> hasher);

  absl::StatusOr<rpc::Identity> Authenticate(std::string_view access_token);
  void RunBackground();

  const ServerOptions options_;
  pg::Pool pool_;
  PgLogins pg_logins_{&pool_};
  PgDevices pg_devices_{&pool_};
  PgProfiles pg_profiles_{&pool_};
  PgKeys pg_keys_{&pool_};
  const std::unique_ptr<PasswordHasher> hasher_;
  Nobody nobody_;
  token::Verifier verifier_;
  KeyRing keys_;
  RevocationFeed feed_;
  TokenMint mint_;
  Logins logins_;
  Devices devices_;
  Profiles profiles_;
  Workers password_workers_;
  Workers workers_;
  rpc::Router router_;
  DirectoryService directory_;

  // Of the background thread only.
  std::chrono::steady_clock::time_point hashing_due_;
  std::chrono::steady_clock::time_point keys_due_;
  std::chrono::steady_clock::time_point cleaning_due_;

  // Last, so that they end first.
  std::unique_ptr<Ticker> background_;
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace im::auth
