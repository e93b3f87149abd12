#include "common/token/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <jwt.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <cstdlib>
#include <memory>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/token/es256.h"
#include "common/token/issuer.h"
#include "common/token/keys.h"
#include "common/token/verifier.h"
#include "tests/support/tokens.h"

namespace im::token {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::system_clock;
using ::testing::ElementsAre;
using ::testing::Optional;
using ::testing::SizeIs;

// A token as somebody else might make it.
class Forgery {
 public:
  Forgery() { jwt_new(&jwt_); }
  ~Forgery() { jwt_free(jwt_); }

  Forgery& Header(const char* name, const std::string& value) {
    jwt_add_header(jwt_, name, value.c_str());
    return *this;
  }
  Forgery& Text(const char* name, const char* value) {
    jwt_add_grant(jwt_, name, value);
    return *this;
  }
  Forgery& Number(const char* name, long value) {
    jwt_add_grant_int(jwt_, name, value);
    return *this;
  }
  Forgery& GoodClaims() {
    const auto later = system_clock::now() + minutes(5);
    return Text("iss", "im")
        .Text("sub", "7")
        .Number("device", 8)
        .Number("exp", system_clock::to_time_t(later));
  }
  std::string Sign(jwt_alg_t alg, const std::string& key) {
    jwt_set_alg(jwt_, alg, reinterpret_cast<const unsigned char*>(key.data()),
                static_cast<int>(key.size()));
    const std::unique_ptr<char, decltype(&std::free)> text(jwt_encode_str(jwt_), &std::free);
    return text == nullptr ? "" : text.get();
  }

 private:
  jwt_t* jwt_ = nullptr;
};

class VerifierTest : public ::testing::Test {
 protected:
  VerifierTest() { verifier_.SetKeys(*ParseJwks(Jwks({key_.jwk}))); }

  std::string Issue(int64_t user_id, int64_t device_id, seconds life = minutes(15)) {
    return *token::Issue(key_.id, key_.private_pem, {user_id, device_id, now_, now_ + life});
  }
  std::optional<Reason> Failure(const std::string& token) {
    return ReasonOf(verifier_.Verify(token).status());
  }

  const KeyPair key_ = GenerateKeyPair();
  system_clock::time_point now_ = system_clock::now();
  Verifier verifier_{{.clock = [this] { return now_; }, .remembered = 2}};
};

TEST_F(VerifierTest, TellsWhoATokenSpeaksFor) {
  const auto identity = verifier_.Verify(Issue(7, 8));
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->user_id, 7);
  EXPECT_EQ(identity->device_id, 8);
  EXPECT_EQ(system_clock::to_time_t(identity->expires_at),
            system_clock::to_time_t(now_ + minutes(15)));
}

TEST_F(VerifierTest, RefusesWhatIsNoTokenOfOurs) {
  EXPECT_THAT(Failure(""), Optional(Reason::TOKEN_INVALID));
  EXPECT_THAT(Failure("x"), Optional(Reason::TOKEN_INVALID));
  EXPECT_THAT(Failure("a.b.c"), Optional(Reason::TOKEN_INVALID));
  EXPECT_THAT(Failure(".."), Optional(Reason::TOKEN_INVALID));
  EXPECT_THAT(Failure(std::string(5000, 'a')), Optional(Reason::TOKEN_INVALID));
  const std::string good = Issue(7, 8);
  EXPECT_THAT(Failure(good + std::string(1, '\0') + "x"), Optional(Reason::TOKEN_INVALID));
  EXPECT_THAT(Failure(good.substr(0, good.rfind('.'))), Optional(Reason::TOKEN_INVALID));
  EXPECT_THAT(Failure(good.substr(0, good.rfind('.') + 1)), Optional(Reason::TOKEN_INVALID));

  // Another's claims under this signature.
  const std::vector<std::string> mine = absl::StrSplit(good, '.');
  const std::vector<std::string> other = absl::StrSplit(Issue(9, 10), '.');
  EXPECT_THAT(Failure(mine[0] + "." + other[1] + "." + mine[2]), Optional(Reason::TOKEN_INVALID));
  // More parts than three.
  for (const std::string& more : {mine[0] + "." + good, good + ".", good + "." + mine[2],
                                  mine[0] + "." + mine[1] + "." + mine[1] + "." + mine[2]}) {
    EXPECT_THAT(Failure(more), Optional(Reason::TOKEN_INVALID)) << more;
  }
}

TEST_F(VerifierTest, RefusesForgeries) {
  const KeyPair stranger = GenerateKeyPair();
  const std::string public_pem = (*ParseJwks(Jwks({key_.jwk})))[0].pem;
  // The stranger's key, under the name of ours and under its own.
  EXPECT_THAT(
      Failure(
          Forgery().Header("kid", key_.id).GoodClaims().Sign(JWT_ALG_ES256, stranger.private_pem)),
      Optional(Reason::TOKEN_INVALID));
  EXPECT_THAT(Failure(Forgery()
                          .Header("kid", stranger.id)
                          .GoodClaims()
                          .Sign(JWT_ALG_ES256, stranger.private_pem)),
              Optional(Reason::TOKEN_INVALID));
  // The public key as an HMAC's secret, and no signature at all.
  const std::string hmac =
      Forgery().Header("kid", key_.id).GoodClaims().Sign(JWT_ALG_HS256, public_pem);
  ASSERT_NE(hmac, "");
  EXPECT_THAT(Failure(hmac), Optional(Reason::TOKEN_INVALID));
  const std::string none = Forgery().Header("kid", key_.id).GoodClaims().Sign(JWT_ALG_NONE, "");
  ASSERT_NE(none, "");
  EXPECT_THAT(Failure(none), Optional(Reason::TOKEN_INVALID));
}

TEST_F(VerifierTest, RefusesClaimsThatAreNotOurs) {
  const auto sign = [this](Forgery& token) {
    return token.Header("kid", key_.id).Sign(JWT_ALG_ES256, key_.private_pem);
  };
  const long later = system_clock::to_time_t(now_ + minutes(5));
  Forgery good;
  EXPECT_EQ(Failure(sign(good.GoodClaims())), std::nullopt);
  Forgery foreign;
  foreign.Text("iss", "elsewhere").Text("sub", "7").Number("device", 8).Number("exp", later);
  EXPECT_THAT(Failure(sign(foreign)), Optional(Reason::TOKEN_INVALID));
  Forgery no_user;
  no_user.Text("iss", "im").Number("device", 8).Number("exp", later);
  EXPECT_THAT(Failure(sign(no_user)), Optional(Reason::TOKEN_INVALID));
  Forgery no_device;
  no_device.Text("iss", "im").Text("sub", "7").Number("exp", later);
  EXPECT_THAT(Failure(sign(no_device)), Optional(Reason::TOKEN_INVALID));
  Forgery no_end;
  no_end.Text("iss", "im").Text("sub", "7").Number("device", 8);
  EXPECT_THAT(Failure(sign(no_end)), Optional(Reason::TOKEN_INVALID));
}

TEST_F(VerifierTest, ExpiresAfterALeeway) {
  const std::string token = Issue(7, 8);
  now_ += minutes(15) + seconds(4);
  EXPECT_EQ(Failure(token), std::nullopt);
  now_ += seconds(2);
  // Remembered by now, and refused all the same.
  EXPECT_THAT(Failure(token), Optional(Reason::TOKEN_EXPIRED));
  EXPECT_THAT(Failure(Issue(7, 9, seconds(-10))), Optional(Reason::TOKEN_EXPIRED));
}

TEST_F(VerifierTest, RefusesRevokedDevicesAtOnce) {
  const std::string token = Issue(7, 8);
  EXPECT_EQ(Failure(token), std::nullopt);
  EXPECT_FALSE(verifier_.IsRevoked(8));
  EXPECT_TRUE(verifier_.Revoke(8, now_));
  EXPECT_FALSE(verifier_.Revoke(8, now_));
  EXPECT_TRUE(verifier_.IsRevoked(8));
  EXPECT_THAT(Failure(token), Optional(Reason::DEVICE_REVOKED));
  EXPECT_THAT(Failure(Issue(7, 8)), Optional(Reason::DEVICE_REVOKED));
  EXPECT_EQ(Failure(Issue(7, 9)), std::nullopt);
}

TEST_F(VerifierTest, RemembersRevocationsForLongerThanTokensLive) {
  const std::string token = Issue(7, 8, kLongestLife);
  verifier_.Revoke(8, now_);
  now_ += kLongestLife;
  verifier_.Revoke(1, now_);  // cleans
  EXPECT_THAT(Failure(token), Optional(Reason::DEVICE_REVOKED));
  now_ += minutes(10);
  verifier_.Revoke(2, now_);
  EXPECT_FALSE(verifier_.IsRevoked(8));
  EXPECT_TRUE(verifier_.IsRevoked(2));
}

TEST_F(VerifierTest, ForgetsTheOldestBeyondItsBound) {
  const std::vector<std::string> tokens = {Issue(1, 1), Issue(2, 2), Issue(3, 3), Issue(1, 1)};
  for (int round = 0; round < 3; ++round) {
    for (const std::string& token : tokens) EXPECT_EQ(Failure(token), std::nullopt);
  }
}

TEST_F(VerifierTest, AKeyThatIsGoneTakesItsTokensAlong) {
  const std::string token = Issue(7, 8);
  EXPECT_EQ(Failure(token), std::nullopt);
  int asked = 0;
  verifier_.SetUnknownKeyHandler([&asked] { ++asked; });
  const KeyPair next = GenerateKeyPair();
  verifier_.SetKeys(*ParseJwks(Jwks({key_.jwk, next.jwk})));
  EXPECT_EQ(Failure(token), std::nullopt);
  EXPECT_EQ(asked, 0);
  verifier_.SetKeys(*ParseJwks(Jwks({next.jwk})));
  EXPECT_THAT(Failure(token), Optional(Reason::TOKEN_INVALID));
  EXPECT_EQ(asked, 1);
}

TEST_F(VerifierTest, WithoutKeysItCannotTell) {
  Verifier fresh;
  EXPECT_THAT(ReasonOf(fresh.Verify(Issue(7, 8)).status()), Optional(Reason::SERVICE_UNAVAILABLE));
  EXPECT_THAT(ReasonOf(fresh.Verify("nonsense").status()), Optional(Reason::TOKEN_INVALID));
}

TEST(KeysTest, KeySetsAreReadWithCare) {
  const KeyPair one = GenerateKeyPair();
  const KeyPair two = GenerateKeyPair();
  EXPECT_NE(one.id, two.id);
  const auto keys = ParseJwks(Jwks({one.jwk, R"({"kty":"RSA","kid":"r"})", two.jwk}));
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_THAT(*keys, SizeIs(2));
  EXPECT_EQ((*keys)[0].id, one.id);
  EXPECT_EQ((*keys)[1].id, two.id);
  EXPECT_FALSE(ParseJwks("").ok());
  EXPECT_FALSE(ParseJwks("{}").ok());
  EXPECT_FALSE(ParseJwks(R"({"keys":7})").ok());
  EXPECT_FALSE(
      ParseJwks(R"({"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":"AA","y":"AA"}]})").ok());
  // 32 bytes each, but no point of the curve.
  const std::string zero(43, 'A');
  EXPECT_FALSE(ParseJwks(R"({"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":")" + zero +
                         R"(","y":")" + zero + R"("}]})")
                   .ok());
}

TEST(TestTokensTest, WorkWithoutImAuth) {
  testing::TestTokens tokens;
  const auto identity = tokens.verifier().AsAuthenticate()(tokens.Issue(3, 4));
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->user_id, 3);
  EXPECT_THAT(ReasonOf(tokens.verifier().Verify(tokens.Issue(3, 4, minutes(-1))).status()),
              Optional(Reason::TOKEN_EXPIRED));
  tokens.Revoke(4);
  EXPECT_THAT(ReasonOf(tokens.verifier().Verify(tokens.Issue(3, 4)).status()),
              Optional(Reason::DEVICE_REVOKED));
}

// A public key of that curve.
std::string PublicPemOf(const char* curve) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen(curve), EVP_PKEY_free);
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  PEM_write_bio_PUBKEY(bio.get(), key.get());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

TEST(Es256KeyTest, IsOfP256) {
  EXPECT_NE(Es256Key::FromPem(PublicPemOf("P-256")), nullptr);
  EXPECT_EQ(Es256Key::FromPem(PublicPemOf("P-384")), nullptr);
  EXPECT_EQ(Es256Key::FromPem("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"), nullptr);
  EXPECT_EQ(Es256Key::FromPem(""), nullptr);
}

TEST(Es256KeyTest, RefusesWhatIsNoSignature) {
  const auto key = Es256Key::FromPem(PublicPemOf("P-256"));
  for (const size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}}) {
    EXPECT_FALSE(key->Verifies("text", std::string(size, '\0'))) << size;
    EXPECT_FALSE(key->Verifies("text", std::string(size, '\xff'))) << size;
  }
}

}  // namespace
}  // namespace im::token
