// Every RPC and every frame of a stream against nine who should not get far. What each gets stands
// in authorization_table.cc; an RPC that is not in it fails here.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <future>

#include "absl/strings/match.h"
#include "common/rpc/bytes.h"
#include "common/rpc/status.h"
#include "im/gateway/v1/gateway.grpc.pb.h"
#include "tests/security/rpcs.h"
#include "tests/security/stream.h"
#include "tests/security/world.h"

namespace im::testing {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::Optional;
using ::testing::UnorderedElementsAreArray;

constexpr auto kLeft = Attacker::kLeft;

constexpr char kConnect[] = "im.gateway.v1.GatewayService/Connect";
constexpr char kSubscribe[] = "im.gateway.v1.GatewayService/Subscribe";

absl::StatusOr<std::string> CallUnary(const std::shared_ptr<grpc::Channel>& channel,
                                      const std::string& path, const std::string& token,
                                      const std::string& bytes) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(20));
  if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  const grpc::ByteBuffer request = rpc::ToByteBuffer(bytes);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, path, grpc::StubOptions(), &request, &response,
                 [&](grpc::Status status) { done.set_value(std::move(status)); });
  const grpc::Status status = done.get_future().get();
  if (!status.ok()) return rpc::FromGrpc(status);
  return rpc::ToString(response);
}

void Await(const std::function<bool()>& condition) {
  const auto until = steady_clock::now() + seconds(20);
  bool holds = condition();
  while (!holds && steady_clock::now() < until) holds = condition();
  EXPECT_TRUE(holds);
}

class AuthorizationTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    world_ = new World;
    rpcs_ = new Rpcs;
  }
  static void TearDownTestSuite() {
    delete world_;
    delete rpcs_;
  }

  // What `row` says of `attacker` is what happens. `call` gives the answer, as text.
  template <typename Call>
  static void Check(const Row& row, Attacker attacker, const Call& call) {
    const Expected& expected = row.expected[static_cast<int>(attacker)];
    const auto other = row.requests.find(attacker);
    const std::string request =
        world_->Fill(attacker, other == row.requests.end() ? row.request : other->second);
    SCOPED_TRACE(std::string(row.rpc) + ", " + AttackerName(attacker) + ": " + request);
    ASSERT_NE(expected.kind, Expected::kMissing) << "the table does not say what they get";
    if (expected.kind == Expected::kNever) {
      EXPECT_STRNE(expected.why, "");
      return;
    }
    const int64_t whose = expected.kind == Expected::kOwn ? world_->ann() : 0;
    const std::string before = world_->Fingerprint(whose);
    const absl::StatusOr<std::string> answer = call(request);
    if (expected.kind == Expected::kRefused) {
      EXPECT_THAT(ReasonOf(answer.status()), Optional(expected.reason)) << answer.status();
      EXPECT_EQ(answer.status().code(), ReasonCode(expected.reason));
      EXPECT_EQ(world_->Fingerprint(), before) << "refused, and changed something";
      return;
    }
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_STRNE(expected.why, "");
    if (expected.kind != Expected::kOwn) return;
    for (const std::string& secret : world_->SecretsFrom(attacker)) {
      EXPECT_FALSE(absl::StrContains(*answer, secret)) << *answer;
    }
    if (expected.lacks != nullptr) {
      const std::string lacks = world_->Fill(attacker, expected.lacks);
      EXPECT_FALSE(absl::StrContains(*answer, lacks)) << *answer;
    }
    EXPECT_EQ(world_->Fingerprint(whose), before) << "changed something of Ann's";
  }

  static void CheckRpc(const Row& row, Attacker attacker) {
    const auto* const method = rpcs_->Find(row.rpc);
    const std::string token = world_->TokenOf(attacker);
    Check(row, attacker, [&](const std::string& text) -> absl::StatusOr<std::string> {
      const std::string bytes = rpcs_->Serialize(method->input_type(), text);
      const std::string path = std::string("/") + row.rpc;
      if (row.rpc == std::string(kConnect) || row.rpc == std::string(kSubscribe)) {
        return Stream(world_->channel(), path, token, bytes).ToCaughtUp();
      }
      auto answer = CallUnary(world_->channel(), path, token, bytes);
      if (!answer.ok()) return answer.status();
      return rpcs_->ToText(method->output_type(), *answer);
    });
  }

  static void CheckFrame(const Row& row, Attacker attacker) {
    const auto frames = rpcs_->frames();
    const auto field = std::find_if(frames.begin(), frames.end(),
                                    [&](const auto* frame) { return frame->name() == row.rpc; });
    ASSERT_NE(field, frames.end());
    // Those whose tokens are bad hold one of Eve's streams.
    const bool holds_one = attacker >= Attacker::kStranger;
    const std::string token = world_->TokenOf(holds_one ? attacker : Attacker::kStranger);
    Check(row, attacker, [&](const std::string& text) -> absl::StatusOr<std::string> {
      Stream stream(world_->channel(), std::string("/") + kConnect, token,
                    rpcs_->Serialize((*field)->containing_type(), "hello { have { } }"));
      const auto caught_up = stream.ToCaughtUp();
      if (!caught_up.ok()) return caught_up.status();
      const std::string frame = std::string(row.rpc) + " { " + text + " }";
      stream.Send(rpcs_->Serialize((*field)->containing_type(), "call_id: 7 " + frame));
      return row.rpc == std::string("have") ? stream.ToCaughtUp() : stream.ToAnswer(7);
    });
  }

  static World* world_;
  static Rpcs* rpcs_;
};

World* AuthorizationTest::world_ = nullptr;
Rpcs* AuthorizationTest::rpcs_ = nullptr;

TEST_F(AuthorizationTest, TheTablesNameAllThereIs) {
  std::vector<std::string> offered, frames, rows, frame_rows;
  for (const auto* method : rpcs_->offered()) offered.push_back(NameOf(*method));
  for (const auto* field : rpcs_->frames()) frames.push_back(field->name());
  for (const Row& row : AuthorizationTable()) rows.push_back(row.rpc);
  for (const Row& row : FrameTable()) frame_rows.push_back(row.rpc);
  EXPECT_GT(offered.size(), 30u);
  EXPECT_THAT(rows, UnorderedElementsAreArray(offered));
  EXPECT_THAT(frame_rows, UnorderedElementsAreArray(frames));
}

TEST_F(AuthorizationTest, EveryRpcForEveryAttacker) {
  for (const Row& row : AuthorizationTable()) {
    ASSERT_NE(rpcs_->Find(row.rpc), nullptr) << row.rpc;
    for (int attacker = 0; attacker < kAttackers; ++attacker) {
      CheckRpc(row, static_cast<Attacker>(attacker));
    }
  }
}

TEST_F(AuthorizationTest, EveryFrameForEveryAttacker) {
  for (const Row& row : FrameTable()) {
    for (int attacker = 0; attacker < kAttackers; ++attacker) {
      CheckFrame(row, static_cast<Attacker>(attacker));
    }
  }
}

// What is passed over without an error is not written later, either.
TEST_F(AuthorizationTest, WhatIsPassedOverIsNotWrittenLater) {
  const std::string before = world_->Fingerprint(world_->ann());
  for (const Row& row : AuthorizationTable()) {
    if (row.rpc != std::string("im.chat.v1.MessageService/AcknowledgeDelivery")) continue;
    for (const Attacker attacker : {Attacker::kStranger, Attacker::kLeft, Attacker::kBlocked}) {
      CheckRpc(row, attacker);
    }
  }
  // They are gathered, and written together: one of Carol's own tells when.
  chat::v1::AcknowledgeDeliveryRequest own;
  const std::string carols = world_->Fill(kLeft, "$carols");
  own.set_conversation_id(std::stoll(carols));
  own.set_seq(1);
  ASSERT_TRUE(world_->carol().Call(&chat::v1::MessageService::Stub::AcknowledgeDelivery, own).ok());
  const std::string delivered =
      "SELECT delivered_seq FROM chat.members WHERE conversation_id = " + carols +
      " AND user_id = " + world_->Fill(kLeft, "$carol");
  Await([&] { return world_->stack().database().Value(delivered) == "1"; });
  EXPECT_EQ(world_->Fingerprint(world_->ann()), before);
}

// Where calls between services need no token, the socket's mode decides who may call.
TEST_F(AuthorizationTest, SocketsOfServicesAreTheirOwnersAlone) {
  for (const char* name : {"auth", "chat", "presence"}) {
    struct stat info {};
    const std::string path = world_->stack().folder() + "/" + name + ".sock";
    ASSERT_EQ(stat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << path;
  }
}

// However a device ends, its stream and its calls end with it, at every service.
class EndedDeviceTest : public AuthorizationTest {
 protected:
  // `end` is to end the devices of a new person of that name.
  static void ExpectEndWithinASecond(const std::string& name,
                                     const std::function<void(Person&)>& end) {
    Person person(world_->stack().address(), name);
    const auth::v1::Tokens tokens = person.LogsIn();
    gateway::v1::ConnectRequest hello;
    hello.mutable_hello()->mutable_have()->set_only_listed(true);
    Stream stream(world_->channel(), std::string("/") + kConnect, tokens.access_token(),
                  hello.SerializeAsString());
    ASSERT_TRUE(stream.ToCaughtUp().ok());
    const auto call = [&](const char* path) {
      return ReasonOf(CallUnary(world_->channel(), path, tokens.access_token(), "").status());
    };
    const std::vector<const char*> paths = {"/im.auth.v1.AccountService/GetProfile",
                                            "/im.chat.v1.ContactService/GetSettings",
                                            "/im.presence.v1.PresenceService/GetPresence"};
    for (const char* path : paths) ASSERT_EQ(call(path), std::nullopt) << path;
    end(person);
    const auto ended = steady_clock::now();
    for (const char* path : paths) Await([&] { return call(path) == Reason::DEVICE_REVOKED; });
    absl::StatusOr<gateway::v1::ServerFrame> frame = stream.Next();
    while (frame.ok()) frame = stream.Next();
    EXPECT_THAT(ReasonOf(frame.status()), Optional(Reason::DEVICE_REVOKED)) << frame.status();
    EXPECT_LT(steady_clock::now() - ended, seconds(1));
  }
  static void Operate(const std::vector<std::string>& words, const std::string& input = {}) {
    std::vector<std::string> command = {IM_BINARY_DIR "/bin/im-auth", "user"};
    command.insert(command.end(), words.begin(), words.end());
    command.insert(command.end(), {"--database.url", world_->stack().database().UrlOf("auth"),
                                   "--passwords.memory_kib=8", "--passwords.passes=1"});
    const Outcome outcome = RunProgram(command, input);
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
};

TEST_F(EndedDeviceTest, RevokedByItsOwner) {
  ExpectEndWithinASecond("revoked", [](Person& person) {
    auth::v1::RevokeDevicesRequest others;
    others.set_all_others(true);
    ASSERT_TRUE(person.Call(&auth::v1::DeviceService::Stub::RevokeDevices, others).ok());
  });
}

TEST_F(EndedDeviceTest, LockedByTheOperator) {
  ExpectEndWithinASecond("locked", [](Person&) { Operate({"lock", "locked"}); });
  // Opened again, an account gets none of its devices back.
  Person person(world_->stack().address(), "opened");
  Operate({"lock", "opened"});
  Operate({"unlock", "opened"});
  Await([&] {
    return ReasonOf(person
                        .Call(&chat::v1::ContactService::Stub::GetSettings,
                              chat::v1::GetSettingsRequest())
                        .status()) == Reason::DEVICE_REVOKED;
  });
  EXPECT_FALSE(person.LogsIn().access_token().empty());
}

TEST_F(EndedDeviceTest, PasswordSetByTheOperator) {
  ExpectEndWithinASecond("forgetful", [](Person&) {
    Operate({"reset-password", "forgetful", "--password-stdin"}, "correct horse 0815\n");
  });
}

TEST_F(EndedDeviceTest, PasswordChangedOnAnotherDevice) {
  ExpectEndWithinASecond("careful", [](Person& person) {
    auth::v1::ChangePasswordRequest change;
    change.set_current_password("correct horse 4711");
    change.set_new_password("correct horse 0815");
    ASSERT_TRUE(person.Call(&auth::v1::AccountService::Stub::ChangePassword, change).ok());
  });
}

TEST_F(AuthorizationTest, TheGatewayOffersNothingInternal) {
  ASSERT_FALSE(rpcs_->internal().empty());
  for (const auto* method : rpcs_->internal()) {
    for (const std::string& token : {std::string(), world_->ann_token()}) {
      const auto answer = CallUnary(world_->channel(), "/" + NameOf(*method), token, "");
      EXPECT_THAT(ReasonOf(answer.status()), Optional(Reason::UNKNOWN_METHOD)) << NameOf(*method);
    }
  }
}

}  // namespace
}  // namespace im::testing
