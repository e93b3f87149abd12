// Logging in, wrong passwords and what follows from them, another password.
#include <fstream>
#include <set>
#include <thread>

#include "services/auth/nobody.h"
#include "services/auth/user_name.h"
#include "tests/auth/auth_fixture.h"

namespace im::auth {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// The most this process has ever held.
int64_t PeakMemoryKib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  int64_t kib = 0;
  while (status >> word) {
    if (word == "VmHWM:") status >> kib;
  }
  return kib;
}

class LoginTest : public AuthTest {
 protected:
  void FailTimes(const std::string& name, int times) {
    for (int i = 0; i < times; ++i) {
      EXPECT_THAT(client().LogIn(name, "wrong password"), FailsWith(Reason::WRONG_CREDENTIALS));
    }
  }
  // How long the name stays locked, by the error's RetryInfo; zero: it is open.
  milliseconds LockOf(const std::string& name, const std::string& password = "wrong password") {
    const auto response = client().LogIn(name, password);
    if (ReasonOf(response.status()) != Reason::LOGIN_LOCKED) return milliseconds(0);
    return DetailsOf(response.status()).retry_after.value_or(milliseconds(-1));
  }
  // Between a second less and as long.
  static ::testing::Matcher<milliseconds> About(milliseconds time) {
    return ::testing::AllOf(::testing::Le(time), ::testing::Gt(time - seconds(5)));
  }
};

TEST_F(LoginTest, EachLoginIsADevice) {
  const auto alice = client().Register("alice");
  ASSERT_TRUE(alice.ok());
  const auto again = client().LogIn("ALICE");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->profile().user_id(), alice->profile().user_id());
  EXPECT_EQ(again->profile().user_name(), "alice");
  EXPECT_NE(again->tokens().device_id(), alice->tokens().device_id());
  EXPECT_TRUE(client().GetProfile(alice->tokens().access_token()).ok());
  EXPECT_TRUE(client().GetProfile(again->tokens().access_token()).ok());
}

TEST_F(LoginTest, TheLockGrowsAndDecays) {
  Registered("alice");
  FailTimes("alice", 5);
  EXPECT_THAT(LockOf("alice"), About(seconds(30)));
  // The right password is refused as well, and trying it does not make it longer.
  EXPECT_THAT(LockOf("alice", kPassword), About(seconds(30)));

  milliseconds lock = seconds(30);
  for (int i = 0; i < 9; ++i) {
    clock_.Advance(lock);
    FailTimes("alice", 1);
    lock = std::min<milliseconds>(lock * 2, hours(1));
    EXPECT_THAT(LockOf("Alice"), About(lock));
  }
  EXPECT_EQ(lock, hours(1));

  clock_.Advance(hours(1));
  EXPECT_TRUE(client().LogIn("alice").ok());
  // The right password makes all good.
  FailTimes("alice", 5);
  EXPECT_THAT(LockOf("alice"), About(seconds(30)));
  // So does a day without a try.
  clock_.Advance(hours(25));
  FailTimes("alice", 5);
  EXPECT_THAT(LockOf("alice"), About(seconds(30)));
}

TEST_F(LoginTest, FailuresBelowTheLimitAreForgivenByTheRightPassword) {
  Registered("alice");
  for (int round = 0; round < 3; ++round) {
    FailTimes("alice", 4);
    EXPECT_TRUE(client().LogIn("alice").ok());
  }
}

// As far as can be told without a stopwatch: same answers, same work, in every state.
TEST_F(LoginTest, UnknownNamesAreLikeKnownOnes) {
  Registered("alice");
  const auto hashes = [this](const std::string& name) {
    const uint64_t before = server_->password_hashes();
    const auto response = client().LogIn(name, "wrong password");
    return std::make_pair(server_->password_hashes() - before, ReasonOf(response.status()));
  };
  for (int i = 0; i < 8; ++i) {
    const auto known = hashes("alice");
    EXPECT_EQ(hashes("nobody"), known) << i;
    EXPECT_EQ(hashes("no name at all!"), known) << i;
    const bool locked = i >= 5;
    EXPECT_EQ(known.first, locked ? 0u : 1u) << i;
    EXPECT_EQ(known.second, locked ? Reason::LOGIN_LOCKED : Reason::WRONG_CREDENTIALS) << i;
  }
  const absl::Status known = client().LogIn("alice", "wrong password").status();
  const absl::Status unknown = client().LogIn("nobody", "wrong password").status();
  EXPECT_EQ(known.message(), unknown.message());
  clock_.Advance(seconds(31));
  EXPECT_EQ(client().LogIn("alice", "wrong password").status(),
            client().LogIn("nobody", "wrong password").status());
  EXPECT_THAT(LockOf("alice"), About(seconds(60)));
  EXPECT_THAT(LockOf("nobody"), About(seconds(60)));
}

TEST_F(LoginTest, ManyGuessesAtOnceGetNoMoreThanFiveAnswers) {
  Registered("alice");
  // All are hashed side by side, so that they pass the first look at the lock together.
  ServerOptions wide = options();
  wide.passwords = {.hashing = {.memory_kib = 8192, .passes = 3}, .threads = 20};
  wide.database_connections = 20;
  Restart(wide);
  AwaitReady(client());
  std::atomic<int> answered{0};
  std::vector<std::thread> guessers;
  for (int i = 0; i < 20; ++i) {
    guessers.emplace_back([&] {
      const auto response = client().LogIn("alice", "wrong password");
      if (ReasonOf(response.status()) == Reason::WRONG_CREDENTIALS) ++answered;
    });
  }
  for (auto& guesser : guessers) guesser.join();
  EXPECT_EQ(answered.load(), 5);
  EXPECT_THAT(LockOf("alice"), About(seconds(30)));
}

TEST_F(LoginTest, OddInputIsAWrongPassword) {
  Registered("alice");
  EXPECT_THAT(client().LogIn("alice", ""), FailsWith(Reason::WRONG_CREDENTIALS));
  EXPECT_THAT(client().LogIn("alice", std::string(kPassword) + std::string(1, '\0')),
              FailsWith(Reason::WRONG_CREDENTIALS));
  EXPECT_THAT(client().LogIn("alice", std::string(100000, 'x')),
              FailsWith(Reason::WRONG_CREDENTIALS));
  EXPECT_THAT(client().LogIn("", ""), FailsWith(Reason::WRONG_CREDENTIALS));
  EXPECT_THAT(client().LogIn(std::string("al\0ice", 6), kPassword),
              FailsWith(Reason::WRONG_CREDENTIALS));
  EXPECT_THAT(client().LogIn(std::string(100000, 'n'), kPassword),
              FailsWith(Reason::WRONG_CREDENTIALS));
}

TEST_F(LoginTest, ALockedAccountIsToldOnlyToWhoKnowsThePassword) {
  const v1::Tokens tokens = Registered("alice");
  database_.Exec("SELECT auth.lock_account(now(), 'alice')");
  EXPECT_THAT(client().LogIn("alice"), FailsWith(Reason::ACCOUNT_LOCKED));
  EXPECT_THAT(client().LogIn("alice", "wrong password"), FailsWith(Reason::WRONG_CREDENTIALS));
  EXPECT_THAT(client().Refresh(tokens.refresh_token()), FailsWith(Reason::ACCOUNT_LOCKED));
}

// The time of a log-in tells the parameters of the hash, so names that nobody has need some, too.
TEST_F(LoginTest, UnknownNamesAreHashedWithTheParametersThatAccountsHave) {
  for (const char* name : {"alice", "bob", "carol"}) Registered(name);
  ServerOptions dearer = options();
  dearer.passwords.hashing = {.memory_kib = 16, .passes = 2};
  Restart(dearer);
  AwaitReady(client());
  Registered("dave");

  pg::Pool pool({.url = database_.UrlOf("auth"), .connections = 1});
  PgLogins store(&pool);
  const auto hasher = *PasswordHasher::Create(dearer.passwords.hashing);
  Nobody nobody(&store, hasher.get());
  const auto old_ones = [](const Nobody& of) {
    std::set<int> names;
    for (int i = 0; i < 1000; ++i) {
      const std::string hash = of.HashFor(UserNameHash("nobody" + std::to_string(i)));
      EXPECT_FALSE(hash.find("$m=8,t=1,p=1$") == hash.npos &&
                   hash.find("$m=16,t=2,p=1$") == hash.npos);
      if (hash.find("$m=8,t=1,p=1$") != hash.npos) names.insert(i);
    }
    return names;
  };
  EXPECT_THAT(old_ones(nobody), ::testing::IsEmpty());
  ASSERT_TRUE(nobody.Reload().ok());
  const std::set<int> before = old_ones(nobody);
  EXPECT_NEAR(static_cast<double>(before.size()), 750, 60);

  Nobody after_restart(&store, hasher.get());
  ASSERT_TRUE(after_restart.Reload().ok());
  EXPECT_EQ(old_ones(after_restart), before);

  // As accounts change to the new parameters names do so, and none goes back.
  LoggedIn("alice");
  ASSERT_TRUE(nobody.Reload().ok());
  const std::set<int> after = old_ones(nobody);
  EXPECT_NEAR(static_cast<double>(after.size()), 500, 60);
  EXPECT_THAT(before, ::testing::IsSupersetOf(after));
}

TEST_F(LoginTest, WithoutMemoryARightPasswordIsNotAWrongOne) {
  int overcommit = 0;
  std::ifstream("/proc/sys/vm/overcommit_memory") >> overcommit;
  if (overcommit == 1) GTEST_SKIP() << "no allocation fails here";
  Registered("alice");
  // 4 TiB.
  database_.Exec(
      "UPDATE auth.accounts SET password_hash = replace(password_hash, 'm=8,', 'm=4294967295,')");
  for (int i = 0; i < 6; ++i) {
    EXPECT_THAT(client().LogIn("alice"), FailsWith(Reason::OVERLOADED));
  }
  EXPECT_EQ(database_.Value("SELECT count(*) FROM auth.login_failures"), "0");
}

TEST_F(LoginTest, OldHashesAreMadeAnewWithTheParametersOfNow) {
  Registered("alice");
  ServerOptions dearer = options();
  dearer.passwords.hashing = {.memory_kib = 16, .passes = 2};
  Restart(dearer);
  AwaitReady(client());
  LoggedIn("alice");
  EXPECT_EQ(database_.Value("SELECT count(*) FROM auth.accounts WHERE password_hash LIKE "
                            "'$argon2id$v=19$m=16,t=2,p=1$%'"),
            "1");
  const uint64_t before = server_->password_hashes();
  LoggedIn("alice");
  EXPECT_EQ(server_->password_hashes() - before, 1u);
}

// Each hash takes 16 MiB here; side by side they would take 1.6 GiB.
TEST_F(LoginTest, AHundredLoginsAtOnceTakeTheMemoryOfTwo) {
  Registered("alice");
  ServerOptions dear = options();
  dear.passwords = {.hashing = {.memory_kib = 16384, .passes = 1}, .threads = 2};
  Restart(dear);
  AwaitReady(client());
  const int64_t before = PeakMemoryKib();
  std::atomic<int> succeeded{0};
  std::vector<std::thread> people;
  for (int i = 0; i < 100; ++i) {
    people.emplace_back([&] {
      auto response = client().LogIn("alice");
      // Who would wait for too long on a slow machine is asked to come back.
      for (auto wait = DetailsOf(response.status()).retry_after; wait;
           wait = DetailsOf(response.status()).retry_after) {
        std::this_thread::sleep_for(*wait);
        response = client().LogIn("alice");
      }
      if (response.ok()) ++succeeded;
    });
  }
  for (auto& person : people) person.join();
  EXPECT_EQ(succeeded.load(), 100);
  EXPECT_LT(PeakMemoryKib() - before, 200 * 1024);
}

TEST_F(LoginTest, WhatThePoolCannotTakeIsRefusedWithATime) {
  Registered("alice");
  ServerOptions narrow = options();
  narrow.passwords = {.hashing = {.memory_kib = 8192, .passes = 3}, .threads = 1, .queue = 1};
  Restart(narrow);
  AwaitReady(client());
  std::atomic<int> overloaded{0}, succeeded{0}, other{0};
  std::vector<std::thread> people;
  for (int i = 0; i < 30; ++i) {
    people.emplace_back([&] {
      const auto response = client().LogIn("alice");
      if (response.ok()) {
        ++succeeded;
      } else if (ReasonOf(response.status()) == Reason::OVERLOADED &&
                 DetailsOf(response.status()).retry_after > milliseconds(0)) {
        ++overloaded;
      } else {
        ++other;
      }
    });
  }
  for (auto& person : people) person.join();
  // One, if all others came before the thread had taken it from the queue.
  EXPECT_GE(succeeded.load(), 1);
  EXPECT_GT(overloaded.load(), 0);
  EXPECT_EQ(other.load(), 0);
}

TEST_F(LoginTest, AnotherPasswordEndsTheOtherDevices) {
  const v1::Tokens laptop = Registered("alice");
  const v1::Tokens phone = LoggedIn("alice");
  constexpr char kNew[] = "another fine battery";
  ASSERT_TRUE(client().ChangePassword(laptop.access_token(), kPassword, kNew).ok());
  EXPECT_TRUE(client().GetProfile(laptop.access_token()).ok());
  EXPECT_TRUE(client().Refresh(laptop.refresh_token()).ok());
  EXPECT_THAT(client().GetProfile(phone.access_token()), FailsWith(Reason::DEVICE_REVOKED));
  EXPECT_THAT(client().Refresh(phone.refresh_token()), FailsWith(Reason::REFRESH_TOKEN_INVALID));
  EXPECT_THAT(client().LogIn("alice"), FailsWith(Reason::WRONG_CREDENTIALS));
  EXPECT_TRUE(client().LogIn("alice", kNew).ok());
}

TEST_F(LoginTest, ChangingThePasswordNeedsTheOldOneAndAGoodNewOne) {
  const std::string token = Registered("alice").access_token();
  EXPECT_THAT(client().ChangePassword(token, kPassword, "alice in wonderland"),
              FailsWith(Reason::PASSWORD_REFUSED));
  EXPECT_THAT(client().ChangePassword(token, kPassword, "short"),
              FailsWith(Reason::PASSWORD_REFUSED));
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(client().ChangePassword(token, "wrong password", "another fine battery"),
                FailsWith(Reason::WRONG_CREDENTIALS));
  }
  EXPECT_THAT(client().ChangePassword(token, kPassword, "another fine battery"),
              FailsWith(Reason::LOGIN_LOCKED));
  // One count for both ways to guess.
  EXPECT_THAT(client().LogIn("alice"), FailsWith(Reason::LOGIN_LOCKED));
  clock_.Advance(seconds(31));
  EXPECT_TRUE(client().ChangePassword(token, kPassword, "another fine battery").ok());
}

TEST_F(LoginTest, FailuresAreCountedByAHashOfTheName) {
  EXPECT_THAT(client().LogIn("my secret password", "x"), FailsWith(Reason::WRONG_CREDENTIALS));
  EXPECT_EQ(database_.Value("SELECT count(*) FROM auth.login_failures"), "1");
  EXPECT_EQ(UserNameHash("ALICE"), UserNameHash("alice"));
  EXPECT_EQ(database_.Value("SELECT (name_hash = sha256('my secret password'))::text "
                            "FROM auth.login_failures"),
            "true");
}

}  // namespace
}  // namespace im::auth
