#include "common/base/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace im {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::string& text) {
  std::istringstream input(text);
  const auto values = ReadConfigFile(input);
  EXPECT_EQ(values.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(values.status().message());
}

// Of the only entry in a file that has nothing else.
std::string ValueOf(const std::string& text) {
  std::istringstream input("[a]\nb = " + text + "\n");
  const auto values = ReadConfigFile(input);
  if (!values.ok()) return values.status().ToString();
  EXPECT_EQ(values->size(), 1) << text;
  return values->at("a.b");
}

TEST(ConfigFileTest, ReadsSectionsKeysAndValues) {
  std::istringstream input(
      "# first\n\n[door]  # which\r\n  name = \"x\"\r\nopen=true\n\n[ writers ]\ncount = 3 # so "
      "many");
  const auto values = ReadConfigFile(input);
  ASSERT_TRUE(values.ok()) << values.status();
  EXPECT_EQ(*values,
            (ConfigValues{{"door.name", "x"}, {"door.open", "true"}, {"writers.count", "3"}}));
}

TEST(ConfigFileTest, ValuesStandBareOrInQuotes) {
  EXPECT_EQ(ValueOf("127.0.0.1:7400"), "127.0.0.1:7400");
  EXPECT_EQ(ValueOf("unix:/a,unix:/b# two"), "unix:/a,unix:/b");
  EXPECT_EQ(ValueOf("[::1]:7400"), "[::1]:7400");
  EXPECT_EQ(ValueOf("\"\""), "");
  EXPECT_EQ(ValueOf("\"a, b #c 'd'\" # e"), "a, b #c 'd'");
  EXPECT_EQ(ValueOf("'a, b #c \"d\" \\'# e"), "a, b #c \"d\" \\");
  EXPECT_EQ(ValueOf("\"\\\"\\\\\\n\\r\\t\""), "\"\\\n\r\t");
}

TEST(ConfigFileTest, ErrorsNameTheLine) {
  EXPECT_THAT(ErrorOf("[a]\n\nb = \"c\n"), HasSubstr("line 3: a quote is not closed"));
  EXPECT_THAT(ErrorOf("[a]\nb = 'c\n"), HasSubstr("line 2: a quote is not closed"));
  EXPECT_THAT(ErrorOf("[a]\nb = \"c\\\""), HasSubstr("not closed"));
  EXPECT_THAT(ErrorOf("[a]\nb = \"c\\x\""), HasSubstr("line 2: \\ within"));
  EXPECT_THAT(ErrorOf("[a]\nb = \"c\\"), HasSubstr("line 2: \\ within"));
  EXPECT_THAT(ErrorOf("[a]\nb = \"c\" d"), HasSubstr("behind the closing quote"));
  EXPECT_THAT(ErrorOf("[a]\nb = c d"), HasSubstr("stands in quotes"));
  EXPECT_THAT(ErrorOf("[a]\nb = c\"d\""), HasSubstr("stands in quotes"));
  EXPECT_THAT(ErrorOf("[a]\nb = [\"c\", \"d\"]"), HasSubstr("stands in quotes"));
  EXPECT_THAT(ErrorOf("[a]\nb = [c,d]"), HasSubstr("line 2: a list is one text"));
  EXPECT_THAT(ErrorOf("[a]\nb = # c"), HasSubstr("line 2: a value is missing"));
  EXPECT_THAT(ErrorOf("[a]\nb\n"), HasSubstr("line 2: neither [SECTION] nor KEY = VALUE"));
  EXPECT_THAT(ErrorOf("[a]\n= b\n"), HasSubstr("line 2: not KEY = VALUE"));
  EXPECT_THAT(ErrorOf("[a]\n\"b\" = c\n"), HasSubstr("line 2: not KEY = VALUE"));
  EXPECT_THAT(ErrorOf("b = c\n"), HasSubstr("line 1: KEY = VALUE stands in a [SECTION]"));
  EXPECT_THAT(ErrorOf("[a\nb = c\n"), HasSubstr("line 1: not [SECTION]"));
  EXPECT_THAT(ErrorOf("[a] b\n"), HasSubstr("line 1: not [SECTION]"));
  EXPECT_THAT(ErrorOf("[[a]]\n"), HasSubstr("line 1: not [SECTION]"));
  EXPECT_THAT(ErrorOf("[a]\nb = 1\n[c]\nb = 2\n[a]\nb = 3\n"),
              HasSubstr("line 6: a.b is set twice"));
}

TEST(ConfigFileTest, WhatIsQuotedIsReadBack) {
  for (const std::string value :
       {"", "a", "'", "\"", "\\", "a\\", "\"a'b#c", "'a\"' b, c\\\"", "a\nb\r\tc", "\xff"}) {
    EXPECT_EQ(ValueOf(QuotedConfigValue(value)), value);
  }
}

}  // namespace
}  // namespace im
