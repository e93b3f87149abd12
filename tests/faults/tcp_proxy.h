// A TCP proxy that mistreats what it passes on: cuts, silence, slowness, delay.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace im::faults {

// How the network is. The default: as if the proxy were not there.
struct Weather {
  // Connections stay open, what is sent is taken and thrown away, in both directions: half-open.
  bool swallow = false;
  // What each piece waits before it is passed on.
  std::chrono::milliseconds delay{0};
  // To each client, 0: as fast as it goes. Nothing is read from the server meanwhile, so that it
  // feels a slow reader.
  size_t bytes_per_second = 0;
  // Each connection is reset after a random number of bytes below this; 0: never.
  size_t cut_within_bytes = 0;
};

// One thread of its own; counts() may be called from any thread, the rest from one. Listens on
// loopback; the destructor cuts everything. As an operator's balancer does, it connects to the
// first of `targets` that takes the connection.
class TcpProxy {
 public:
  // `targets`: "HOST:PORT", numeric. `seed` decides where connections are cut.
  TcpProxy(std::vector<std::string> targets, uint64_t seed);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  // "127.0.0.1:PORT".
  const std::string& address() const;
  // For connections there are and new ones, from the return on. Those whose bytes were swallowed
  // are reset when it ends: what was lost cannot be made good.
  void SetWeather(const Weather& weather);
  // Resets every connection before it returns.
  void CutAll();

  struct Counts {
    int64_t connections = 0;
    int64_t cuts = 0;
    int64_t bytes = 0;      // passed on
    int64_t swallowed = 0;  // bytes
  };
  Counts counts() const;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace im::faults
