// im-auth user ...: the operator's commands as a person runs them, beside a service.
#include <fstream>

#include "tests/auth/auth_fixture.h"
#include "tests/support/stack.h"

namespace im::auth {
namespace {

using im::testing::Outcome;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class OperatorTest : public AuthTest {
 protected:
  OperatorTest() {
    std::ofstream file(folder_.File("auth.conf"));
    file << "[server]\nlisten = unix:" << folder_.File("other.sock") << "\n"
         << "[database]\nurl = \"" << database_.UrlOf("auth") << "\"\n"
         << "[passwords]\nmemory_kib = 8\npasses = 1\n";
  }

  Outcome User(std::vector<std::string> arguments, const std::string& input = {}) {
    std::vector<std::string> command = {IM_BINARY_DIR "/bin/im-auth", "user"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    command.push_back("--config");
    command.push_back(folder_.File("auth.conf"));
    return im::testing::RunProgram(command, input);
  }

  // The service finds out by itself; a second is the promise.
  bool IsRevokedSoon(const std::string& access_token) {
    const auto deadline = steady_clock::now() + seconds(1);
    while (steady_clock::now() < deadline) {
      const auto profile = client().GetProfile(access_token);
      if (ReasonOf(profile.status()) == Reason::DEVICE_REVOKED) return true;
    }
    return false;
  }
};

TEST_F(OperatorTest, AddsAccounts) {
  const Outcome added = User({"add", "Alice", "--password-stdin"}, std::string(kPassword) + "\n");
  EXPECT_EQ(added.status, 0) << added.err;
  EXPECT_THAT(added.out, HasSubstr("Added alice"));
  EXPECT_TRUE(client().LogIn("alice").ok());

  const Outcome again = User({"add", "alice", "--password-stdin"}, kPassword);
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.err, HasSubstr("Somebody else has this user name"));
}

TEST_F(OperatorTest, TheRulesHoldForTheOperatorToo) {
  const Outcome weak = User({"add", "alice", "--password-stdin"}, "password1\n");
  EXPECT_EQ(weak.status, 1);
  EXPECT_THAT(weak.err, HasSubstr("a common password"));
  EXPECT_EQ(User({"add", "no name", "--password-stdin"}, kPassword).status, 1);
  const Outcome nothing = User({"add", "alice", "--password-stdin"});
  EXPECT_EQ(nothing.status, 1);
  EXPECT_THAT(nothing.err, HasSubstr("standard input is empty"));
  const Outcome no_terminal = User({"add", "alice"}, kPassword);
  EXPECT_EQ(no_terminal.status, 1);
  EXPECT_THAT(no_terminal.err, HasSubstr("--password-stdin"));
  EXPECT_EQ(User({"add"}).status, 2);
  EXPECT_EQ(User({}).status, 2);
  EXPECT_EQ(User({"add", "alice", "--password", kPassword}).status, 2);
  const Outcome misspelt = User({"lsit"});
  EXPECT_EQ(misspelt.status, 2);
  EXPECT_THAT(misspelt.err, HasSubstr("does not know lsit"));
  EXPECT_EQ(database_.Value("SELECT count(*) FROM auth.accounts"), "0");
}

TEST_F(OperatorTest, LockingEndsAllDevices) {
  const v1::Tokens alice = Registered("alice");
  LoggedIn("alice");
  ASSERT_TRUE(client().GetProfile(alice.access_token()).ok());
  const Outcome locked = User({"lock", "ALICE"});
  EXPECT_EQ(locked.status, 0) << locked.err;
  EXPECT_EQ(locked.out, "Locked alice; devices ended: 2.\n");
  EXPECT_TRUE(IsRevokedSoon(alice.access_token()));
  EXPECT_THAT(client().LogIn("alice"), FailsWith(Reason::ACCOUNT_LOCKED));
  EXPECT_THAT(client().Refresh(alice.refresh_token()), FailsWith(Reason::ACCOUNT_LOCKED));
  // Twice changes nothing.
  EXPECT_EQ(User({"lock", "alice"}).out, "Locked alice; devices ended: 0.\n");

  EXPECT_EQ(User({"unlock", "alice"}).status, 0);
  EXPECT_TRUE(client().LogIn("alice").ok());
  // What was ended stays so.
  EXPECT_THAT(client().Refresh(alice.refresh_token()), FailsWith(Reason::REFRESH_TOKEN_INVALID));
}

TEST_F(OperatorTest, UnlockingOpensANameAfterWrongPasswords) {
  Registered("alice");
  for (int i = 0; i < 5; ++i) client().LogIn("alice", "wrong password").IgnoreError();
  ASSERT_THAT(client().LogIn("alice"), FailsWith(Reason::LOGIN_LOCKED));
  EXPECT_EQ(User({"unlock", "alice"}).status, 0);
  EXPECT_TRUE(client().LogIn("alice").ok());
}

TEST_F(OperatorTest, ResettingThePasswordEndsAllDevices) {
  const v1::Tokens alice = Registered("alice");
  const Outcome reset =
      User({"reset-password", "alice", "--password-stdin"}, "another fine battery\n");
  EXPECT_EQ(reset.status, 0) << reset.err;
  EXPECT_TRUE(IsRevokedSoon(alice.access_token()));
  EXPECT_THAT(client().LogIn("alice"), FailsWith(Reason::WRONG_CREDENTIALS));
  EXPECT_TRUE(client().LogIn("alice", "another fine battery").ok());
}

TEST_F(OperatorTest, WhoIsNotThereIsSaid) {
  for (const std::string command : {"lock", "unlock"}) {
    const Outcome outcome = User({command, "nobody"});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err, HasSubstr("there is no user nobody"));
  }
  EXPECT_EQ(User({"reset-password", "nobody", "--password-stdin"}, kPassword).status, 1);
}

TEST_F(OperatorTest, ListsAccounts) {
  Registered("alice");
  Registered("bob");
  LoggedIn("bob");
  User({"lock", "alice"});
  const Outcome table = User({"list"});
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(table.out, ::testing::ContainsRegex("ID +NAME +STATE +DEVICES +CREATED +LAST USED"));
  EXPECT_THAT(table.out, ::testing::ContainsRegex("1 +alice +locked +0 "));
  EXPECT_THAT(table.out, ::testing::ContainsRegex("2 +bob +open +2 "));
  EXPECT_THAT(table.out, Not(HasSubstr("argon2")));

  const Outcome json = User({"list", "--json"});
  EXPECT_EQ(json.status, 0) << json.err;
  EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 2);
  EXPECT_THAT(json.out, StartsWith("{"));
  EXPECT_THAT(json.out, HasSubstr("\"user_name\":\"alice\""));
  EXPECT_THAT(json.out, HasSubstr("\"locked\":true"));
  EXPECT_THAT(json.out, HasSubstr("\"devices\":2"));
  EXPECT_THAT(json.out, HasSubstr("\"user_id\":2"));
}

TEST_F(OperatorTest, WithoutADatabaseItFails) {
  const Outcome outcome =
      im::testing::RunProgram({IM_BINARY_DIR "/bin/im-auth", "--database.url",
                               "postgresql:///x?host=/nowhere", "user", "list"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("The database cannot be reached"));
}

TEST_F(OperatorTest, TheDaemonRefusesWhatItCannotServe) {
  const Outcome nowhere = im::testing::RunProgram({IM_BINARY_DIR "/bin/im-auth"});
  EXPECT_EQ(nowhere.status, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("server.listen is required"));
  const Outcome open = im::testing::RunProgram(
      {IM_BINARY_DIR "/bin/im-auth", "--server.listen", "0.0.0.0:0", "--passwords.memory_kib=8"});
  EXPECT_EQ(open.status, 1);
  EXPECT_THAT(open.err, HasSubstr("without mutual TLS"));
  std::ofstream(folder_.File("odd.conf")) << "[passwords]\npepper = 7\n";
  const Outcome unknown =
      im::testing::RunProgram({IM_BINARY_DIR "/bin/im-auth", "--config", folder_.File("odd.conf")});
  EXPECT_NE(unknown.status, 0);
  EXPECT_THAT(unknown.err, HasSubstr("pepper"));
}

}  // namespace
}  // namespace im::auth
