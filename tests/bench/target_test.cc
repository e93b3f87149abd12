#include "bench/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace im::bench {
namespace {

using ::testing::HasSubstr;

class TargetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(home_ + "/etc");
    setenv("IM_HOME", home_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("IM_HOME");
    std::filesystem::remove_all(home_);
  }
  void Write(const std::string& service, const std::string& text) {
    std::ofstream(home_ + "/etc/" + service + ".conf") << text;
  }

  const std::string home_ = ::testing::TempDir() + "/target_test";
};

TEST_F(TargetTest, IsTheSetUpOfImHome) {
  Write("gateway", "[server]\nlisten = \"127.0.0.1:1\" # here\ntls_listen = \"127.0.0.1:2\"\n");
  Write("owner", "[database]\nurl = \"postgresql:///im?host=/a\"\n");
  Write("chat", "[writers]\ncount = 3\n");
  const auto target = FindTarget({});
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->address, "127.0.0.1:1");
  EXPECT_EQ(target->database_url, "postgresql:///im?host=/a");
  EXPECT_EQ(SettingOf(*target, "chat", "writers.count").value_or("none"), "3");
  EXPECT_EQ(SettingOf(*target, "chat", "writers.other").value_or("none"), "");
  EXPECT_EQ(FindTarget({.ca_file = "ca.crt"})->address, "127.0.0.1:2");
}

TEST_F(TargetTest, AnotherOneHasNoDatabaseAndNoSettings) {
  Write("gateway", "[server]\nlisten = \"127.0.0.1:1\"\n");
  Write("owner", "[database]\nurl = \"postgresql:///im?host=/a\"\n");
  Write("chat", "[writers]\ncount = 3\n");
  const auto target = FindTarget({.connect = "127.0.0.1:9"});
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_EQ(target->address, "127.0.0.1:9");
  EXPECT_EQ(target->database_url, "");
  EXPECT_EQ(SettingOf(*target, "chat", "writers.count").value_or("none"), "");
}

TEST_F(TargetTest, SaysWhatIsMissingOrBroken) {
  EXPECT_EQ(FindTarget({}).status().code(), absl::StatusCode::kNotFound);
  Write("gateway", "[server]\nlisten = \"127.0.0.1:1\"\n");
  EXPECT_EQ(FindTarget({.ca_file = "ca.crt"}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  Write("owner", "[database]\nurl = \"postgresql\n");
  EXPECT_THAT(std::string(FindTarget({}).status().message()),
              HasSubstr("owner.conf: line 2: a quote is not closed"));
  Write("gateway", "[server]\nlisten\n");
  EXPECT_THAT(std::string(FindTarget({}).status().message()), HasSubstr("gateway.conf: line 2"));
}

}  // namespace
}  // namespace im::bench
