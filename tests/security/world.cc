#include "tests/security/world.h"

#include <absl/strings/escaping.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "common/base/random.h"
#include "common/token/issuer.h"
#include "im/presence/v1/presence.grpc.pb.h"

namespace im::testing {
namespace {

using Contacts = chat::v1::ContactService::Stub;
using Conversations = chat::v1::ConversationService::Stub;

constexpr char kDirectBody[] = "nur-fuer-bob";
constexpr char kBody[] = "vor-dem-austritt";
constexpr char kLaterBody[] = "nach-dem-austritt";
constexpr char kTitle[] = "annas-gruppe";
constexpr char kLaterTitle[] = "annas-neuer-titel";
constexpr char kGreeting[] = "doras-gruss";
constexpr char kDevice[] = "annas-telefon";

// Of the right form, and nobody's.
const std::string kNoRefreshToken(43, 'A');

template <typename T>
T Must(absl::StatusOr<T> result) {
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : T();
}

template <typename Request>
Request With(int64_t user) {
  Request request;
  request.set_user_id(user);
  request.set_request_id(RandomBytes(16));
  return request;
}

template <typename Request>
Request In(int64_t conversation) {
  Request request;
  request.set_conversation_id(conversation);
  request.set_request_id(RandomBytes(16));
  return request;
}

void Says(Person& who, int64_t conversation, const std::string& body) {
  auto request = In<chat::v1::SendMessageRequest>(conversation);
  request.mutable_content()->mutable_text()->set_body(body);
  Must(who.Call(&chat::v1::MessageService::Stub::SendMessage, request));
}

// The same token with somebody else's id in it.
std::string Forge(const std::string& token, int64_t user) {
  std::vector<std::string> parts = absl::StrSplit(token, '.');
  std::string claims;
  EXPECT_EQ(parts.size(), 3u);
  EXPECT_TRUE(absl::WebSafeBase64Unescape(parts[1], &claims));
  const size_t at = claims.find("\"sub\":\"");
  EXPECT_NE(at, std::string::npos);
  const size_t from = at + 7;
  claims.replace(from, claims.find('"', from) - from, absl::StrCat(user));
  return absl::StrCat(parts[0], ".", absl::WebSafeBase64Escape(claims), ".", parts[2]);
}

// Every service and the gateway has heard of it.
void AwaitRevoked(Person& who) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto refused = [&] {
    return !who.Call(&auth::v1::AccountService::Stub::GetProfile, auth::v1::GetProfileRequest())
                .ok() &&
           !who.Call(&Contacts::GetSettings, chat::v1::GetSettingsRequest()).ok() &&
           !who.Call(&presence::v1::PresenceService::Stub::GetPresence,
                     presence::v1::GetPresenceRequest())
                .ok();
  };
  while (!refused() && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(refused());
}

}  // namespace

std::string IssueToken(const std::string& key_id, const std::string& private_pem, int64_t user,
                       int64_t device, std::chrono::seconds life) {
  const auto now = std::chrono::system_clock::now();
  return Must(token::Issue(
      key_id, private_pem,
      {.user_id = user, .device_id = device, .issued_at = now, .expires_at = now + life}));
}

World::World()
    : channel_(grpc::CreateChannel(stack_.address(), grpc::InsecureChannelCredentials())) {
  const auto add = [&](const char* name) {
    auto person = std::make_unique<Person>(stack_.address(), name);
    words_[absl::StrCat("$", name)] = absl::StrCat(person->id());
    return person;
  };
  ann_ = add("ann");
  bob_ = add("bob");
  carol_ = add("carol");
  dora_ = add("dora");
  eve_ = add("eve");
  rex_ = add("rex");
  lou_ = add("lou");
  MeetAndTalk();
  BreakTokens();

  auth::v1::LogInRequest log_in;
  log_in.set_user_name("ann");
  log_in.set_password("correct horse 4711");
  log_in.mutable_device()->set_name(kDevice);
  const auto phone = Must(ann_->Call(&auth::v1::AccountService::Stub::LogIn, log_in)).tokens();
  words_["$device"] = absl::StrCat(phone.device_id());
  const auto stub = gateway::v1::GatewayService::NewStub(channel_);
  anns_context_.AddMetadata("authorization", "Bearer " + phone.access_token());
  gateway::v1::SubscribeRequest subscribe;
  subscribe.mutable_hello()->mutable_have()->set_only_listed(true);
  anns_stream_ = stub->Subscribe(&anns_context_, subscribe);
  gateway::v1::SubscribeResponse response;
  EXPECT_TRUE(anns_stream_->Read(&response));
  words_["$session"] = response.frame().welcome().session_id();
  EXPECT_FALSE(words_["$session"].empty());
}

void World::MeetAndTalk() {
  ann_->Befriends(*bob_);
  ann_->Befriends(*carol_);
  const int64_t direct = ann_->OpensDirect(*bob_);
  Says(*ann_, direct, kDirectBody);
  const int64_t group = ann_->CreatesGroup(kTitle, {carol_->id()});
  Says(*ann_, group, kBody);
  Must(carol_->Call(&Conversations::LeaveGroup, In<chat::v1::LeaveGroupRequest>(group)));
  Says(*ann_, group, kLaterBody);
  auto rename = In<chat::v1::RenameGroupRequest>(group);
  rename.set_title(kLaterTitle);
  Must(ann_->Call(&Conversations::RenameGroup, rename));
  const int64_t closed = ann_->CreatesGroup("geschlossen", {carol_->id()});
  auto remove = In<chat::v1::RemoveMemberRequest>(closed);
  remove.set_user_id(carol_->id());
  Must(ann_->Call(&Conversations::RemoveMember, remove));

  const int64_t carols = ann_->OpensDirect(*carol_);
  Says(*ann_, carols, "hallo");
  const int64_t bobs = bob_->CreatesGroup("bobs", {});
  Must(ann_->Call(&Contacts::RemoveContact, With<chat::v1::RemoveContactRequest>(bob_->id())));
  Must(ann_->Call(&Contacts::BlockUser, With<chat::v1::BlockUserRequest>(bob_->id())));
  auto request = With<chat::v1::RequestContactRequest>(ann_->id());
  request.set_greeting(kGreeting);
  Must(dora_->Call(&Contacts::RequestContact, request));
  words_["$direct"] = absl::StrCat(direct);
  words_["$group"] = absl::StrCat(group);
  words_["$closed"] = absl::StrCat(closed);
  words_["$carols"] = absl::StrCat(carols);
  words_["$bobs"] = absl::StrCat(bobs);
}

void World::BreakTokens() {
  const std::string latest = " FROM auth.signing_keys ORDER BY active_from LIMIT 1";
  const std::string key_id = stack_.database().Value("SELECT key_id" + latest);
  const std::string pem = stack_.database().Value("SELECT private_pem" + latest);
  const int64_t device = ann_->tokens().device_id();
  using std::chrono::seconds;
  tokens_ = {
      {Attacker::kNoToken, ""},
      {Attacker::kExpired, IssueToken(key_id, pem, ann_->id(), device, seconds(-60))},
      {Attacker::kForged, Forge(eve_->tokens().access_token(), ann_->id())},
      {Attacker::kWrongKey,
       IssueToken(key_id, token::GenerateKeyPair().private_pem, ann_->id(), device, seconds(600))},
      {Attacker::kRevoked, rex_->tokens().access_token()},
      {Attacker::kLocked, lou_->tokens().access_token()},
      {Attacker::kStranger, eve_->tokens().access_token()},
      {Attacker::kLeft, carol_->tokens().access_token()},
      {Attacker::kBlocked, bob_->tokens().access_token()},
  };
  refresh_tokens_ = {{Attacker::kRevoked, rex_->tokens().refresh_token()},
                     {Attacker::kLocked, lou_->tokens().refresh_token()}};
  Must(rex_->Call(&auth::v1::AccountService::Stub::LogOut, auth::v1::LogOutRequest()));
  const Outcome locked = RunProgram({IM_BINARY_DIR "/bin/im-auth", "user", "lock", "lou",
                                     "--database.url", stack_.database().UrlOf("auth")});
  EXPECT_EQ(locked.status, 0) << locked.err;
  AwaitRevoked(*rex_);
  AwaitRevoked(*lou_);
}

std::string World::Fill(Attacker attacker, std::string text) const {
  std::map<std::string, std::string> words = words_;
  words["$new"] = RandomHex(8);
  words["$fresh"] = "u" + RandomHex(8);
  words["$token"] =
      attacker == Attacker::kStranger ? ann_->tokens().access_token() : TokenOf(attacker);
  const auto refresh = refresh_tokens_.find(attacker);
  words["$refresh"] = refresh == refresh_tokens_.end() ? kNoRefreshToken : refresh->second;
  return absl::StrReplaceAll(text, words);
}

std::vector<std::string> World::SecretsFrom(Attacker attacker) const {
  std::vector<std::string> secrets = {kLaterBody, kLaterTitle, kGreeting, kDevice};
  if (attacker != Attacker::kLeft) {
    secrets.push_back(kBody);
    secrets.push_back(kTitle);
  }
  if (attacker != Attacker::kBlocked) secrets.push_back(kDirectBody);
  return secrets;
}

std::string World::Fingerprint(int64_t user) {
  // The leases of gateways and when people were last seen go on by themselves. Wrong passwords are
  // counted: that is what this table is for.
  std::string& sql = fingerprint_sql_[user != 0];
  if (sql.empty()) {
    const std::string mine = user == 0 ? "" : absl::StrCat(" WHERE user_id = ", user);
    sql = stack_.database().Value(
        "SELECT 'SELECT string_agg(line, chr(10) ORDER BY line) FROM (' || string_agg(format('"
        "SELECT %L || md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '''')) AS line "
        "FROM %I.%I t" +
        mine +
        "', table_schema || '.' || table_name || ' ', table_schema, table_name),"
        "' UNION ALL ') || ') x' FROM information_schema.tables t "
        "WHERE table_schema IN ('auth', 'chat', 'presence') AND table_type = 'BASE TABLE' "
        "AND table_name NOT IN ('leases', 'last_seen', 'login_failures')" +
        (user == 0 ? ""
                   : " AND EXISTS (SELECT FROM information_schema.columns c WHERE "
                     "c.table_schema = t.table_schema AND c.table_name = t.table_name AND "
                     "c.column_name = 'user_id')"));
  }
  return stack_.database().Value(sql);
}

}  // namespace im::testing
