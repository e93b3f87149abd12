// im-auth while its database is away: it starts, says so, and gets well by itself.
#include <pqxx/pqxx>

#include "tests/auth/auth_fixture.h"
#include "tests/support/stack.h"

namespace im::auth {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

class OutageTest : public AuthTest {
 protected:
  // Nobody gets in any more, and who is in is out.
  void CloseDatabase() {
    Admin("ALTER DATABASE " + DatabaseName() + " ALLOW_CONNECTIONS false");
    Admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" +
          DatabaseName() + "'");
  }
  void OpenDatabase() { Admin("ALTER DATABASE " + DatabaseName() + " ALLOW_CONNECTIONS true"); }

  bool BecomesServing(bool serving) {
    const auto deadline = steady_clock::now() + seconds(20);
    while (im::testing::IsServing(server_->addresses().front()) != serving) {
      if (steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

 private:
  std::string DatabaseName() const {
    const std::string& url = database_.url();
    const size_t begin = url.find("///") + 3;
    return url.substr(begin, url.find('?') - begin);
  }
  void Admin(const std::string& sql) {
    std::string url = database_.url();
    url.replace(url.find(DatabaseName()), DatabaseName().size(), "postgres");
    pqxx::connection connection(url);
    pqxx::nontransaction transaction(connection);
    transaction.exec(sql);
  }
};

TEST_F(OutageTest, StartsBeforeItsDatabase) {
  const v1::Tokens alice = Registered("alice");
  client_.reset();
  server_.reset();
  CloseDatabase();
  Restart();
  EXPECT_FALSE(im::testing::IsServing(server_->addresses().front()));
  EXPECT_THAT(client().LogIn("alice"), FailsWith(Reason::DATABASE_UNAVAILABLE));
  EXPECT_THAT(client().Register("bob"), FailsWith(Reason::DATABASE_UNAVAILABLE));
  EXPECT_THAT(client().Refresh(alice.refresh_token()), FailsWith(Reason::DATABASE_UNAVAILABLE));
  EXPECT_THAT(client().GetProfile(alice.access_token()), FailsWith(Reason::DATABASE_UNAVAILABLE));
  OpenDatabase();
  EXPECT_TRUE(BecomesServing(true));
  EXPECT_TRUE(client().LogIn("alice").ok());
  EXPECT_TRUE(client().GetProfile(alice.access_token()).ok());
}

TEST_F(OutageTest, LosesItsDatabaseAndFindsItAgain) {
  const v1::Tokens alice = Registered("alice");
  EXPECT_TRUE(BecomesServing(true));
  CloseDatabase();
  EXPECT_TRUE(BecomesServing(false));
  EXPECT_THAT(client().LogIn("alice"), FailsWith(Reason::DATABASE_UNAVAILABLE));
  EXPECT_THAT(client().GetProfile(alice.access_token()), FailsWith(Reason::DATABASE_UNAVAILABLE));
  // The keys are known: others can go on.
  EXPECT_TRUE(client()
                  .Call(client().keys.get(), &v1::KeyService::Stub::GetKeys, v1::GetKeysRequest())
                  .ok());
  OpenDatabase();
  EXPECT_TRUE(BecomesServing(true));
  EXPECT_TRUE(client().LogIn("alice").ok());
}

}  // namespace
}  // namespace im::auth
