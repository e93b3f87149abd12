// Argon2id hashes of passwords, with their parameters in them.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace im::auth {

struct HashingOptions {
  // 91 ms on one core of 2026's cheap servers.
  int memory_kib = 65536;
  int passes = 3;
};

// A hash with these parameters that no password matches; to try takes as long as with any other.
std::string UnmatchedHash(const std::string& parameters);

// Thread-safe. Each call takes memory_kib and a core for as long as it lasts, so whoever calls it
// bounds how many run at once.
class PasswordHasher {
 public:
  // Fails if the memory is not there, or the parameters are none of Argon2id.
  static absl::StatusOr<std::unique_ptr<PasswordHasher>> Create(const HashingOptions& options);

  // Fails with OVERLOADED if there is no memory.
  absl::StatusOr<std::string> Hash(const std::string& password);
  // A hash that cannot be read matches nothing. Fails with OVERLOADED if there is no memory. (Linux
  // rather ends the process, unless it is limited.)
  absl::StatusOr<bool> Matches(const std::string& hash, const std::string& password);
  // Whether the hash was made with other parameters than those of now.
  bool IsOutdated(const std::string& hash) const;

  // Those of new hashes, as they stand in them: "m=65536,t=3,p=1".
  std::string parameters() const;

  // How often Argon2 ran.
  uint64_t runs() const { return runs_.load(); }

 private:
  explicit PasswordHasher(const HashingOptions& options);

  const unsigned long long passes_;
  const size_t memory_bytes_;
  std::atomic<uint64_t> runs_{0};
};

}  // namespace im::auth
