// Network addresses of clients, and sets of them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace im::gateway {

// "ipv4:10.0.0.1:5000", "ipv6:%5B::1%5D:5000", "unix:..." (gRPC's names of peers) as "10.0.0.1",
// "::1", "unix". What is neither is returned as it is.
std::string AddressOfPeer(std::string_view peer);

// What limits count by: an IPv6 address stands for its /64, since that is what one customer has.
std::string AddressKey(const std::string& address);

// Blocks of addresses ("127.0.0.0/8, ::1/128") and the word "unix". Empty or "none": no address.
// (An environment variable that is empty counts as not set.) Immutable.
class AddressSet {
 public:
  static absl::StatusOr<AddressSet> Parse(std::string_view list);
  bool Contains(const std::string& address) const;

 private:
  struct Block {
    std::array<uint8_t, 16> bytes;  // IPv4 as ::ffff:a.b.c.d
    int bits;
  };
  std::vector<Block> blocks_;
  bool unix_ = false;
};

}  // namespace im::gateway
