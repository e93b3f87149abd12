#include "common/base/secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace im {
namespace {

TEST(SecretsTest, PasswordsOfConnectionStrings) {
  const std::pair<const char*, const char*> kCases[] = {
      {"postgresql://im:top-1@db/im", "postgresql://im:***@db/im"},
      {"postgresql://im:a@b:c@db:5432/im?x=y@z", "postgresql://im:***@db:5432/im?x=y@z"},
      {"postgresql://:pw@/im", "postgresql://:***@/im"},
      {"postgresql:///im?user=im&password=pw&host=x",
       "postgresql:///im?user=im&password=***&host=x"},
      {"host=db password=pw user=im", "host=db password=*** user=im"},
      {"password = 'a \\' b' host=db", "password = *** host=db"},
      {"sslpassword=pw", "sslpassword=***"},
      {"sslpassword=a password=b", "sslpassword=*** password=***"},
      {"invalid URI: \"postgresql://im:p/w@[::1\"", "invalid URI: \"postgresql://im:***@[::1\""},
  };
  for (const auto& [text, clean] : kCases) {
    EXPECT_TRUE(HoldsPassword(text)) << text;
    EXPECT_EQ(WithoutPasswords(text), clean);
  }
  for (const char* text : {"", "postgresql://im@db:5432/im",
                           "postgresql:///im?host=/run/im&user=im&passfile=/secrets/p",
                           "unix:/run/im/auth.sock", "https://host:1/x", "passwords.memory_kib = 8",
                           "password=", "host=db user=im", "--password-stdin"}) {
    EXPECT_FALSE(HoldsPassword(text)) << text;
    EXPECT_EQ(WithoutPasswords(text), text);
  }
}

TEST(SecretsTest, OnCommandLines) {
  const char* const bad[] = {"im-chat", "--database.url=postgresql://im:pw@db/im"};
  EXPECT_EQ(FindPassword(2, bad), "--database.url=postgresql://im:***");
  const char* const apart[] = {"im-chat", "--database.url", "host=db password=pw"};
  EXPECT_EQ(FindPassword(3, apart), "host=db password=***");
  const char* const good[] = {"im-chat", "--database.url", "postgresql://im@db/im"};
  EXPECT_EQ(FindPassword(3, good), "");
}

}  // namespace
}  // namespace im
