// Tells who an access token speaks for.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/mutex.h"
#include "common/rpc/call.h"
#include "common/token/es256.h"
#include "common/token/keys.h"
#include "common/token/token.h"

namespace im::token {

struct VerifierOptions {
  Clock clock = std::chrono::system_clock::now;
  // How many verified tokens are remembered (about 200 bytes each), the one used last longest: a
  // signature takes 100 us to verify, a remembered token 2 us.
  size_t remembered = 100000;
};

// Thread-safe; never blocks. Knows no keys at first (a Watcher or im-auth's own key ring brings
// them), and refuses everything with SERVICE_UNAVAILABLE until it has some.
class Verifier {
 public:
  explicit Verifier(VerifierOptions options = {});

  // Fails with TOKEN_INVALID, TOKEN_EXPIRED, DEVICE_REVOKED or SERVICE_UNAVAILABLE.
  absl::StatusOr<rpc::Identity> Verify(std::string_view access_token) IM_EXCLUDES(mu_);
  // Verify, for a Router. The verifier must outlive what it returns.
  rpc::Authenticate AsAuthenticate();

  // The keys from now on. Tokens of a key that is not among them are refused.
  void SetKeys(const std::vector<PublicKey>& keys) IM_EXCLUDES(mu_);

  // Whether there are any: until then nothing can be verified.
  bool HasKeys() const IM_EXCLUDES(mu_);

  // Refuses the tokens of a device from now on. Returns whether this was news.
  bool Revoke(int64_t device_id, std::chrono::system_clock::time_point at) IM_EXCLUDES(mu_);
  // Whoever registers a stream for a device asks this after it, else a revocation that came between
  // Verify and the registration is missed.
  bool IsRevoked(int64_t device_id) const IM_EXCLUDES(mu_);

  // Called when a token names a key that is not known, on the thread that verifies: must not block,
  // nor call the verifier. After SetUnknownKeyHandler returned, the former handler is not running.
  void SetUnknownKeyHandler(std::function<void()> handler) IM_EXCLUDES(handler_mu_);

 private:
  struct Key {
    std::string pem;
    std::shared_ptr<const Es256Key> parsed;
  };
  struct Remembered {
    std::string hash;
    rpc::Identity identity;
  };

  absl::StatusOr<rpc::Identity> Check(std::string_view access_token) IM_EXCLUDES(mu_);
  absl::Status StillGood(const rpc::Identity& identity) const IM_REQUIRES(mu_);
  void Remember(const std::string& hash, const rpc::Identity& identity) IM_REQUIRES(mu_);
  void ForgetOldRevocations() IM_REQUIRES(mu_);

  const VerifierOptions options_;

  mutable Mutex mu_;
  // By their ids.
  std::unordered_map<std::string, Key> keys_ IM_GUARDED_BY(mu_);
  // How often some of them went.
  uint64_t withdrawals_ IM_GUARDED_BY(mu_) = 0;
  // The one used last in front.
  std::list<Remembered> remembered_ IM_GUARDED_BY(mu_);
  std::unordered_map<std::string_view, std::list<Remembered>::iterator> remembered_by_hash_
      IM_GUARDED_BY(mu_);
  std::unordered_map<int64_t, std::chrono::system_clock::time_point> revoked_ IM_GUARDED_BY(mu_);
  std::chrono::system_clock::time_point revocations_cleaned_at_ IM_GUARDED_BY(mu_);

  Mutex handler_mu_;
  std::function<void()> unknown_key_handler_ IM_GUARDED_BY(handler_mu_);
};

}  // namespace im::token
