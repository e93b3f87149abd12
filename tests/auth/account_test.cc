// Accounts: registration, profiles, and what bad input gets.
#include <grpcpp/generic/generic_stub.h>

#include "absl/strings/escaping.h"
#include "tests/auth/auth_fixture.h"

namespace im::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class AccountTest : public AuthTest {
 protected:
  absl::StatusOr<v1::Profile> UpdateProfile(const std::string& token,
                                            const v1::UpdateProfileRequest& request) {
    const auto response = client().Call(client().accounts.get(),
                                        &v1::AccountService::Stub::UpdateProfile, request, token);
    if (!response.ok()) return response.status();
    return response->profile();
  }
  absl::StatusOr<std::vector<std::string>> LookUp(const std::string& token,
                                                  const std::vector<std::string>& names,
                                                  const std::vector<int64_t>& ids) {
    v1::LookUpProfilesRequest request;
    for (const auto& name : names) request.add_user_names(name);
    for (const int64_t id : ids) request.add_user_ids(id);
    const auto response = client().Call(client().accounts.get(),
                                        &v1::AccountService::Stub::LookUpProfiles, request, token);
    if (!response.ok()) return response.status();
    std::vector<std::string> found;
    for (const auto& profile : response->profiles()) found.push_back(profile.user_name());
    return found;
  }
};

TEST_F(AccountTest, RegistersAndLogsTheFirstDeviceIn) {
  v1::RegisterRequest request;
  request.set_user_name("Alice.B-1_");
  request.set_password(kPassword);
  request.set_display_name("Alice Ω");
  request.mutable_device()->set_name("Alice's laptop");
  const auto response = client().Register(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->profile().user_name(), "alice.b-1_");
  EXPECT_EQ(response->profile().display_name(), "Alice Ω");
  EXPECT_GT(response->profile().user_id(), 0);
  EXPECT_GT(response->tokens().device_id(), 0);
  const auto now = clock_.Now();
  using google::protobuf::util::TimeUtil;
  EXPECT_NEAR(TimeUtil::TimestampToSeconds(response->tokens().access_expires_at()),
              std::chrono::system_clock::to_time_t(now + std::chrono::minutes(15)), 5);
  EXPECT_NEAR(TimeUtil::TimestampToSeconds(response->tokens().refresh_expires_at()),
              std::chrono::system_clock::to_time_t(now + std::chrono::hours(60 * 24)), 5);
  const auto profile = client().GetProfile(response->tokens().access_token());
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->user_id(), response->profile().user_id());
}

TEST_F(AccountTest, NamesAreUniqueInAnyCase) {
  Registered("alice");
  EXPECT_THAT(client().Register("ALICE"), FailsWith(Reason::USER_NAME_TAKEN));
}

TEST_F(AccountTest, RefusesNamesThatAreNone) {
  for (const std::string name : {"", "ab", "has space", "ünïcode", "semi;colon", "slash/",
                                 "a23456789012345678901234567890123"}) {
    EXPECT_THAT(client().Register(name), FailsWith(Reason::USER_NAME_INVALID)) << name;
  }
  EXPECT_THAT(client().Register(std::string("nul\0l", 5)), FailsWith(Reason::USER_NAME_INVALID));
  EXPECT_TRUE(client().Register("a2345678901234567890123456789012").ok());
}

TEST_F(AccountTest, RefusesPasswordsAndSaysWhy) {
  const auto why = [this](const std::string& password) {
    const auto response = client().Register("alice", password);
    EXPECT_THAT(response, FailsWith(Reason::PASSWORD_REFUSED));
    std::vector<std::string> reasons;
    for (const Violation& violation : DetailsOf(response.status()).violations) {
      EXPECT_EQ(violation.field, "password");
      reasons.push_back(violation.description);
    }
    return reasons;
  };
  EXPECT_THAT(why(""), ElementsAre("shorter than 8 bytes"));
  EXPECT_THAT(why("kX93!aq"), ElementsAre("shorter than 8 bytes"));
  EXPECT_THAT(why(std::string(100, 'q') + std::string(157, 'z')),
              ElementsAre("longer than 256 bytes"));
  EXPECT_THAT(why("Password123"), ElementsAre("a common password, or nearly one"));
  EXPECT_THAT(why("xx ALICE xx"), ElementsAre("holds the user name"));
  EXPECT_THAT(why(std::string("with a \0 inside", 15)),
              ElementsAre("not UTF-8 text, or holds a NUL"));
  EXPECT_THAT(why("alice"), ElementsAre("shorter than 8 bytes", "holds the user name"));
}

TEST_F(AccountTest, RegistrationCanBeClosed) {
  ServerOptions closed = options();
  closed.registration_open = false;
  Restart(closed);
  AwaitReady(client());
  EXPECT_THAT(client().Register("alice"), FailsWith(Reason::REGISTRATION_CLOSED));
}

TEST_F(AccountTest, RefusesFieldsOutOfBounds) {
  v1::RegisterRequest request;
  request.set_user_name("alice");
  request.set_password(kPassword);
  request.set_display_name(std::string(65, 'x'));
  EXPECT_THAT(client().Register(request), FailsWith(Reason::INVALID_FIELD));
  request.set_display_name("a\nb");
  EXPECT_THAT(client().Register(request), FailsWith(Reason::INVALID_FIELD));
  request.set_display_name(std::string("a\0b", 3));
  EXPECT_THAT(client().Register(request), FailsWith(Reason::INVALID_FIELD));
  request.clear_display_name();
  request.mutable_device()->set_platform(std::string(65, 'x'));
  const auto refused = client().Register(request);
  EXPECT_THAT(refused, FailsWith(Reason::INVALID_FIELD));
  ASSERT_THAT(DetailsOf(refused.status()).violations, SizeIs(1));
  EXPECT_EQ(DetailsOf(refused.status()).violations[0].field, "device.platform");
  // 64 characters, not bytes.
  std::string name;
  for (int i = 0; i < 64; ++i) name += "é";
  request.mutable_device()->set_platform(name);
  request.set_display_name(name);
  EXPECT_TRUE(client().Register(request).ok());
}

TEST_F(AccountTest, BytesThatAreNoRequestGetAReason) {
  grpc::GenericStub stub(rpc::Connect(server_->addresses().front()));
  // Field 1 as a string that is not UTF-8; a field that is cut off.
  for (const std::string bytes : {"\x0a\x03\xff\xfe\xfd", "\x0a\x7f"}) {
    grpc::ClientContext context;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::CompletionQueue queue;
    grpc::Status status;
    auto call =
        stub.PrepareUnaryCall(&context, "/im.auth.v1.AccountService/LogIn", request, &queue);
    call->StartCall();
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_THAT(rpc::FromGrpc(status), FailsWith(Reason::MALFORMED_REQUEST));
    queue.Shutdown();
    EXPECT_FALSE(queue.Next(&tag, &ok));
  }
}

TEST_F(AccountTest, CallsNeedAToken) {
  const v1::Tokens alice = Registered("alice");
  EXPECT_THAT(client().GetProfile(""), FailsWith(Reason::TOKEN_MISSING));
  EXPECT_THAT(client().GetProfile("nonsense"), FailsWith(Reason::TOKEN_INVALID));
  EXPECT_THAT(client().GetProfile(alice.refresh_token()), FailsWith(Reason::TOKEN_INVALID));
  const token::KeyPair foreign = token::GenerateKeyPair();
  EXPECT_THAT(client().GetProfile(
                  *token::Issue(foreign.id, foreign.private_pem,
                                {1, 1, clock_.Now(), clock_.Now() + std::chrono::minutes(15)})),
              FailsWith(Reason::TOKEN_INVALID));
  clock_.Advance(std::chrono::minutes(16));
  EXPECT_THAT(client().GetProfile(alice.access_token()), FailsWith(Reason::TOKEN_EXPIRED));
}

TEST_F(AccountTest, ProfilesChangeWhereAsked) {
  const std::string token = Registered("alice").access_token();
  v1::UpdateProfileRequest request;
  request.set_display_name("Alice");
  request.set_bio("Down the hole");
  ASSERT_TRUE(UpdateProfile(token, request).ok());
  request.Clear();
  request.set_display_name("");
  const auto profile = UpdateProfile(token, request);
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_EQ(profile->display_name(), "");
  EXPECT_EQ(profile->bio(), "Down the hole");
  EXPECT_EQ(client().GetProfile(token)->bio(), "Down the hole");
  EXPECT_EQ(client().GetProfile(token)->user_name(), "alice");

  request.set_bio(std::string(501, 'x'));
  EXPECT_THAT(UpdateProfile(token, request), FailsWith(Reason::INVALID_FIELD));
  request.set_bio(std::string("a\0b", 3));
  EXPECT_THAT(UpdateProfile(token, request), FailsWith(Reason::INVALID_FIELD));
  request.set_bio(std::string(500, 'x'));
  request.set_display_name(std::string(65, 'x'));
  EXPECT_THAT(UpdateProfile(token, request), FailsWith(Reason::INVALID_FIELD));
  EXPECT_EQ(client().GetProfile(token)->bio(), "Down the hole");
}

TEST_F(AccountTest, LooksPeopleUpInTheOrderAsked) {
  const auto alice = client().Register("alice");
  const auto bob = client().Register("bob");
  const auto carol = client().Register("carol");
  ASSERT_TRUE(alice.ok() && bob.ok() && carol.ok());
  const std::string token = alice->tokens().access_token();
  const int64_t alice_id = alice->profile().user_id();
  const int64_t carol_id = carol->profile().user_id();
  EXPECT_THAT(*LookUp(token, {"Carol", "nobody", "ALICE", "not a name"}, {}),
              ElementsAre("carol", "alice"));
  EXPECT_THAT(*LookUp(token, {"bob"}, {carol_id, 999999, -1, alice_id}),
              ElementsAre("bob", "carol", "alice"));
  EXPECT_THAT(*LookUp(token, {}, {}), IsEmpty());
  EXPECT_THAT(*LookUp(token, {R"(a"b\c,{})", "{bob}"}, {}), IsEmpty());
  EXPECT_TRUE(LookUp(token, std::vector<std::string>(50, "bob"), std::vector<int64_t>(50, 1)).ok());
  EXPECT_THAT(LookUp(token, std::vector<std::string>(51, "bob"), std::vector<int64_t>(50, 1)),
              FailsWith(Reason::INVALID_FIELD));
}

TEST_F(AccountTest, TheDirectoryFindsUsersForOurOwnProcesses) {
  v1::RegisterRequest registration;
  registration.set_user_name("alice");
  registration.set_password(kPassword);
  registration.set_display_name("Die Ägypterin 100%");
  const int64_t alice = client().Register(registration)->profile().user_id();
  const int64_t bob = client().Register("bob_the_builder")->profile().user_id();

  internal::v1::FindUsersRequest find;
  for (const int64_t id : {bob, int64_t{424242}, alice}) find.add_user_ids(id);
  const auto found = client().Call(client().directory.get(),
                                   &internal::v1::DirectoryService::Stub::FindUsers, find);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(found->user_ids(), ::testing::UnorderedElementsAre(alice, bob));

  const auto match = [&](const std::string& text) {
    internal::v1::MatchUsersRequest request;
    request.add_user_ids(alice);
    request.add_user_ids(bob);
    request.set_query(text);
    return client().Call(client().directory.get(),
                         &internal::v1::DirectoryService::Stub::MatchUsers, request);
  };
  EXPECT_THAT(match("ÄGYPTER")->user_ids(), ElementsAre(alice));
  EXPECT_THAT(match("BUILD")->user_ids(), ElementsAre(bob));
  EXPECT_THAT(match("0%")->user_ids(), ElementsAre(alice));
  EXPECT_THAT(match("%")->user_ids(), ElementsAre(alice));
  EXPECT_THAT(match("_the_")->user_ids(), ElementsAre(bob));
  EXPECT_THAT(match("zz")->user_ids(), IsEmpty());
  EXPECT_THAT(match(std::string("a\0", 2)), FailsWith(Reason::INVALID_FIELD));

  for (int i = 0; i < 1001; ++i) find.add_user_ids(i);
  EXPECT_THAT(client().Call(client().directory.get(),
                            &internal::v1::DirectoryService::Stub::FindUsers, find),
              FailsWith(Reason::INVALID_FIELD));
}

TEST_F(AccountTest, NothingSecretIsStored) {
  const v1::Tokens tokens = Registered("alice");
  EXPECT_EQ(database_.Value("SELECT count(*) FROM auth.accounts WHERE password_hash LIKE "
                            "'$argon2id$v=19$m=8,t=1,p=1$%'"),
            "1");
  const std::string dump = database_.Value(
      "SELECT string_agg(d::text, ' ') || string_agg(a::text, ' ') FROM auth.devices d, "
      "auth.accounts a");
  EXPECT_THAT(dump, ::testing::Not(::testing::HasSubstr(kPassword)));
  EXPECT_THAT(dump, ::testing::Not(::testing::HasSubstr(tokens.refresh_token())));
  // Nor the bytes that it stands for, which a column would show as hexadecimal digits.
  std::string bytes;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(tokens.refresh_token(), &bytes));
  ASSERT_THAT(bytes, SizeIs(32));
  for (const size_t half : {0, 16}) {
    EXPECT_THAT(
        dump, ::testing::Not(::testing::HasSubstr(absl::BytesToHexString(bytes.substr(half, 16)))));
  }
}

}  // namespace
}  // namespace im::auth
