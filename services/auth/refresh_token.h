// Refresh tokens: 32 random bytes, of which the first 16 stay the same for all tokens of a device
// (its family) and the others are new with each (the secret). By the family a token is found that
// was used up, however long ago, without keeping every token. Only hashes are stored.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace im::auth {

class RefreshToken {
 public:
  static RefreshToken New();
  // nullopt: cannot be one of ours.
  static std::optional<RefreshToken> Parse(std::string_view text);
  // The next one of the same device.
  RefreshToken Next() const;

  // What the client gets: base64url.
  std::string Text() const;
  std::string FamilyHash() const;
  std::string SecretHash() const;

 private:
  RefreshToken(std::string family, std::string secret);

  std::string family_;
  std::string secret_;
};

}  // namespace im::auth
