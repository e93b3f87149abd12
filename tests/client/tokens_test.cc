#include "client/tokens.h"

#include <gtest/gtest.h>

#include "common/base/error.h"
#include "tests/client/fakes.h"

namespace im::client::testing {
namespace {

class MemoryTokensTest : public ::testing::Test {
 protected:
  MemoryTokensTest() {
    channel_ = *Channel::Open({.server = gateway_.address()});
    auth::v1::Tokens first;
    first.set_access_token("access0");
    first.set_refresh_token("refresh0");
    tokens_ = std::make_unique<MemoryTokens>(channel_, first);
  }

  std::string Get(const std::string& refused) {
    Inflow<absl::StatusOr<std::string>> answers;
    tokens_->GetToken(refused,
                      [&](const absl::StatusOr<std::string>& answer) { answers.Put(answer); });
    const auto answer = answers.Take();
    return answer && answer->ok() ? **answer : "none";
  }

  FakeGateway gateway_;
  std::shared_ptr<Channel> channel_;
  std::unique_ptr<MemoryTokens> tokens_;
};

TEST_F(MemoryTokensTest, RefreshesOnlyWhatWasRefused) {
  EXPECT_EQ(Get(""), "access0");
  EXPECT_EQ(Get("older"), "access0");
  EXPECT_EQ(Get("access0"), "access1");
  EXPECT_EQ(Get("access0"), "access1");
  EXPECT_EQ(Get("access1"), "access2");
}

TEST_F(MemoryTokensTest, ManyAskersShareOneRefresh) {
  Inflow<absl::StatusOr<std::string>> answers;
  for (int i = 0; i < 10; ++i) {
    tokens_->GetToken("access0",
                      [&](const absl::StatusOr<std::string>& answer) { answers.Put(answer); });
  }
  for (int i = 0; i < 10; ++i) {
    const auto answer = answers.Take();
    ASSERT_TRUE(answer && answer->ok());
    EXPECT_EQ(**answer, "access1");
  }
}

}  // namespace
}  // namespace im::client::testing
