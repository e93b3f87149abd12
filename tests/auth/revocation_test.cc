// Ended devices reach every process within a second, also from another instance and from the
// operator; what im-auth does without its database.
#include <pqxx/pqxx>
#include <thread>

#include "common/base/mutex.h"
#include "common/token/watcher.h"
#include "tests/auth/auth_fixture.h"

namespace im::auth {
namespace {

using internal::v1::WatchRevocationsResponse;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// A verifier and its watcher, as every service has them.
class Service {
 public:
  explicit Service(const std::vector<std::string>& addresses)
      : watcher_({.addresses = addresses,
                  .on_revoked =
                      [this](int64_t device_id) {
                        MutexLock lock(&mu_);
                        revoked_.push_back(device_id);
                        changed_.NotifyAll();
                      }},
                 &verifier_) {}

  // How long until it was told; a second is the promise, ten are waited for.
  milliseconds HearsOf(int64_t device_id) {
    const auto start = steady_clock::now();
    MutexLock lock(&mu_);
    while (std::count(revoked_.begin(), revoked_.end(), device_id) == 0) {
      if (!changed_.WaitUntil(&mu_, start + seconds(10))) break;
    }
    return std::chrono::duration_cast<milliseconds>(steady_clock::now() - start);
  }
  int TimesTold(int64_t device_id) {
    MutexLock lock(&mu_);
    return static_cast<int>(std::count(revoked_.begin(), revoked_.end(), device_id));
  }

  // Until the keys are there.
  absl::StatusOr<rpc::Identity> Verify(const std::string& token) {
    const auto deadline = steady_clock::now() + seconds(20);
    while (true) {
      auto identity = verifier_.Verify(token);
      if (ReasonOf(identity.status()) != Reason::SERVICE_UNAVAILABLE ||
          steady_clock::now() > deadline) {
        return identity;
      }
      std::this_thread::yield();
    }
  }
  bool Knows(int64_t device_id) { return verifier_.IsRevoked(device_id); }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<int64_t> revoked_ IM_GUARDED_BY(mu_);
  token::Verifier verifier_;
  token::Watcher watcher_;
};

class RevocationTest : public AuthTest {
 protected:
  ServerOptions SecondOptions() {
    ServerOptions second = options();
    second.listen.address = "unix:" + folder_.File("second.sock");
    return second;
  }
  std::string address() { return server_->addresses().front(); }
};

TEST_F(RevocationTest, ServicesRefuseARevokedDeviceAtOnce) {
  const v1::Tokens alice = Registered("alice");
  Service service({address()});
  ASSERT_TRUE(service.Verify(alice.access_token()).ok());
  ASSERT_TRUE(client().LogOut(alice.access_token()).ok());
  EXPECT_LT(service.HearsOf(alice.device_id()), seconds(1));
  EXPECT_THAT(service.Verify(alice.access_token()), FailsWith(Reason::DEVICE_REVOKED));
}

TEST_F(RevocationTest, TwoInstancesTellEachOther) {
  const auto second = Start(SecondOptions());
  Client other(second->addresses().front());
  AwaitReady(other);
  const v1::Tokens alice = Registered("alice");
  // One key for both.
  ASSERT_TRUE(other.GetProfile(alice.access_token()).ok());
  Service service({second->addresses().front()});
  ASSERT_TRUE(service.Verify(alice.access_token()).ok());

  ASSERT_TRUE(client().LogOut(alice.access_token()).ok());
  EXPECT_LT(service.HearsOf(alice.device_id()), seconds(1));
  EXPECT_THAT(other.GetProfile(alice.access_token()), FailsWith(Reason::DEVICE_REVOKED));
  EXPECT_EQ(service.TimesTold(alice.device_id()), 1);
}

TEST_F(RevocationTest, AnOperatorsWordAtTheDatabaseIsHeard) {
  const v1::Tokens alice = Registered("alice");
  Service service({address()});
  ASSERT_TRUE(service.Verify(alice.access_token()).ok());
  database_.Exec("SELECT auth.lock_account(now(), 'alice')");
  EXPECT_LT(service.HearsOf(alice.device_id()), seconds(1));
}

// A statement's time lies before its commit: one that committed late is found all the same.
TEST_F(RevocationTest, ALateCommitIsNotMissed) {
  const v1::Tokens alice = Registered("alice");
  const v1::Tokens bob = Registered("bob");
  Service service({address()});
  ASSERT_TRUE(service.Verify(alice.access_token()).ok());
  pqxx::connection connection(database_.url());
  pqxx::work late(connection);
  late.exec("UPDATE auth.devices SET ended_at = clock_timestamp() WHERE device_id = " +
            std::to_string(alice.device_id()));
  // Polls go past it meanwhile.
  ASSERT_TRUE(client().LogOut(bob.access_token()).ok());
  database_.Exec("UPDATE auth.devices SET ended_at = clock_timestamp() WHERE device_id = " +
                 std::to_string(LoggedIn("bob").device_id()));
  const v1::Tokens carol = Registered("carol");
  database_.Exec("SELECT auth.lock_account(now(), 'carol')");
  ASSERT_LT(service.HearsOf(carol.device_id()), seconds(2));
  EXPECT_FALSE(service.Knows(alice.device_id()));
  late.commit();
  EXPECT_LT(service.HearsOf(alice.device_id()), seconds(1));
}

TEST_F(RevocationTest, WhoComesLaterGetsTheSnapshotFirst) {
  const v1::Tokens alice = Registered("alice");
  ASSERT_TRUE(client().LogOut(alice.access_token()).ok());
  Service service({address()});
  // Never accepted: the keys come after the snapshot.
  EXPECT_THAT(service.Verify(alice.access_token()), FailsWith(Reason::DEVICE_REVOKED));

  grpc::ClientContext context;
  const auto stream =
      client().directory->WatchRevocations(&context, internal::v1::WatchRevocationsRequest());
  WatchRevocationsResponse first;
  ASSERT_TRUE(stream->Read(&first));
  EXPECT_TRUE(first.snapshot());
  ASSERT_EQ(first.revocations_size(), 1);
  EXPECT_EQ(first.revocations(0).device_id(), alice.device_id());
  context.TryCancel();
  stream->Finish();
}

TEST_F(RevocationTest, TheSnapshotHoldsTheLastQuarterOfAnHourAndNoMore) {
  const v1::Tokens alice = Registered("alice");
  const v1::Tokens bob = Registered("bob");
  database_.Exec(
      "UPDATE auth.devices SET ended_at = clock_timestamp() - interval '14 minutes' "
      "WHERE device_id = " +
      std::to_string(alice.device_id()));
  database_.Exec(
      "UPDATE auth.devices SET ended_at = clock_timestamp() - interval '1 hour' "
      "WHERE device_id = " +
      std::to_string(bob.device_id()));
  Restart();
  AwaitReady(client());
  EXPECT_THAT(client().GetProfile(alice.access_token()), FailsWith(Reason::DEVICE_REVOKED));
  grpc::ClientContext context;
  const auto stream =
      client().directory->WatchRevocations(&context, internal::v1::WatchRevocationsRequest());
  WatchRevocationsResponse first;
  ASSERT_TRUE(stream->Read(&first));
  ASSERT_EQ(first.revocations_size(), 1);
  EXPECT_EQ(first.revocations(0).device_id(), alice.device_id());
  context.TryCancel();
  stream->Finish();
}

TEST_F(RevocationTest, WatchersComeBackAfterARestart) {
  const v1::Tokens alice = Registered("alice");
  Service service({address()});
  ASSERT_TRUE(service.Verify(alice.access_token()).ok());
  const std::string socket = address();
  client_.reset();
  server_.reset();
  // While im-auth is away: on with what is known.
  EXPECT_TRUE(service.Verify(alice.access_token()).ok());
  database_.Exec("SELECT auth.lock_account(now(), 'alice')");
  Restart();
  EXPECT_LT(service.HearsOf(alice.device_id()), seconds(5));
}

TEST_F(RevocationTest, ServicesMayStartBeforeImAuth) {
  const v1::Tokens alice = Registered("alice");
  const std::string socket = address();
  client_.reset();
  server_.reset();
  Service service({socket});
  token::Verifier fresh;
  EXPECT_THAT(fresh.Verify(alice.access_token()), FailsWith(Reason::SERVICE_UNAVAILABLE));
  Restart();
  EXPECT_TRUE(service.Verify(alice.access_token()).ok());
}

TEST_F(RevocationTest, OneInstanceOfTwoIsEnough) {
  const v1::Tokens alice = Registered("alice");
  Service service({"unix:" + folder_.File("nobody.sock"), address()});
  EXPECT_TRUE(service.Verify(alice.access_token()).ok());
  ASSERT_TRUE(client().LogOut(alice.access_token()).ok());
  EXPECT_LT(service.HearsOf(alice.device_id()), seconds(1));
}

// The operator may put a key in force at once, as after a leak.
TEST_F(RevocationTest, AKeyThatWasNotAnnouncedIsFetchedWhenATokenNamesIt) {
  const v1::Tokens before = Registered("alice");
  Service service({address()});
  ASSERT_TRUE(service.Verify(before.access_token()).ok());
  const token::KeyPair pair = token::GenerateKeyPair();
  database_.Exec("INSERT INTO auth.signing_keys VALUES ('" + pair.id + "', '" + pair.private_pem +
                 "', '" + pair.jwk + "', now())");
  Restart();
  AwaitReady(client());
  const v1::Tokens after = LoggedIn("alice");
  EXPECT_THAT(service.Verify(after.access_token()), FailsWith(Reason::TOKEN_INVALID));
  const auto deadline = steady_clock::now() + seconds(20);
  while (!service.Verify(after.access_token()).ok() && steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(service.Verify(after.access_token()).ok());
  EXPECT_TRUE(service.Verify(before.access_token()).ok());
}

TEST_F(RevocationTest, StreamsEndWithAReasonAtShutdown) {
  grpc::ClientContext context;
  const auto stream =
      client().directory->WatchRevocations(&context, internal::v1::WatchRevocationsRequest());
  WatchRevocationsResponse response;
  ASSERT_TRUE(stream->Read(&response));
  server_->Shutdown(seconds(5));
  while (stream->Read(&response)) {
  }
  EXPECT_THAT(rpc::FromGrpc(stream->Finish()), FailsWith(Reason::SHUTTING_DOWN));
}

}  // namespace
}  // namespace im::auth
