// A listening socket.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "gateway/http2/loop.h"

namespace im::gateway::http2 {

// Accepts on one loop. Made and destroyed while that loop does not run it.
class Listener : public Loop::Waiter {
 public:
  // Takes a connected descriptor and the client's address ("10.0.0.1", "::1", "unix").
  using Accepted = std::function<void(int fd, std::string address)>;

  // "unix:/path" or "HOST:PORT"; port 0: any free one.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(const std::string& address);
  ~Listener() override;

  // With the port filled in.
  const std::string& address() const { return address_; }
  // From now on, on `loop`.
  void Start(Loop* loop, Accepted accepted);
  // No more; on the loop, or when it has stopped.
  void Stop();
  void OnReady(uint32_t events) override;

 private:
  Listener(int fd, std::string address, std::string path);

  int fd_;
  std::string address_;
  std::string path_;  // of a unix socket
  // Given up for a moment to refuse a client when there are no descriptors left.
  int spare_;
  Loop* loop_ = nullptr;
  Accepted accepted_;
};

}  // namespace im::gateway::http2
