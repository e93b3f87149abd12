#include "gateway/address.h"

#include <arpa/inet.h>

#include <cstring>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace im::gateway {
namespace {

using Bytes = std::array<uint8_t, 16>;

bool IsIpv4(const std::string& text) {
  in_addr address;
  return inet_pton(AF_INET, text.c_str(), &address) == 1;
}

std::optional<Bytes> ParseIp(const std::string& text) {
  Bytes bytes{};
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (inet_pton(AF_INET, text.c_str(), bytes.data() + 12) == 1) return bytes;
  return std::nullopt;
}

bool SamePrefix(const Bytes& a, const Bytes& b, int bits) {
  const int whole = bits / 8;
  if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
  const int rest = bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff << (8 - rest));
  return (a[whole] & mask) == (b[whole] & mask);
}

}  // namespace

std::string AddressOfPeer(std::string_view peer) {
  if (peer.substr(0, 5) == "unix:") return "unix";
  if (peer.substr(0, 5) != "ipv4:" && peer.substr(0, 5) != "ipv6:") return std::string(peer);
  const size_t port = peer.rfind(':');
  std::string address(peer.substr(5, port - 5));
  absl::StrReplaceAll({{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}, {"%25", "%"}}, &address);
  // A link-local address names its interface: not part of who it is.
  address = address.substr(0, address.find('%'));
  const auto bytes = ParseIp(address);
  constexpr std::string_view kMapped = "::ffff:";
  if (bytes && address.rfind(kMapped, 0) == 0 && IsIpv4(address.substr(kMapped.size()))) {
    return address.substr(kMapped.size());
  }
  return address;
}

std::string AddressKey(const std::string& address) {
  const auto bytes = ParseIp(address);
  if (!bytes || IsIpv4(address)) return address;
  return std::string(reinterpret_cast<const char*>(bytes->data()), 8);
}

absl::StatusOr<AddressSet> AddressSet::Parse(std::string_view list) {
  AddressSet set;
  for (absl::string_view part :
       absl::StrSplit(absl::string_view(list.data(), list.size()), ',', absl::SkipWhitespace())) {
    part = absl::StripAsciiWhitespace(part);
    if (part == "none") continue;
    if (part == "unix") {
      set.unix_ = true;
      continue;
    }
    const std::pair<std::string, std::string> halves =
        absl::StrSplit(part, absl::MaxSplits('/', 1));
    const auto bytes = ParseIp(halves.first);
    const int offset = IsIpv4(halves.first) ? 96 : 0;
    int bits = 128 - offset;
    if (!bytes || (part.find('/') != absl::string_view::npos &&
                   (!absl::SimpleAtoi(halves.second, &bits) || bits < 0 || bits > 128 - offset))) {
      return absl::InvalidArgumentError(
          absl::StrCat("not a block of addresses like 10.0.0.0/8, nor \"unix\": ", part));
    }
    set.blocks_.push_back({*bytes, bits + offset});
  }
  return set;
}

bool AddressSet::Contains(const std::string& address) const {
  if (address == "unix") return unix_;
  const auto bytes = ParseIp(address);
  if (!bytes) return false;
  for (const Block& block : blocks_) {
    if (SamePrefix(*bytes, block.bytes, block.bits)) return true;
  }
  return false;
}

}  // namespace im::gateway
