// What people write, and what lets somebody in, is in no log: here each thing of the kind is a text
// that cannot be overlooked, also where a call fails. (Every suite that runs the services searches
// their logs at its end: tests/support/log_secrets.h.)
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <fstream>

#include "common/base/random.h"
#include "common/rpc/bytes.h"
#include "im/presence/v1/presence.grpc.pb.h"
#include "tests/e2e/person.h"
#include "tests/support/log_secrets.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using Accounts = auth::v1::AccountService::Stub;
using Contacts = chat::v1::ContactService::Stub;
using Conversations = chat::v1::ConversationService::Stub;
using Messages = chat::v1::MessageService::Stub;

// In all that is used below.
constexpr char kMark[] = "topsecret";
std::string Marked(const std::string& text) { return kMark + text; }

chat::v1::SendMessageRequest Message(int64_t conversation, const std::string& body) {
  chat::v1::SendMessageRequest request;
  request.set_conversation_id(conversation);
  request.set_request_id(RandomBytes(16));
  request.mutable_content()->mutable_text()->set_body(body);
  return request;
}

// What people do, and what they do wrong.
void LiveThrough(const std::string& server) {
  auto channel = *client::Channel::Open({.server = server});
  const auto calls = [&](auto method, const auto& request, const std::string& token = {}) {
    return channel->Call(method, request, token);
  };
  auth::v1::RegisterRequest registration;
  registration.set_user_name("ann");
  registration.set_password(Marked("-password"));
  registration.set_display_name(Marked("-display-name"));
  registration.mutable_device()->set_name(Marked("-device"));
  registration.mutable_device()->set_platform(Marked("-platform"));
  const auto ann = calls(&Accounts::Register, registration);
  ASSERT_TRUE(ann.ok()) << ann.status();
  RegisterSecret(ann->tokens().refresh_token());
  registration.set_user_name(Marked(" is no name"));
  EXPECT_FALSE(calls(&Accounts::Register, registration).ok());
  registration.set_user_name("bob");
  registration.set_password("x");
  EXPECT_FALSE(calls(&Accounts::Register, registration).ok());

  // A password where the name should be, a wrong one, one too many.
  auth::v1::LogInRequest log_in;
  log_in.set_user_name(Marked("-password"));
  log_in.set_password(Marked("-wrong"));
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(calls(&Accounts::LogIn, log_in).ok());
  auth::v1::RefreshRequest refresh;
  refresh.set_refresh_token(Marked("-refresh-token"));
  EXPECT_FALSE(calls(&Accounts::Refresh, refresh).ok());

  Person bob(server, "bob"), carol(server, "carol");
  const std::string token = ann->tokens().access_token();
  EXPECT_FALSE(calls(&Accounts::GetProfile, auth::v1::GetProfileRequest(), Marked("-token")).ok());
  EXPECT_FALSE(calls(&Accounts::GetProfile, auth::v1::GetProfileRequest(), token + "x").ok());
  auth::v1::UpdateProfileRequest profile;
  profile.set_bio(Marked("-bio"));
  EXPECT_TRUE(calls(&Accounts::UpdateProfile, profile, token).ok());
  profile.set_bio(std::string(4000, 'x') + kMark);
  EXPECT_FALSE(calls(&Accounts::UpdateProfile, profile, token).ok());

  chat::v1::RequestContactRequest contact;
  contact.set_user_id(bob.id());
  contact.set_request_id(RandomBytes(16));
  contact.set_greeting(Marked("-greeting"));
  EXPECT_TRUE(calls(&Contacts::RequestContact, contact, token).ok());
  contact.set_greeting(std::string(4000, 'x') + kMark);
  contact.set_request_id(RandomBytes(16));
  EXPECT_FALSE(calls(&Contacts::RequestContact, contact, token).ok());
  chat::v1::SearchContactsRequest search;
  search.set_query(Marked("-query"));
  EXPECT_TRUE(calls(&Contacts::SearchContacts, search, token).ok());
  search.set_page_token(Marked("-page-token"));
  EXPECT_FALSE(calls(&Contacts::SearchContacts, search, token).ok());

  bob.Befriends(carol);
  const int64_t group = bob.CreatesGroup(Marked("-title"), {carol.id()});
  auto bobs = bob.Connects(), carols = carol.Connects();
  bobs->WaitLive();
  carols->WaitLive();
  EXPECT_TRUE(bobs->Sends(group, Marked("-body")).ok());
  carols->Hears(group, 1);
  EXPECT_FALSE(bobs->Sends(group, std::string(20'000, 'x') + kMark).ok());
  EXPECT_FALSE(bobs->Sends(group, Marked(std::string(1, '\0'))).ok());
  EXPECT_FALSE(bobs->Sends(4711, Marked("-nowhere")).ok());
  EXPECT_TRUE(bob.Call(&Messages::SendMessage, Message(group, Marked("-unary"))).ok());
  auto reused = Message(group, Marked("-once"));
  EXPECT_TRUE(bob.Call(&Messages::SendMessage, reused).ok());
  reused.mutable_content()->mutable_text()->set_body(Marked("-twice"));
  EXPECT_FALSE(bob.Call(&Messages::SendMessage, reused).ok());
  bob.ReadsHistory(group);
}

std::string LogsOf(const Stack& stack) {
  std::string logs;
  for (const std::string& name : stack.names()) logs += stack.Log(name);
  return logs;
}

TEST(SecrecyTest, NothingThatPeopleWroteIsLogged) {
  for (const char* format : {"text", "json"}) {
    const std::vector<std::string> flags = {std::string("--logging.format=") + format};
    Stack stack(
        {.flags = {{"auth", flags}, {"chat", flags}, {"presence", flags}, {"gateway", flags}}});
    LiveThrough(stack.address());
    // What goes wrong inside is logged most of all.
    stack.database().Exec("ALTER TABLE chat.entries RENAME TO lost");
    auto channel = *client::Channel::Open({.server = stack.address()});
    Person dora(stack.address(), "dora");
    const int64_t alone = dora.Call(&Conversations::CreateGroup,
                                    [] {
                                      chat::v1::CreateGroupRequest request;
                                      request.set_title(Marked("-lost"));
                                      request.set_request_id(RandomBytes(16));
                                      return request;
                                    }())
                              .ok();
    EXPECT_FALSE(alone) << "the table is gone";
    stack.database().Exec("ALTER TABLE chat.lost RENAME TO entries");
    const std::string logs = LogsOf(stack);
    EXPECT_THAT(logs, HasSubstr("database_error"));
    EXPECT_THAT(logs, HasSubstr("SendMessage"));
    EXPECT_THAT(logs, ::testing::Not(HasSubstr(kMark)));
  }
}

TEST(SecrecyTest, AStackWhoseLogHoldsABodyFailsItsTest) {
  const auto leak = [](const std::string& line) {
    Stack stack;
    Person ann(stack.address(), "ann");
    const int64_t alone = ann.CreatesGroup("alone", {});
    auto anns = ann.Connects();
    anns->WaitLive();
    EXPECT_TRUE(anns->Sends(alone, "something that was said").ok());
    EXPECT_TRUE(anns->Sends(alone, "psst").ok());
    std::ofstream(stack.folder() + "/chat.log", std::ios::app) << line << "\n";
  };
  EXPECT_NONFATAL_FAILURE(leak("sent body=\"something that was said\""), "the log of chat holds");
  EXPECT_NONFATAL_FAILURE(leak("login password=\"correct horse 4711\""), "the log of chat holds");
  EXPECT_NONFATAL_FAILURE(leak("token=eyJhbGciOiJFUzI1NiIs"), "the log of chat holds");
  EXPECT_NONFATAL_FAILURE(leak("sent body=psst"), "the log of chat holds");
}

TEST(SecrecyTest, WhatPostgresRefusesIsNotQuotedInItsLog) {
  Stack stack;
  Person ann(stack.address(), "ann");
  stack.database().Exec(
      "ALTER TABLE chat.conversations ADD CONSTRAINT untitled CHECK (title = '')");
  chat::v1::CreateGroupRequest request;
  request.set_title(Marked("-title"));
  request.set_request_id(RandomBytes(16));
  EXPECT_FALSE(ann.Call(&Conversations::CreateGroup, request).ok());
  EXPECT_THAT(stack.PostgresLog(), HasSubstr("violates check constraint \"untitled\""));
  EXPECT_THAT(stack.PostgresLog(), ::testing::Not(HasSubstr(kMark)));
  EXPECT_THAT(LogsOf(stack), HasSubstr("database_error"));
  EXPECT_THAT(LogsOf(stack), ::testing::Not(HasSubstr(kMark)));
}

TEST(SecrecyTest, AStackSearchesPostgresLogToo) {
  const auto leak = [] {
    Stack stack;
    Person ann(stack.address(), "ann");
    ann.CreatesGroup("what PostgreSQL says", {});
    stack.database().Exec("DO $$BEGIN RAISE WARNING 'title what PostgreSQL says'; END$$");
  };
  EXPECT_NONFATAL_FAILURE(leak(), "the log of PostgreSQL holds");
}

TEST(SecrecyTest, ShortTextsAreFoundAsWordsOnly) {
  LogSecrets secrets;
  for (const char* text : {"psst", "Ja!", "日本", "7", "4711", "a"}) secrets.AddSaid(text);
  for (const char* line : {"body=psst", "x \"psst\"", "(1,Ja!,2)", "Ja!", "said 日本 to"}) {
    EXPECT_THAT(secrets.FindIn(line), SizeIs(1)) << line;
  }
  for (const char* line : {"psstt", "_psst", "Ja", "seq=7 user=4711", "a", ""}) {
    EXPECT_THAT(secrets.FindIn(line), SizeIs(0)) << line;
  }
}

TEST(SecrecyTest, EachKindOfSecretIsFound) {
  Stack stack;
  Person ann(stack.address(), "ann"), bob(stack.address(), "bob");
  chat::v1::RequestContactRequest contact;
  contact.set_user_id(bob.id());
  contact.set_request_id(RandomBytes(16));
  contact.set_greeting("a word to go with it");
  ASSERT_TRUE(ann.Call(&Contacts::RequestContact, contact).ok());
  ann.CreatesGroup("a title of a group", {});
  LogSecrets secrets;
  ASSERT_TRUE(secrets.AddFrom(stack.database().url()));
  for (const std::string& text :
       {std::string("a word to go with it"), std::string("a title of a group"),
        ann.tokens().refresh_token(), ann.tokens().access_token(),
        stack.database().Value("SELECT password_hash FROM auth.accounts LIMIT 1"),
        stack.database().Value("SELECT encode(secret_hash, 'hex') FROM auth.devices LIMIT 1"),
        stack.database().Value("SELECT private_pem FROM auth.signing_keys LIMIT 1")}) {
    EXPECT_THAT(secrets.FindIn("one=1\nx=\"" + text + "\" y=2\n"), SizeIs(::testing::Ge(1u)))
        << text;
  }
  EXPECT_THAT(secrets.FindIn("rpc method=im.chat.v1.MessageService/SendMessage user=1 ms=0.3\n"),
              SizeIs(0));
}

}  // namespace
}  // namespace im::testing
