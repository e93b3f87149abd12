// im-presence in one process with the fakes of its neighbours and a real PostgreSQL.
#include "services/presence/presence_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/base/error.h"
#include "common/base/random.h"
#include "common/rpc/channel.h"
#include "common/rpc/router.h"
#include "common/rpc/server.h"
#include "im/presence/v1/presence.grpc.pb.h"
#include "services/presence/unary.h"
#include "tests/presence/fakes.h"
#include "tests/support/database.h"
#include "tests/support/tokens.h"

namespace im::presence {
namespace {

using std::chrono::milliseconds;
using testing::FakeChat;
using testing::FakeGateway;
using ::testing::Optional;

constexpr int64_t kAlice = 1;
constexpr int64_t kBob = 2;

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("im-" + RandomHex(6))) {
    std::filesystem::create_directory(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string Socket(const std::string& name) const { return "unix:" + (path_ / name).string(); }

 private:
  const std::filesystem::path path_;
};

// One run of im-presence, wired as main.cc does, with a clock that runs faster.
class Process {
 public:
  Process(const std::string& address, const std::string& chat, const std::string& database,
          im::testing::TestTokens* tokens)
      : pool_({.url = database, .connections = 2}),
        presence_(Options(chat), &pool_),
        links_({.authenticate = tokens->verifier().AsAuthenticate(), .handler = &presence_}),
        workers_(8, 100),
        router_(tokens->verifier().AsAuthenticate(), &workers_) {
    presence_.Start(&links_);
    AddPresenceService(&router_, &presence_);
    router_.Serve({kPresenceService});
    auto server = rpc::Server::Start({.listen = {{.address = address}},
                                      .generic = &router_,
                                      .services = {&links_},
                                      .healthy = [this] { return presence_.Healthy(); }});
    if (!server.ok()) throw std::runtime_error(server.status().ToString());
    server_ = *std::move(server);
  }
  ~Process() {
    links_.Shutdown();
    server_->Shutdown(milliseconds(500));
    presence_.Stop();
  }

  bool Healthy() const { return presence_.Healthy(); }

 private:
  static PresenceServerOptions Options(const std::string& chat) {
    PresenceServerOptions options;
    options.chat = {rpc::Connect(chat)};
    options.tick = milliseconds(20);
    options.patience = milliseconds(1000);
    options.database_round = milliseconds(50);
    options.lease_life = milliseconds(1500);
    options.book.roster.returning_hold = milliseconds(1000);
    options.book.roster.broken_hold = milliseconds(500);
    options.book.roster.settle = milliseconds(300);
    return options;
  }

  pg::Pool pool_;
  PresenceServer presence_;
  bus::LinkServer links_;
  Workers workers_;
  rpc::Router router_;
  std::unique_ptr<rpc::Server> server_;
};

class PresenceServerTest : public ::testing::Test {
 protected:
  PresenceServerTest()
      : chat_(std::make_unique<FakeChat>(folder_.Socket("chat"))),
        gateway_(folder_.Socket("presence"), "gateway"),
        stub_(v1::PresenceService::NewStub(rpc::Connect(folder_.Socket("presence")))) {
    Start();
  }
  ~PresenceServerTest() override { gateway_.Unlink(); }

  void Start() {
    process_ = std::make_unique<Process>(folder_.Socket("presence"), folder_.Socket("chat"),
                                         database_.UrlOf("presence"), &tokens_);
  }
  void LinkGateway() {
    gateway_.Link();
    gateway_.Announce();
  }
  std::string Token(int64_t user) { return tokens_.Issue(user, user * 100); }
  // Alice and Bob, contacts, connected, each with their picture.
  void AliceAndBob() {
    chat_->SetContacts(kAlice, kBob, true);
    LinkGateway();
    gateway_.Open(1, kAlice, Token(kAlice));
    gateway_.Open(2, kBob, Token(kBob));
    ASSERT_TRUE(gateway_.Pictured(1));
    ASSERT_TRUE(gateway_.Pictured(2));
    ASSERT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_ONLINE));
    ASSERT_TRUE(gateway_.Shows(kAlice, kBob, v1::STATUS_ONLINE));
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::PresenceService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                int64_t user, const Request& request) {
    rpc::Caller caller;
    caller.access_token = Token(user);
    return rpc::Call(stub_.get(), method, request, caller, std::chrono::seconds(10));
  }
  absl::StatusOr<v1::GetPresenceResponse> Get(int64_t user, const std::vector<int64_t>& whose) {
    v1::GetPresenceRequest request;
    request.mutable_user_ids()->Assign(whose.begin(), whose.end());
    return Call(&v1::PresenceService::Stub::GetPresence, user, request);
  }
  absl::Status Set(int64_t user, v1::Status status) {
    v1::SetStatusRequest request;
    request.set_status(status);
    return Call(&v1::PresenceService::Stub::SetStatus, user, request).status();
  }

  Folder folder_;
  im::testing::TestDatabase database_;
  im::testing::TestTokens tokens_;
  std::unique_ptr<FakeChat> chat_;
  std::unique_ptr<Process> process_;
  FakeGateway gateway_;
  std::unique_ptr<v1::PresenceService::Stub> stub_;
};

TEST_F(PresenceServerTest, ChangesReachContacts) {
  AliceAndBob();
  v1::SetStatusRequest away;
  away.set_status(v1::STATUS_AWAY);
  const auto answer = gateway_.Call(1, 20, away.SerializeAsString());
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->has_response());
  EXPECT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_AWAY));
  EXPECT_TRUE(Set(kAlice, v1::STATUS_BUSY).ok());
  EXPECT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_BUSY));
  gateway_.Close(1);
  EXPECT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_OFFLINE));
  EXPECT_TRUE(gateway_.Last(kBob, kAlice)->has_last_seen_at());
}

TEST_F(PresenceServerTest, TheGatewayHearsOfAStatusThatPassedItBy) {
  AliceAndBob();
  ASSERT_TRUE(Set(kAlice, v1::STATUS_INVISIBLE).ok());
  EXPECT_TRUE(gateway_.HearsStatus(1, v1::STATUS_INVISIBLE));
}

TEST_F(PresenceServerTest, BadFramesAreRefusedWithAReason) {
  AliceAndBob();
  const auto reason = [&](int frame, const std::string& bytes) {
    const auto answer = gateway_.Call(1, frame, bytes);
    return answer ? answer->failure().reason() : "no answer";
  };
  EXPECT_EQ(reason(20, "\xff\xff"), "MALFORMED_REQUEST");
  EXPECT_EQ(reason(20, ""), "STATUS_INVALID");
  v1::SetStatusRequest request;
  request.set_status(static_cast<v1::Status>(77));
  EXPECT_EQ(reason(20, request.SerializeAsString()), "STATUS_INVALID");
  request.set_status(v1::STATUS_OFFLINE);
  EXPECT_EQ(reason(20, request.SerializeAsString()), "STATUS_INVALID");
  EXPECT_EQ(reason(10, ""), "UNKNOWN_METHOD");
}

TEST_F(PresenceServerTest, UnaryCallsAreRefusedWithAReason) {
  LinkGateway();
  EXPECT_THAT(ReasonOf(Set(kAlice, v1::STATUS_ONLINE)), Optional(Reason::NOT_CONNECTED));
  EXPECT_THAT(ReasonOf(Set(kAlice, v1::STATUS_UNSPECIFIED)), Optional(Reason::STATUS_INVALID));
  EXPECT_THAT(ReasonOf(Get(kAlice, std::vector<int64_t>(501, kBob)).status()),
              Optional(Reason::INVALID_FIELD));
  rpc::Caller nobody;
  EXPECT_THAT(ReasonOf(rpc::Call(stub_.get(), &v1::PresenceService::Stub::GetPresence,
                                 v1::GetPresenceRequest(), nobody, std::chrono::seconds(10))
                           .status()),
              Optional(Reason::TOKEN_MISSING));
}

TEST_F(PresenceServerTest, ASessionWithABadTokenIsRefused) {
  LinkGateway();
  gateway_.Open(1, kAlice, "no.such.token");
  EXPECT_TRUE(gateway_.Refused(1));
}

TEST_F(PresenceServerTest, APersonWithoutAStreamMayAsk) {
  chat_->SetContacts(kAlice, kBob, true);
  LinkGateway();
  gateway_.Open(2, kBob, Token(kBob), v1::STATUS_BUSY);
  ASSERT_TRUE(gateway_.Pictured(2));
  const auto seen = Get(kAlice, {77, kBob, kAlice});
  ASSERT_TRUE(seen.ok()) << seen.status();
  ASSERT_EQ(seen->presences_size(), 3);
  EXPECT_EQ(seen->presences(0).user_id(), 77);
  EXPECT_EQ(seen->presences(0).status(), v1::STATUS_OFFLINE);
  EXPECT_FALSE(seen->presences(0).has_last_seen_at());
  EXPECT_EQ(seen->presences(1).status(), v1::STATUS_BUSY);
  EXPECT_EQ(seen->presences(2).user_id(), kAlice);
  const auto stranger = Get(77, {kBob});
  ASSERT_TRUE(stranger.ok()) << stranger.status();
  EXPECT_EQ(stranger->presences(0).status(), v1::STATUS_OFFLINE);
  EXPECT_FALSE(stranger->presences(0).has_last_seen_at());
}

TEST_F(PresenceServerTest, LastSeenOutlivesARestart) {
  AliceAndBob();
  gateway_.Close(1);
  ASSERT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_OFFLINE));
  const auto told = gateway_.Last(kBob, kAlice)->last_seen_at();
  auto seen = Get(kBob, {kAlice});
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->presences(0).last_seen_at().seconds(), told.seconds());
  gateway_.Unlink();
  process_.reset();
  Start();
  LinkGateway();
  seen = Get(kBob, {kAlice, kBob});
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->presences(0).status(), v1::STATUS_OFFLINE);
  EXPECT_EQ(seen->presences(0).last_seen_at().seconds(), told.seconds());
  EXPECT_TRUE(seen->presences(1).has_last_seen_at()) << "who was here when it ended, too";
}

TEST_F(PresenceServerTest, ABlockIsInForceBeforeItIsAcknowledged) {
  AliceAndBob();
  ASSERT_TRUE(chat_->Block(kAlice, kBob));
  // Asked after the acknowledgement.
  const auto seen = Get(kBob, {kAlice});
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->presences(0).status(), v1::STATUS_OFFLINE);
  EXPECT_FALSE(seen->presences(0).has_last_seen_at());
  EXPECT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_OFFLINE));
  EXPECT_FALSE(gateway_.Last(kBob, kAlice)->has_last_seen_at());
  ASSERT_TRUE(Set(kAlice, v1::STATUS_BUSY).ok());
  // A word to Bob that comes after any that the change could have caused.
  chat_->SetContacts(kBob, 3, true);
  chat_->Tell(kBob, 3);
  gateway_.Open(3, 3, Token(3));
  ASSERT_TRUE(gateway_.Shows(kBob, 3, v1::STATUS_ONLINE));
  EXPECT_EQ(gateway_.Last(kBob, kAlice)->status(), v1::STATUS_OFFLINE);
}

TEST_F(PresenceServerTest, ABrokenFeedIsTakenUpAgain) {
  AliceAndBob();
  chat_->Stop();
  chat_->SetContacts(kAlice, kBob, false);
  ASSERT_TRUE(Set(kAlice, v1::STATUS_BUSY).ok());
  chat_->Start();
  ASSERT_TRUE(chat_->WaitForWatcher());
  EXPECT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_OFFLINE));
  const auto seen = Get(kBob, {kAlice});
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_EQ(seen->presences(0).status(), v1::STATUS_OFFLINE);
}

TEST_F(PresenceServerTest, WhileTheFeedIsDownNothingIsSaid) {
  AliceAndBob();
  chat_->Stop();
  EXPECT_THAT(ReasonOf(Get(kBob, {kAlice}).status()), Optional(Reason::SERVICE_UNAVAILABLE));
}

TEST_F(PresenceServerTest, NobodyFlickersWhenItIsRestarted) {
  AliceAndBob();
  gateway_.Unlink();
  process_.reset();
  const int offline = gateway_.offline_told();
  Start();
  gateway_.Link();
  gateway_.Open(1, kAlice, Token(kAlice));
  gateway_.Open(2, kBob, Token(kBob));
  gateway_.Announce();
  ASSERT_TRUE(gateway_.Pictured(1));
  ASSERT_TRUE(gateway_.Pictured(2));
  ASSERT_TRUE(Set(kAlice, v1::STATUS_BUSY).ok());
  EXPECT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_BUSY));
  EXPECT_EQ(gateway_.offline_told(), offline);
}

TEST_F(PresenceServerTest, AfterARestartItWaitsForTheGatewaysOfLiveLeases) {
  AliceAndBob();
  FakeGateway other(folder_.Socket("presence"), "other");
  gateway_.Unlink();
  process_.reset();
  const int offline = gateway_.offline_told();
  database_.Exec("UPDATE presence.leases SET expires_at = clock_timestamp() + interval '1 minute'");
  Start();
  // Bob comes back by another gateway, before the one that holds Alice.
  other.Link();
  other.Open(1, kBob, Token(kBob));
  other.Announce();
  ASSERT_TRUE(other.Opened(1));
  EXPECT_THAT(ReasonOf(Get(kBob, {kAlice}).status()), Optional(Reason::SERVICE_UNAVAILABLE));
  gateway_.Link();
  gateway_.Open(1, kAlice, Token(kAlice));
  gateway_.Announce();
  ASSERT_TRUE(other.Pictured(1));
  EXPECT_TRUE(other.Shows(kBob, kAlice, v1::STATUS_ONLINE));
  EXPECT_EQ(other.offline_told(), 0);
  EXPECT_EQ(gateway_.offline_told(), offline);
  other.Unlink();
}

TEST_F(PresenceServerTest, AGatewayThatIsKilledKeepsItsDevicesUntilItsLeaseLapses) {
  AliceAndBob();
  FakeGateway other(folder_.Socket("presence"), "other");
  other.Link();
  other.Announce();
  other.Open(1, kAlice, tokens_.Issue(kAlice, 101));
  ASSERT_TRUE(other.Opened(1));
  gateway_.Close(1);
  other.Unlink();
  EXPECT_EQ(gateway_.Last(kBob, kAlice)->status(), v1::STATUS_ONLINE);
  EXPECT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_OFFLINE));
  EXPECT_EQ(
      database_.Value("SELECT count(*) FROM presence.leases WHERE expires_at > clock_timestamp()"),
      "1");
}

TEST_F(PresenceServerTest, ADrainingGatewayHandsItsDevicesOver) {
  AliceAndBob();
  FakeGateway other(folder_.Socket("presence"), "other");
  other.Link();
  other.Announce();
  const int offline = gateway_.offline_told();
  gateway_.Close(1, /*returning=*/true);
  other.Open(1, kAlice, Token(kAlice), v1::STATUS_AWAY);
  EXPECT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_AWAY));
  EXPECT_TRUE(other.Shows(kAlice, kBob, v1::STATUS_ONLINE));
  EXPECT_EQ(gateway_.offline_told(), offline);
  other.Unlink();
}

TEST_F(PresenceServerTest, HealthTellsTheTruthAboutTheDatabase) {
  const auto becomes = [&](bool healthy) {
    const auto deadline = testing::Soon();
    while (process_->Healthy() != healthy) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      database_.Value("SELECT 1");
    }
    return true;
  };
  EXPECT_TRUE(becomes(true));
  database_.Exec("ALTER SCHEMA presence RENAME TO elsewhere");
  EXPECT_TRUE(becomes(false));
  database_.Exec("ALTER SCHEMA elsewhere RENAME TO presence");
  EXPECT_TRUE(becomes(true));
}

TEST_F(PresenceServerTest, NobodyIsOfflineWhileTheLeasesCannotBeRead) {
  AliceAndBob();
  FakeGateway other(folder_.Socket("presence"), "other");
  other.Link();
  other.Announce();
  other.Open(1, kAlice, tokens_.Issue(kAlice, 101));
  ASSERT_TRUE(other.Opened(1));
  // Until it was renewed: the round before that has read it.
  const auto lease = [&] {
    return database_.Value(
        "SELECT coalesce(max(expires_at)::text, '') FROM presence.leases WHERE gateway_id = "
        "'other'");
  };
  const auto deadline = testing::Soon();
  std::string first;
  while (first.empty() || lease() == first) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    if (first.empty()) first = lease();
  }
  gateway_.Close(1);
  database_.Exec("ALTER TABLE presence.leases RENAME TO elsewhere");
  other.Unlink();
  // Its lease lapses meanwhile: it is good for 1.5 seconds.
  EXPECT_EQ(database_.Value("SELECT count(*) FROM (SELECT pg_sleep_until(max(expires_at)"
                            " + interval '1 second') FROM presence.elsewhere) AS over"),
            "1");
  EXPECT_EQ(gateway_.Last(kBob, kAlice)->status(), v1::STATUS_ONLINE);
  database_.Exec("ALTER TABLE presence.elsewhere RENAME TO leases");
  EXPECT_TRUE(gateway_.Shows(kBob, kAlice, v1::STATUS_OFFLINE));
}

}  // namespace
}  // namespace im::presence
