#include "services/auth/password_hasher.h"

#include <sodium.h>

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/metrics.h"

namespace im::auth {
namespace {

prometheus::Counter& RunsCounter() {
  static auto& counter =
      CounterFamily("im_auth_password_hashes_total", "Argon2id hashes computed.").Add({});
  return counter;
}

absl::Status NoMemory() {
  return Error(Reason::OVERLOADED, "no memory to hash a password",
               {.retry_after = std::chrono::milliseconds(1000)});
}

constexpr size_t kDigestBytes = 32;

// What libsodium's text says: $argon2id$v=19$m=KIB,t=PASSES,p=1$SALT$DIGEST
struct Parts {
  unsigned long long passes = 0;
  size_t memory_bytes = 0;
  std::array<unsigned char, crypto_pwhash_SALTBYTES> salt{};
  std::array<unsigned char, kDigestBytes> digest{};
};

template <size_t size>
bool Decode(const std::string& text, std::array<unsigned char, size>* bytes) {
  size_t length = 0;
  return sodium_base642bin(bytes->data(), size, text.data(), text.size(), nullptr, &length, nullptr,
                           sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
         length == size;
}

std::optional<Parts> Parse(const std::string& hash) {
  const std::vector<std::string> fields = absl::StrSplit(hash, '$');
  if (fields.size() != 6 || fields[1] != "argon2id" || fields[2] != "v=19") return std::nullopt;
  absl::string_view parameters = fields[3];
  if (!absl::ConsumePrefix(&parameters, "m=") || !absl::ConsumeSuffix(&parameters, ",p=1")) {
    return std::nullopt;
  }
  const std::pair<absl::string_view, absl::string_view> numbers =
      absl::StrSplit(parameters, absl::MaxSplits(",t=", 1));
  Parts parts;
  uint32_t memory_kib = 0;
  uint32_t passes = 0;
  if (!absl::SimpleAtoi(numbers.first, &memory_kib) || !absl::SimpleAtoi(numbers.second, &passes) ||
      !Decode(fields[4], &parts.salt) || !Decode(fields[5], &parts.digest)) {
    return std::nullopt;
  }
  parts.passes = passes;
  parts.memory_bytes = size_t{memory_kib} * 1024;
  return parts;
}

}  // namespace

std::string UnmatchedHash(const std::string& parameters) {
  // A salt and a digest of zeros, whose password would be hard to find.
  return absl::StrCat("$argon2id$v=19$", parameters, "$", std::string(22, 'A'), "$",
                      std::string(43, 'A'));
}

PasswordHasher::PasswordHasher(const HashingOptions& options)
    : passes_(options.passes), memory_bytes_(static_cast<size_t>(options.memory_kib) * 1024) {}

absl::StatusOr<std::unique_ptr<PasswordHasher>> PasswordHasher::Create(
    const HashingOptions& options) {
  std::unique_ptr<PasswordHasher> hasher(new PasswordHasher(options));
  // Whether the memory is there. One pass tells; all of them would be most of the start.
  PasswordHasher probe({.memory_kib = options.memory_kib, .passes = 1});
  IM_RETURN_IF_ERROR(probe.Hash("whether it works").status());
  return hasher;
}

absl::StatusOr<std::string> PasswordHasher::Hash(const std::string& password) {
  ++runs_;
  RunsCounter().Increment();
  char text[crypto_pwhash_STRBYTES] = {};
  if (crypto_pwhash_str(text, password.data(), password.size(), passes_, memory_bytes_) != 0) {
    return NoMemory();
  }
  return std::string(text);
}

absl::StatusOr<bool> PasswordHasher::Matches(const std::string& hash, const std::string& password) {
  ++runs_;
  RunsCounter().Increment();
  const std::optional<Parts> parts = Parse(hash);
  if (!parts) return false;
  // Not crypto_pwhash_str_verify, which calls a lack of memory a mismatch.
  std::array<unsigned char, kDigestBytes> digest{};
  if (crypto_pwhash(digest.data(), digest.size(), password.data(), password.size(),
                    parts->salt.data(), parts->passes, parts->memory_bytes,
                    crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return NoMemory();
  }
  return sodium_memcmp(digest.data(), parts->digest.data(), digest.size()) == 0;
}

std::string PasswordHasher::parameters() const {
  return absl::StrCat("m=", memory_bytes_ / 1024, ",t=", passes_, ",p=1");
}

bool PasswordHasher::IsOutdated(const std::string& hash) const {
  return crypto_pwhash_str_needs_rehash(hash.c_str(), passes_, memory_bytes_) != 0;
}

}  // namespace im::auth
