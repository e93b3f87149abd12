#include "common/base/page_token.h"

#include <sodium.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "common/base/error.h"

namespace im {
namespace {

void Append(std::string* bytes, int64_t number) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes->push_back(static_cast<char>(static_cast<uint64_t>(number) >> shift));
  }
}

// What tells a token of this list from anything else.
std::string Mark(std::string_view list, std::string_view place) {
  static constexpr unsigned char kKey[crypto_shorthash_KEYBYTES] = {'i', 'm', '-', 'p',
                                                                    'a', 'g', 'e'};
  std::string text(list);
  text.push_back('\0');
  text.append(place);
  std::string mark(crypto_shorthash_BYTES, '\0');
  crypto_shorthash(reinterpret_cast<unsigned char*>(mark.data()),
                   reinterpret_cast<const unsigned char*>(text.data()), text.size(), kKey);
  return mark;
}

}  // namespace

absl::StatusOr<int> PageSize(int32_t requested, int usual, int most) {
  if (requested < 0) return InvalidField("page_size", "must not be negative");
  return requested == 0 ? usual : std::min(requested, most);
}

std::string MakePageToken(std::string_view list, const std::vector<int64_t>& place) {
  std::string bytes;
  for (const int64_t number : place) Append(&bytes, number);
  bytes += Mark(list, bytes);
  return absl::WebSafeBase64Escape(bytes);
}

absl::StatusOr<std::vector<int64_t>> ParsePageToken(std::string_view list, std::string_view token,
                                                    size_t numbers) {
  std::vector<int64_t> place;
  if (token.empty()) return place;
  std::string bytes;
  const size_t length = numbers * sizeof(int64_t);
  if (!absl::WebSafeBase64Unescape({token.data(), token.size()}, &bytes) ||
      bytes.size() != length + crypto_shorthash_BYTES ||
      bytes.substr(length) != Mark(list, bytes.substr(0, length))) {
    return Error(Reason::PAGE_TOKEN_INVALID);
  }
  for (size_t i = 0; i < length; i += sizeof(int64_t)) {
    uint64_t number = 0;
    for (size_t k = 0; k < sizeof number; ++k) {
      number = number << 8 | static_cast<uint8_t>(bytes[i + k]);
    }
    place.push_back(static_cast<int64_t>(number));
  }
  return place;
}

}  // namespace im
