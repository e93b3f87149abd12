// A gateway on TCP for clients that mean harm, and what it counts.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <string>

#include "common/base/metrics.h"
#include "tests/gateway/fixture.h"
#include "tests/gateway/peer.h"

namespace im::gateway {

inline double CounterNow(const char* name, const std::map<std::string, std::string>& labels = {}) {
  return CounterFamily(name, "").Add(labels).Value();
}
inline double GaugeNow(const char* name) { return GaugeFamily(name, "").Add({}).Value(); }
inline constexpr char kMisbehaved[] = "im_gateway_connections_misbehaved_total";
inline constexpr char kCut[] = "im_gateway_connections_cut_total";
inline constexpr char kRefused[] = "im_gateway_connections_refused_total";
inline constexpr char kCallsRefused[] = "im_gateway_calls_refused_total";

class HostileTest : public GatewayTest {
 protected:
  HostileTest() { config_.listen = "127.0.0.1:0"; }
  void StartOnTcp() {
    Start();
    config_.listen = server_->addresses().front();
    tls_ = server_->addresses().back();
  }
  void UseTls() {
    config_.tls_certificate = dir_ + "/tls.crt";
    config_.tls_key = dir_ + "/tls.key";
    const std::string make =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
        "-nodes -days 2 -subj /CN=localhost -out " +
        config_.tls_certificate + " -keyout " + config_.tls_key + " 2>/dev/null";
    ASSERT_EQ(std::system(make.c_str()), 0);
    config_.tls_listen = "127.0.0.1:0";
  }
  void ExpectOthersServed() {
    auto alice = Connect("1:10");
    EXPECT_TRUE(alice->Next().has_welcome());
  }
  // Until the server hangs up on it.
  static void AwaitHangUp(int fd) {
    char bytes[4096];
    ssize_t count = 1;
    while (count > 0) count = recv(fd, bytes, sizeof bytes, 0);
    EXPECT_TRUE(count == 0 || errno == ECONNRESET) << errno;
  }

  std::string tls_;
};

}  // namespace im::gateway
