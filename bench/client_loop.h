// The thread that carries the connections of load clients.
#pragma once

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/target.h"
#include "common/base/mutex.h"
#include "gateway/http2/socket.h"

namespace im::bench {

// epoll and one thread, whatever the number of connections: a receiver must cost less than what is
// measured. Post and IsHere may be called by any thread; the rest is the loop's own.
class ClientLoop {
 public:
  using Clock = std::chrono::steady_clock;
  class Connection {
   public:
    virtual ~Connection() = default;
    virtual void OnReady(uint32_t events) = 0;
    // Sends what has gathered.
    virtual void Flush() = 0;
    // About once a second.
    virtual void OnTick(Clock::time_point now) = 0;
  };

  static absl::StatusOr<std::unique_ptr<ClientLoop>> Open(const Target& target);
  // The connections must be gone.
  ~ClientLoop();
  ClientLoop(const ClientLoop&) = delete;
  ClientLoop& operator=(const ClientLoop&) = delete;

  // Calls `work` on the loop's thread, in the order posted.
  void Post(std::function<void()> work);
  // Posts, and waits until it is done; not from the loop's thread.
  void Do(const std::function<void()>& work);
  bool IsHere() const { return std::this_thread::get_id() == thread_.get_id(); }

  // A connection to the target that is on its way. The watch for input is set.
  absl::StatusOr<std::unique_ptr<gateway::http2::Socket>> Dial(Connection* connection);
  void WatchForRoom(int fd, Connection* connection, bool watch);
  void Forget(Connection* connection);
  // Flushes it before the loop waits again.
  void FlushSoon(Connection* connection) { dirty_.push_back(connection); }
  // Of the round that runs.
  Clock::time_point now() const { return now_; }
  const std::string& authority() const { return authority_; }
  bool tls() const { return tls_ != nullptr; }
  std::vector<uint8_t>& scratch() { return scratch_; }

 private:
  ClientLoop();
  absl::Status Resolve(const std::string& address);
  absl::Status TrustOnly(const std::string& ca_file);
  void KeepTlsSessions();
  void Thread();

  std::string authority_;
  sockaddr_storage address_{};
  socklen_t address_bytes_ = 0;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> tls_{nullptr, SSL_CTX_free};
  // Those of connections before, each for one more.
  std::vector<std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)>> tls_sessions_;
  const int epoll_;
  const int wake_;
  std::vector<uint8_t> scratch_;
  std::unordered_set<Connection*> connections_;
  std::vector<Connection*> dirty_;
  Clock::time_point now_;

  Mutex mu_;
  std::vector<std::function<void()>> posted_ IM_GUARDED_BY(mu_);
  bool awake_ IM_GUARDED_BY(mu_) = true;
  bool stopping_ IM_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace im::bench
