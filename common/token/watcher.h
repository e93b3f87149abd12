// Keeps a Verifier up to date: fetches im-auth's keys and follows its revocations.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "common/rpc/channel.h"
#include "common/token/verifier.h"
#include "im/auth/v1/accounts.pb.h"
#include "im/internal/v1/services.pb.h"

namespace im::token {

struct WatcherOptions {
  // Of im-auth; each is watched, keys are asked of any.
  std::vector<std::string> addresses;
  rpc::ChannelTls tls;
  // Called once per device that was ended, after the verifier refuses it. On gRPC's threads: must
  // not block. Not called after the watcher's destructor returned.
  std::function<void(int64_t device_id)> on_revoked;
};

// Owns one thread, which starts calls; their answers come on gRPC's threads. The verifier gets its
// first keys only after the first list of revoked devices, so that it accepts no revoked one after
// a restart. When im-auth is away the verifier goes on with what it has. The verifier must outlive
// the watcher.
class Watcher {
 public:
  Watcher(WatcherOptions options, Verifier* verifier);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

 private:
  using Time = std::chrono::steady_clock::time_point;
  class Stream;
  struct KeyFetch;
  struct Upstream;

  void Run();
  void StartStream(Upstream* upstream);
  void StartKeyFetch();
  void OnRevocations(const internal::v1::WatchRevocationsResponse& response);
  void OnStreamEnded(Upstream* upstream, bool had_answers);
  void OnKeys(Upstream* upstream, KeyFetch* fetch, const grpc::Status& status);
  // When the thread has to do something next.
  Time NextDue() IM_REQUIRES(mu_);
  void GiveKeys(const std::vector<PublicKey>& keys);

  const WatcherOptions options_;
  Verifier* const verifier_;
  std::vector<std::unique_ptr<Upstream>> upstreams_;

  Mutex mu_;
  CondVar changed_;
  bool closing_ IM_GUARDED_BY(mu_) = false;
  bool revocations_known_ IM_GUARDED_BY(mu_) = false;
  // Fetched before revocations were known.
  std::vector<PublicKey> waiting_keys_ IM_GUARDED_BY(mu_);
  std::unique_ptr<KeyFetch> key_fetch_ IM_GUARDED_BY(mu_);
  size_t next_key_upstream_ IM_GUARDED_BY(mu_) = 0;
  Time keys_due_ IM_GUARDED_BY(mu_);
  Time keys_asked_at_ IM_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace im::token
