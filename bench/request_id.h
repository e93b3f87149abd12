// Request ids that say which message of a run they belong to.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace im::bench {

// 16 bytes: a mark and three numbers.
struct RequestNumber {
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;

  std::string ToId() const {
    std::string id(kMark);
    for (const uint32_t part : {a, b, c}) {
      id.append(reinterpret_cast<const char*>(&part), sizeof part);
    }
    return id;
  }
  // nullopt: none of ours.
  static std::optional<RequestNumber> FromId(std::string_view id) {
    if (id.size() != 16 || id.substr(0, kMark.size()) != kMark) return std::nullopt;
    RequestNumber number;
    std::memcpy(&number.a, id.data() + 4, 4);
    std::memcpy(&number.b, id.data() + 8, 4);
    std::memcpy(&number.c, id.data() + 12, 4);
    return number;
  }

 private:
  static constexpr std::string_view kMark = "ball";
};

}  // namespace im::bench
