#include "common/base/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace im {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "/config_test.conf";
    Write("");
    unsetenv("IM_WRITERS_COUNT");
  }
  void TearDown() override { unsetenv("IM_WRITERS_COUNT"); }

  void Write(const std::string& text) { std::ofstream(path_) << text; }

  // The exit code, or -1 if the program would go on.
  int Parse(std::vector<std::string> arguments) {
    Config config("im-test", "For tests.");
    count_ = 2;
    open_ = true;
    text_.clear();
    config.Add("writers.count", &count_, "How many.")->check(CLI::Range(1, 9));
    config.Add("door.open", &open_, "Whether.");
    config.Add("door.name", &text_, "Which.")->required();
    arguments.insert(arguments.begin(), {"im-test", "--config", path_});
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    ::testing::internal::CaptureStderr();
    ::testing::internal::CaptureStdout();
    const auto code = config.Parse(static_cast<int>(argv.size()), argv.data());
    err_ = ::testing::internal::GetCapturedStderr();
    out_ = ::testing::internal::GetCapturedStdout();
    return code.value_or(-1);
  }

  std::string path_, err_, out_;
  int count_ = 0;
  bool open_ = false;
  std::string text_;
};

TEST_F(ConfigTest, FileEnvironmentAndFlagsInRisingWeight) {
  Write("[writers]\ncount = 3\n[door]\nname = \"a b\"\nopen = false\n");
  EXPECT_EQ(Parse({}), -1) << err_;
  EXPECT_EQ(count_, 3);
  EXPECT_EQ(text_, "a b");
  EXPECT_FALSE(open_);
  setenv("IM_WRITERS_COUNT", "4", 1);
  EXPECT_EQ(Parse({}), -1) << err_;
  EXPECT_EQ(count_, 4);
  EXPECT_EQ(Parse({"--writers.count=5"}), -1) << err_;
  EXPECT_EQ(count_, 5);
}

TEST_F(ConfigTest, AnEmptyVariableIsNone) {
  Write("[writers]\ncount = 3\n[door]\nname = x\n");
  setenv("IM_WRITERS_COUNT", "", 1);
  EXPECT_EQ(Parse({}), -1) << err_;
  EXPECT_EQ(count_, 3);
}

TEST_F(ConfigTest, QuotesKeepBlanksCommasAndHashes) {
  Write("# one\n[door]\nname = \"/a b, c#d/'e\" # two\nopen = false # three\n");
  EXPECT_EQ(Parse({}), -1) << err_;
  EXPECT_EQ(text_, "/a b, c#d/'e");
  EXPECT_FALSE(open_);
}

TEST_F(ConfigTest, AnUnknownKeyIsNamedWithItsFile) {
  Write("[writers]\nnumber = 3\n[door]\nname = \"x\"\n");
  EXPECT_EQ(Parse({}), 2);
  EXPECT_THAT(err_, HasSubstr(path_ + ": unknown key writers.number"));
}

TEST_F(ConfigTest, WrongAndMissingValuesAreErrors) {
  Write("[writers]\ncount = 30\n[door]\nname = \"x\"\n");
  EXPECT_EQ(Parse({}), 2);
  EXPECT_THAT(err_, HasSubstr("writers.count"));
  Write("");
  EXPECT_EQ(Parse({}), 2);
  EXPECT_THAT(err_, HasSubstr("door.name is required"));
  EXPECT_THAT(err_, HasSubstr("IM_DOOR_NAME"));
}

TEST_F(ConfigTest, AnUnknownFlagIsAnError) {
  EXPECT_EQ(Parse({"--door.name=x", "--nosuch"}), 2);
  EXPECT_THAT(err_, HasSubstr("--nosuch"));
  EXPECT_EQ(Parse({"--help"}), 0);
}

TEST_F(ConfigTest, WhatIsPrintedIsReadBack) {
  const std::string name = "q \"x\" 'y' #\\";
  EXPECT_EQ(
      Parse({"--writers.count=7", "--door.name=" + name, "--door.open=false", "--print-config"}),
      0);
  Write(out_);
  EXPECT_EQ(Parse({}), -1) << err_ << out_;
  EXPECT_EQ(count_, 7);
  EXPECT_EQ(text_, name);
  EXPECT_FALSE(open_);
}

TEST_F(ConfigTest, AYesIsPrintedAsSuch) {
  Write("[door]\nname = x\nopen = yes\n");
  EXPECT_EQ(Parse({"--print-config"}), 0) << err_;
  EXPECT_TRUE(open_);
  EXPECT_THAT(out_, HasSubstr("open = true"));
}

TEST_F(ConfigTest, ALineThatIsNoneIsNamedWithItsFile) {
  Write("[door]\nname = \"x\n");
  EXPECT_EQ(Parse({}), 2);
  EXPECT_THAT(err_, HasSubstr(path_ + ": line 2: a quote is not closed"));
}

TEST_F(ConfigTest, APasswordOnTheCommandLineIsRefused) {
  EXPECT_EQ(Parse({"--door.name=postgresql://im:tops3cret@db/im"}), 2);
  EXPECT_THAT(err_, HasSubstr("command line"));
  EXPECT_THAT(err_, Not(HasSubstr("tops3cret")));
}

TEST_F(ConfigTest, PrintsNoPassword) {
  Write("[door]\nname = \"postgresql://im:tops3cret@db/im\"\n");
  EXPECT_EQ(Parse({"--print-config"}), 0);
  EXPECT_THAT(out_, HasSubstr("postgresql://im:***@db/im"));
  EXPECT_EQ(Parse({}), -1);
  EXPECT_EQ(text_, "postgresql://im:tops3cret@db/im");
  EXPECT_EQ(Parse({"--help"}), 0);
  EXPECT_THAT(out_, Not(HasSubstr("tops3cret")));
}

}  // namespace
}  // namespace im
