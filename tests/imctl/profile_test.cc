#include "imctl/profile.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <thread>

#include "common/base/workers.h"
#include "imctl/profile_tokens.h"

namespace im::imctl {
namespace {

class ProfileTest : public ::testing::Test {
 protected:
  ProfileTest() {
    std::string folder = (std::filesystem::temp_directory_path() / "imctlXXXXXX").string();
    folder_ = mkdtemp(folder.data());
    setenv("IMCTL_HOME", folder_.c_str(), 1);
  }
  ~ProfileTest() override { std::filesystem::remove_all(folder_); }

  static Account Ann() {
    Account account;
    account.server = "127.0.0.1:7400";
    account.profile.set_user_id(1);
    account.profile.set_user_name("ann");
    account.tokens.set_access_token("access");
    account.tokens.set_refresh_token("refresh");
    account.tokens.mutable_access_expires_at()->set_seconds(12);
    return account;
  }

  std::string folder_;
};

TEST_F(ProfileTest, KeepsAnAccountForItsOwnerOnly) {
  const Profile profile = *Profile::Open("work");
  EXPECT_FALSE(profile.ReadAccount()->has_value());
  ASSERT_TRUE(profile.WriteAccount(Ann()).ok());
  const Account account = **profile.ReadAccount();
  EXPECT_EQ(account.server, "127.0.0.1:7400");
  EXPECT_EQ(account.profile.user_name(), "ann");
  EXPECT_EQ(account.tokens.refresh_token(), "refresh");
  EXPECT_EQ(account.tokens.access_expires_at().seconds(), 12);
  struct stat info {};
  ASSERT_EQ(stat((folder_ + "/work/account.json").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat((folder_ + "/work").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(ProfileTest, SaysWhenAFileIsDamaged) {
  const Profile profile = *Profile::Open("work");
  ASSERT_TRUE(profile.WriteAccount(Ann()).ok());
  std::ofstream(folder_ + "/work/account.json") << "{\"server\":";
  EXPECT_FALSE(profile.ReadAccount().ok());
}

TEST_F(ProfileTest, RefusesNamesThatLeadElsewhere) {
  for (const char* name : {"", "..", ".", "a/b", "../x", ".hidden"}) {
    EXPECT_FALSE(Profile::Open(name).ok()) << name;
  }
}

TEST_F(ProfileTest, AnotherAccountDoesNotInheritWhatWasHad) {
  const Profile profile = *Profile::Open("work");
  ASSERT_TRUE(profile.WriteAccount(Ann()).ok());
  client::Snapshot snapshot;
  snapshot.have.set_epoch(7);
  snapshot.have.add_conversations()->set_seq(3);
  snapshot.conversations.emplace_back().set_title("a\nb");
  ASSERT_TRUE(profile.WriteSnapshot(snapshot).ok());
  profile.WritePeople({{"bob", 2}});
  // New tokens of the same account change nothing.
  ASSERT_TRUE(profile.WriteAccount(Ann()).ok());
  EXPECT_EQ(profile.ReadSnapshot()->have.epoch(), 7);
  EXPECT_EQ(profile.ReadSnapshot()->have.conversations(0).seq(), 3);
  EXPECT_EQ(profile.ReadSnapshot()->conversations.at(0).title(), "a\nb");
  EXPECT_EQ(profile.ReadPeople().at("bob"), 2);
  Account bob = Ann();
  bob.profile.set_user_id(2);
  ASSERT_TRUE(profile.WriteAccount(bob).ok());
  EXPECT_EQ(profile.ReadSnapshot()->have.epoch(), 0);
  EXPECT_TRUE(profile.ReadPeople().empty());
}

TEST_F(ProfileTest, OneHoldsTheLockAtATime) {
  const Profile profile = *Profile::Open("work");
  std::atomic<int> inside = 0;
  std::atomic<bool> overlapped = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        const auto held = profile.Lock();
        if (!held.ok() || ++inside > 1) overlapped = true;
        std::this_thread::yield();
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(overlapped);
}

TEST_F(ProfileTest, TokensMayBeLetGoOfByWhoeverAsks) {
  Account ann = Ann();
  ann.tokens.mutable_access_expires_at()->set_seconds(time(nullptr) + 3600);
  const Profile profile = *Profile::Open("work");
  ASSERT_TRUE(profile.WriteAccount(ann).ok());
  std::promise<void> let_go;
  absl::StatusOr<std::string> given;
  {
    Workers worker(1, 1);
    auto tokens = std::make_shared<ProfileTokens>(
        profile, *client::Channel::Open({.server = ann.server}), &worker);
    tokens->GetToken("", [&, tokens](absl::StatusOr<std::string> token) {
      let_go.get_future().wait();
      given = std::move(token);
    });
    tokens = nullptr;
    let_go.set_value();
  }
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_EQ(*given, "access");
}

TEST_F(ProfileTest, TokensAreForTheServerThatGaveThem) {
  Account ann = Ann();
  ann.tokens.mutable_access_expires_at()->set_seconds(time(nullptr) + 3600);
  const Profile profile = *Profile::Open("work");
  ASSERT_TRUE(profile.WriteAccount(ann).ok());
  Workers worker(1, 1);
  ProfileTokens tokens(profile, *client::Channel::Open({.server = ann.server}), &worker);
  EXPECT_EQ(*tokens.GetTokenNow(""), "access");
  // Another process logs the profile in elsewhere.
  ann.server = "127.0.0.1:7500";
  ASSERT_TRUE(profile.WriteAccount(ann).ok());
  for (const char* refused : {"", "access"}) {
    EXPECT_TRUE(absl::IsUnauthenticated(tokens.GetTokenNow(refused).status()));
  }
}

TEST_F(ProfileTest, IsRemovedWhileNobodyExchangesItsTokens) {
  const Profile profile = *Profile::Open("work");
  ASSERT_TRUE(profile.WriteAccount(Ann()).ok());
  std::future<absl::Status> removed;
  {
    const auto held = profile.Lock();
    ASSERT_TRUE(held.ok());
    removed = std::async(std::launch::async, [&] { return profile.Remove(); });
    EXPECT_EQ(removed.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
    EXPECT_TRUE(profile.WriteAccount(Ann()).ok());
  }
  EXPECT_TRUE(removed.get().ok());
  EXPECT_FALSE(profile.ReadAccount()->has_value());
  EXPECT_TRUE((*Profile::Open("none")).Remove().ok());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/none"));
}

}  // namespace
}  // namespace im::imctl
