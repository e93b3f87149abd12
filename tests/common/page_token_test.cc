#include "common/base/page_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/base/error.h"

namespace im {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

TEST(PageTokenTest, ThePlaceComesBack) {
  const int64_t least = std::numeric_limits<int64_t>::min();
  const std::string token = MakePageToken("things", {42, -1, least});
  EXPECT_THAT(*ParsePageToken("things", token, 3), ElementsAre(42, -1, least));
  EXPECT_THAT(*ParsePageToken("things", "", 3), IsEmpty());
}

TEST(PageTokenTest, WhatThisListNeverGaveOutIsRefused) {
  const std::string token = MakePageToken("things", {42});
  std::string changed = token;
  changed[3] = changed[3] == 'A' ? 'B' : 'A';
  for (const std::string& bad :
       {changed, token.substr(1), token + "AAAA", std::string("x"), std::string("\0\xff", 2),
        MakePageToken("others", {42}), MakePageToken("things", {42, 43})}) {
    EXPECT_THAT(ReasonOf(ParsePageToken("things", bad, 1).status()),
                Optional(Reason::PAGE_TOKEN_INVALID));
  }
}

TEST(PageTokenTest, SizesHaveBounds) {
  EXPECT_EQ(*PageSize(0, 100, 1000), 100);
  EXPECT_EQ(*PageSize(1, 100, 1000), 1);
  EXPECT_EQ(*PageSize(1001, 100, 1000), 1000);
  EXPECT_THAT(ReasonOf(PageSize(-1, 100, 1000).status()), Optional(Reason::INVALID_FIELD));
}

}  // namespace
}  // namespace im
