#include "common/base/random.h"

#include <sodium.h>

namespace im {

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  randombytes_buf(bytes.data(), bytes.size());
  return bytes;
}

std::string RandomHex(size_t bytes) {
  const std::string raw = RandomBytes(bytes);
  std::string hex(bytes * 2 + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), reinterpret_cast<const unsigned char*>(raw.data()), bytes);
  hex.pop_back();
  return hex;
}

uint64_t RandomNumber() {
  uint64_t number = 0;
  randombytes_buf(&number, sizeof number);
  return number;
}

uint32_t RandomBelow(uint32_t bound) { return randombytes_uniform(bound); }

}  // namespace im
