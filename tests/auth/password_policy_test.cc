#include "services/auth/password_policy.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "services/auth/common_passwords.h"
#include "services/auth/password_hasher.h"
#include "services/auth/refresh_token.h"
#include "services/auth/user_name.h"

namespace im::auth {
namespace {

TEST(PasswordPolicyTest, KnowsCommonPasswords) {
  for (const char* common : {"password",
                             "Password1",
                             "P@ssw0rd!",
                             "12345678",
                             "87654321",
                             "qwertyuiop",
                             "QWERTY123",
                             "11111111",
                             "abcabcabc",
                             "20242024",
                             "abcdefgh",
                             "iloveyou2",
                             "1qaz2wsx",
                             "zaq12wsx",
                             "letmein!!",
                             "trustno1",
                             "Summer2024!",
                             "michael1985",
                             "correcthorsebatterystaple",

                             "asdfghjkl;"}) {
    EXPECT_TRUE(IsCommonPassword(common)) << common;
  }
}

TEST(PasswordPolicyTest, LeavesOthersAlone) {
  for (const char* fine :
       {"correct horse battery", "k3b9-xzQ1", "Tr0ub4dor&3", "grüne-kuh-17", "a1b2c3d4e5f7",
        "93-may-72!", "48151623", "my password is long", "日本語のパスワード"}) {
    EXPECT_FALSE(IsCommonPassword(fine)) << fine;
  }
}

TEST(PasswordPolicyTest, TheListHoldsHundredsOfWords) {
  EXPECT_GT(CommonPasswordWords().size(), 1000u);
}

TEST(PasswordPolicyTest, SaysAllThatIsWrong) {
  EXPECT_TRUE(CheckPassword("password", "correct horse", "ann").ok());
  EXPECT_TRUE(CheckPassword("password", std::string(256, 'x').replace(3, 1, "y"), "ann").ok());
  const absl::Status status = CheckPassword("password", "xXanNXx", "ann");
  EXPECT_EQ(ReasonOf(status), Reason::PASSWORD_REFUSED);
  ASSERT_EQ(DetailsOf(status).violations.size(), 2u);
  EXPECT_EQ(status.message(), "the password is refused: shorter than 8 bytes, holds the user name");
  EXPECT_EQ(DetailsOf(CheckPassword("p", "long enough \xff", "ann")).violations.size(), 1u);
}

TEST(UserNameTest, FoldsAndChecks) {
  EXPECT_EQ(ParseUserName("Ann_1.x-Z"), "ann_1.x-z");
  EXPECT_EQ(ParseUserName("an"), std::nullopt);
  EXPECT_EQ(ParseUserName("ann "), std::nullopt);
  EXPECT_EQ(ParseUserName(std::string(32, 'a')), std::string(32, 'a'));
  EXPECT_EQ(ParseUserName(std::string(33, 'a')), std::nullopt);
  EXPECT_EQ(ParseUserName("ÄNN"), std::nullopt);
}

TEST(RefreshTokenTest, KeepsItsFamily) {
  const RefreshToken first = RefreshToken::New();
  const RefreshToken next = first.Next();
  EXPECT_EQ(first.FamilyHash(), next.FamilyHash());
  EXPECT_NE(first.SecretHash(), next.SecretHash());
  EXPECT_NE(first.Text(), next.Text());
  const auto parsed = RefreshToken::Parse(next.Text());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->SecretHash(), next.SecretHash());
  EXPECT_EQ(parsed->FamilyHash(), next.FamilyHash());
  EXPECT_NE(RefreshToken::New().FamilyHash(), first.FamilyHash());
  EXPECT_EQ(RefreshToken::Parse("x"), std::nullopt);
}

TEST(PasswordHasherTest, MatchesWhatItHashed) {
  const auto hasher = PasswordHasher::Create({.memory_kib = 8, .passes = 1});
  ASSERT_TRUE(hasher.ok()) << hasher.status();
  const std::string hash = *(*hasher)->Hash("secret");
  EXPECT_TRUE(*(*hasher)->Matches(hash, "secret"));
  EXPECT_FALSE(*(*hasher)->Matches(hash, "Secret"));
  EXPECT_FALSE(*(*hasher)->Matches("not a hash", "secret"));
  EXPECT_FALSE(*(*hasher)->Matches(UnmatchedHash((*hasher)->parameters()), "secret"));
  EXPECT_NE(hash, *(*hasher)->Hash("secret"));
  EXPECT_FALSE((*hasher)->IsOutdated(hash));
  const auto dearer = PasswordHasher::Create({.memory_kib = 16, .passes = 1});
  EXPECT_TRUE((*dearer)->IsOutdated(hash));
  EXPECT_TRUE(*(*dearer)->Matches(hash, "secret"));
}

TEST(PasswordHasherTest, FailsAtOnceWithParametersThatCannotBe) {
  EXPECT_FALSE(PasswordHasher::Create({.memory_kib = 1, .passes = 1}).ok());
}

}  // namespace
}  // namespace im::auth
