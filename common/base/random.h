// Random bytes and numbers from the system's secure source. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace im {

std::string RandomBytes(size_t count);
// As lower-case hexadecimal digits, two a byte.
std::string RandomHex(size_t bytes);
uint64_t RandomNumber();
// Uniform in [0, bound); bound > 0.
uint32_t RandomBelow(uint32_t bound);

}  // namespace im
