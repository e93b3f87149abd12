// What the fuzz targets share: a check that ends the process, and an input that is read piece by
// piece. A target asserts what must hold for any input, not only that nothing crashes.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace im::fuzz {

inline void Check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

inline std::string_view Bytes(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Reads numbers and pieces from the fuzzer's bytes; past the end all are zero and empty.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(Bytes(data, size)) {}

  bool empty() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }
  uint8_t Byte() { return static_cast<uint8_t>(Number(1)); }
  // Of so many bytes, the least significant first.
  uint64_t Number(size_t bytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < bytes && !rest_.empty(); ++i) {
      number |= uint64_t{static_cast<uint8_t>(rest_.front())} << (8 * i);
      rest_.remove_prefix(1);
    }
    return number;
  }
  int64_t Signed() { return static_cast<int64_t>(Number(8)); }
  // Two bytes say how long it is.
  std::string_view Piece() {
    const size_t length = Number(2);
    const std::string_view piece = rest_.substr(0, length);
    rest_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view rest_;
};

}  // namespace im::fuzz
