// Every rate limit through the gateway: each kind of action, for one device, account and address;
// each call on a connection of its own, so that no limit ends with a connection.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

#include "common/rpc/status.h"
#include "tests/gateway/fixture.h"

namespace im::gateway {
namespace {

constexpr int kAllowed = 2;

struct Case {
  Action action;
  Scope scope;
};

// Log-ins, registrations and refreshes carry no token; but changing a password counts as a log-in.
std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (int action = 0; action < kActions; ++action) {
    for (int scope = 0; scope < kScopes; ++scope) {
      const Case one{static_cast<Action>(action), static_cast<Scope>(scope)};
      const bool anonymous = one.action == Action::kRegister || one.action == Action::kRefresh;
      if (!anonymous || one.scope == Scope::kAddress) cases.push_back(one);
    }
  }
  return cases;
}

class LimitsOfActionsTest : public GatewayTest, public ::testing::WithParamInterface<Case> {
 protected:
  LimitsOfActionsTest() { options_.limits.exempt = "none"; }

  void Limit(Action action, Scope scope, int per_minute) {
    options_.limits.per_minute[static_cast<int>(action)][static_cast<int>(scope)] = per_minute;
  }
  absl::Status Call(const std::string& path, const std::string& token) {
    grpc::GenericStub stub(Channel());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!token.empty()) context.AddMetadata(rpc::kAuthorizationKey, "Bearer " + token);
    const grpc::ByteBuffer request = rpc::ToByteBuffer("");
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, path, grpc::StubOptions(), &request, &response,
                   [&](grpc::Status status) { done.set_value(std::move(status)); });
    return rpc::FromGrpc(done.get_future().get());
  }
  absl::Status Connects(const std::string& token) {
    Device device(Channel(), token);
    device.Hello();
    if (device.Next().has_welcome()) return absl::OkStatus();
    return device.End();
  }
  // The action once, by that device ("user:device").
  absl::Status Do(Action action, const std::string& token) {
    switch (action) {
      case Action::kLogIn:
        return Call("/im.auth.v1.AccountService/ChangePassword", token);
      case Action::kRegister:
        return Call("/im.auth.v1.AccountService/Register", "");
      case Action::kRefresh:
        return Call("/im.auth.v1.AccountService/Refresh", "");
      case Action::kSearch:
        return Call("/im.auth.v1.AccountService/LookUpProfiles", token);
      case Action::kRequest:
        return Call("/im.chat.v1.ContactService/RequestContact", token);
      case Action::kSend:
        return Call("/im.chat.v1.MessageService/SendMessage", token);
      case Action::kConnect:
        return Connects(token);
      case Action::kOther:
        return Call("/im.chat.v1.MessageService/MarkRead", token);
    }
    return absl::InternalError("no such action");
  }
  static bool IsLimited(const absl::Status& status) {
    return im::ReasonOf(status) == Reason::RATE_LIMITED;
  }
  static void ExpectLimited(const absl::Status& status) {
    EXPECT_TRUE(IsLimited(status)) << status;
    const auto retry = DetailsOf(status).retry_after;
    ASSERT_TRUE(retry.has_value());
    EXPECT_GT(retry->count(), 0);
    EXPECT_LE(retry->count(), 60'000);
  }
};

TEST_P(LimitsOfActionsTest, EndsWhereItSaysForThoseItIsAbout) {
  const auto [action, scope] = GetParam();
  Limit(action, scope, kAllowed);
  Start();
  for (int i = 0; i < kAllowed; ++i) EXPECT_FALSE(IsLimited(Do(action, "1:10")));
  ExpectLimited(Do(action, "1:10"));
  // Another device of the account, and another account.
  EXPECT_EQ(IsLimited(Do(action, "1:11")), scope != Scope::kDevice);
  EXPECT_EQ(IsLimited(Do(action, "2:20")), scope == Scope::kAddress);
  // Another kind of action has a bucket of its own.
  const Action other = action == Action::kSearch ? Action::kRequest : Action::kSearch;
  EXPECT_FALSE(IsLimited(Do(other, "1:10")));
}

INSTANTIATE_TEST_SUITE_P(All, LimitsOfActionsTest, ::testing::ValuesIn(AllCases()),
                         [](const auto& one) {
                           return ActionName(one.param.action) + "_" + ScopeName(one.param.scope);
                         });

class LimitsOfStreamsTest : public LimitsOfActionsTest {};

// A log-in proper, by people who have no token yet.
TEST_F(LimitsOfStreamsTest, LogInsWithoutAToken) {
  Limit(Action::kLogIn, Scope::kAddress, kAllowed);
  Start();
  const char* const path = "/im.auth.v1.AccountService/LogIn";
  for (int i = 0; i < kAllowed; ++i) EXPECT_FALSE(IsLimited(Call(path, "")));
  ExpectLimited(Call(path, ""));
}

TEST_F(LimitsOfStreamsTest, SendsCountOverStreamsAndCallsAlike) {
  Limit(Action::kSend, Scope::kDevice, kAllowed);
  Start();
  for (int i = 0; i < kAllowed; ++i) {
    auto alice = Live("1:10");
    alice->SendMessage(1, 5, "a");
    chat_->Answer(chat_->TakeCall(), "");
    EXPECT_EQ(alice->Next().answer().call_id(), 1u);
    alice->Cut();
  }
  auto alice = Live("1:10");
  alice->SendMessage(2, 5, "a");
  EXPECT_EQ(ReasonOf(alice->Next()), Reason::RATE_LIMITED);
  ExpectLimited(Do(Action::kSend, "1:10"));
}

TEST_F(LimitsOfStreamsTest, SubscribeCountsAsConnect) {
  Limit(Action::kConnect, Scope::kAccount, 1);
  Start();
  EXPECT_TRUE(Connects("1:10").ok());
  Device subscribed(Channel(), "1:11", "Subscribe");
  ExpectLimited(subscribed.End());
}

// A container often has none.
bool HasLoopbackOfTheSixthVersion() {
  const int fd = socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 any_port{};
  any_port.sin6_family = AF_INET6;
  any_port.sin6_addr = in6addr_loopback;
  const bool has = bind(fd, reinterpret_cast<const sockaddr*>(&any_port), sizeof any_port) == 0;
  close(fd);
  return has;
}

TEST_F(LimitsOfStreamsTest, OfAddressesOfTheSixthVersion) {
  if (!HasLoopbackOfTheSixthVersion()) GTEST_SKIP() << "this machine has no ::1";
  Limit(Action::kLogIn, Scope::kAddress, kAllowed);
  config_.listen = "[::1]:0";
  Start();
  config_.listen = server_->addresses().front();
  for (int i = 0; i < kAllowed; ++i) EXPECT_FALSE(IsLimited(Do(Action::kLogIn, "1:10")));
  ExpectLimited(Do(Action::kLogIn, "2:20"));
}

}  // namespace
}  // namespace im::gateway
