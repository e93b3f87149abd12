// ContactService as clients meet it, and what their devices hear live.
#include <grpcpp/generic/generic_stub.h>

#include <filesystem>
#include <future>

#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "services/chat/contact_service.h"
#include "tests/chat/contacts_world.h"
#include "tests/chat/listening_gateway.h"

namespace im::chat {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

class ContactsServiceTest : public ContactsWorld {
 protected:
  using Stub = v1::ContactService::Stub;

  ContactsServiceTest() {
    AddContactService(&router_, &contacts_);
    router_.Serve({kContactService});
    folder_ = std::filesystem::temp_directory_path() / ("im-contacts-" + RandomHex(6));
    std::filesystem::create_directory(folder_);
    const std::string address = "unix:" + (folder_ / "chat.sock").string();
    auto server = rpc::Server::Start({.listen = {{.address = address}},
                                      .generic = &router_,
                                      .generic_services = router_.services(),
                                      .services = {&links_, &relations_},
                                      .healthy = [] { return true; }});
    if (!server.ok()) throw std::runtime_error(server.status().ToString());
    server_ = *std::move(server);
    channel_ = rpc::Connect(address);
    stub_ = v1::ContactService::NewStub(channel_);
  }
  ~ContactsServiceTest() override {
    server_->Shutdown(std::chrono::seconds(0));
    std::filesystem::remove_all(folder_);
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(int64_t user,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    rpc::Caller caller;
    caller.access_token = tokens_.Issue(user, user);
    return rpc::Call<Request, Response>(stub_.get(), method, request, caller,
                                        std::chrono::seconds(20));
  }

  // A mutation about somebody.
  template <typename Request>
  static Request About(int64_t other, const std::string& request_id = RandomBytes(16)) {
    Request request;
    request.set_user_id(other);
    request.set_request_id(request_id);
    return request;
  }

  Workers workers_{4, 100};
  rpc::Router router_{tokens_.verifier().AsAuthenticate(), &workers_};
  std::filesystem::path folder_;
  std::unique_ptr<rpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
};

TEST_F(ContactsServiceTest, NothingWithoutAToken) {
  const auto* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(kContactService);
  ASSERT_EQ(service->method_count(), 12);
  grpc::GenericStub generic(channel_);
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string method = absl::StrCat("/", kContactService, "/", service->method(i)->name());
    grpc::ClientContext context;
    const grpc::ByteBuffer request = rpc::ToByteBuffer("");
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    generic.UnaryCall(&context, method, grpc::StubOptions(), &request, &response,
                      [&](grpc::Status status) { done.set_value(std::move(status)); });
    EXPECT_THAT(ReasonOf(rpc::FromGrpc(done.get_future().get())), Optional(Reason::TOKEN_MISSING))
        << method;
  }
}

TEST_F(ContactsServiceTest, BothSidesHearOfRequestAndAnswerOnAllDevices) {
  ListeningGateway gateway(channel_), other_gateway(channel_);
  gateway.Open(1, tokens_.Issue(kAnn, 10));
  gateway.Open(2, tokens_.Issue(kBob, 20));
  other_gateway.Open(1, tokens_.Issue(kBob, 21));

  auto request = About<v1::RequestContactRequest>(kBob);
  request.set_greeting("hi");
  const auto asked = Call(kAnn, &Stub::RequestContact, request);
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(asked->contact().user_id(), kBob);
  EXPECT_EQ(asked->contact().state(), v1::CONTACT_STATE_REQUEST_SENT);
  EXPECT_EQ(asked->contact().greeting(), "hi");
  EXPECT_GT(asked->contact().since().seconds(), 0);
  EXPECT_EQ(gateway.Hears(), "1 after 0: 2 CONTACT_STATE_REQUEST_SENT(hi) @1 up to 1");
  EXPECT_EQ(gateway.Hears(), "2 after 0: 1 CONTACT_STATE_REQUEST_RECEIVED(hi) @1 up to 1");
  EXPECT_EQ(other_gateway.Hears(), "2 after 0: 1 CONTACT_STATE_REQUEST_RECEIVED(hi) @1 up to 1");

  const auto accepted = Call(kBob, &Stub::AcceptContact, About<v1::AcceptContactRequest>(kAnn));
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  EXPECT_EQ(accepted->contact().user_id(), kAnn);
  EXPECT_EQ(accepted->contact().state(), v1::CONTACT_STATE_CONTACT);
  EXPECT_EQ(gateway.Hears(), "2 after 1: 1 CONTACT_STATE_CONTACT @2 up to 2");
  EXPECT_EQ(gateway.Hears(), "1 after 1: 2 CONTACT_STATE_CONTACT @2 up to 2");

  ASSERT_TRUE(Call(kAnn, &Stub::RemoveContact, About<v1::RemoveContactRequest>(kBob)).ok());
  EXPECT_EQ(gateway.Hears(), "1 after 2: 2 CONTACT_STATE_NONE @3 up to 3");
  EXPECT_EQ(gateway.Hears(), "2 after 2: 1 CONTACT_STATE_NONE @3 up to 3");

  ASSERT_TRUE(Call(kBob, &Stub::RequestContact, About<v1::RequestContactRequest>(kAnn)).ok());
  EXPECT_EQ(gateway.Hears(), "2 after 3: 1 CONTACT_STATE_REQUEST_SENT @4 up to 4");
  EXPECT_EQ(gateway.Hears(), "1 after 3: 2 CONTACT_STATE_REQUEST_RECEIVED @4 up to 4");
  ASSERT_TRUE(Call(kAnn, &Stub::DeclineContact, About<v1::DeclineContactRequest>(kBob)).ok());
  EXPECT_EQ(gateway.Hears(), "1 after 4: 2 CONTACT_STATE_NONE @5 up to 5");
  EXPECT_EQ(gateway.Hears(), "2 after 4: 1 CONTACT_STATE_DECLINED @5 up to 5");
}

TEST_F(ContactsServiceTest, TheBlockedOneHearsNothing) {
  BecomeContacts(kAnn, kBob);
  ListeningGateway anns(channel_), bobs(channel_);
  anns.Open(1, tokens_.Issue(kAnn, 10));
  bobs.Open(1, tokens_.Issue(kBob, 20));
  ASSERT_TRUE(Call(kAnn, &Stub::BlockUser, About<v1::BlockUserRequest>(kBob)).ok());
  EXPECT_EQ(anns.Hears(), "1 after 2: 2 CONTACT_STATE_CONTACT blocked @3 up to 3");
  ASSERT_TRUE(Call(kAnn, &Stub::UnblockUser, About<v1::UnblockUserRequest>(kBob)).ok());
  EXPECT_EQ(anns.Hears(), "1 after 3: 2 CONTACT_STATE_CONTACT @4 up to 4");
  // The first that Bob hears is of their own doing.
  v1::UpdateSettingsRequest settings;
  settings.set_request_id(RandomBytes(16));
  settings.set_reachability(v1::REACHABILITY_ANYONE);
  ASSERT_TRUE(Call(kBob, &Stub::UpdateSettings, settings).ok());
  EXPECT_EQ(bobs.Hears(), "2 after 2: REACHABILITY_ANYONE @3 up to 3");
}

TEST_F(ContactsServiceTest, ARepetitionIsToldAgain) {
  ListeningGateway gateway(channel_);
  gateway.Open(1, tokens_.Issue(kBob, 20));
  const auto request = About<v1::RequestContactRequest>(kBob);
  const auto first = Call(kAnn, &Stub::RequestContact, request);
  const auto again = Call(kAnn, &Stub::RequestContact, request);
  EXPECT_EQ(first->SerializeAsString(), again->SerializeAsString());
  const std::string heard = gateway.Hears();
  EXPECT_EQ(heard, "2 after 0: 1 CONTACT_STATE_REQUEST_RECEIVED @1 up to 1");
  EXPECT_EQ(gateway.Hears(), heard);
}

TEST_F(ContactsServiceTest, RequestIdsAreChecked) {
  const auto expect = [](const absl::Status& status, Reason reason) {
    EXPECT_THAT(ReasonOf(status), Optional(reason));
  };
  for (const std::string& id : {std::string(), std::string(15, 'x'), std::string(17, 'x')}) {
    const Reason reason = Reason::REQUEST_ID_INVALID;
    expect(Call(kAnn, &Stub::RequestContact, About<v1::RequestContactRequest>(kBob, id)).status(),
           reason);
    expect(Call(kAnn, &Stub::AcceptContact, About<v1::AcceptContactRequest>(kBob, id)).status(),
           reason);
    expect(Call(kAnn, &Stub::DeclineContact, About<v1::DeclineContactRequest>(kBob, id)).status(),
           reason);
    expect(Call(kAnn, &Stub::WithdrawContact, About<v1::WithdrawContactRequest>(kBob, id)).status(),
           reason);
    expect(Call(kAnn, &Stub::RemoveContact, About<v1::RemoveContactRequest>(kBob, id)).status(),
           reason);
    expect(Call(kAnn, &Stub::BlockUser, About<v1::BlockUserRequest>(kBob, id)).status(), reason);
    expect(Call(kAnn, &Stub::UnblockUser, About<v1::UnblockUserRequest>(kBob, id)).status(),
           reason);
    v1::UpdateSettingsRequest settings;
    settings.set_request_id(id);
    expect(Call(kAnn, &Stub::UpdateSettings, settings).status(), reason);
  }
  // The same id with another body, and with another method.
  auto request = About<v1::RequestContactRequest>(kBob);
  ASSERT_TRUE(Call(kAnn, &Stub::RequestContact, request).ok());
  request.set_greeting("hi");
  expect(Call(kAnn, &Stub::RequestContact, request).status(), Reason::REQUEST_ID_REUSED);
  expect(Call(kAnn, &Stub::WithdrawContact,
              About<v1::WithdrawContactRequest>(kBob, request.request_id()))
             .status(),
         Reason::REQUEST_ID_REUSED);
  expect(Call(kAnn, &Stub::BlockUser, About<v1::BlockUserRequest>(kBob, request.request_id()))
             .status(),
         Reason::REQUEST_ID_REUSED);
  EXPECT_EQ(Stands(kAnn, kBob), "sent");
}

TEST_F(ContactsServiceTest, RefusalsKeepTheirReasons) {
  const auto reason = [this](const auto& method, const auto& request) {
    return ReasonOf(Call(kAnn, method, request).status());
  };
  EXPECT_THAT(reason(&Stub::RequestContact, About<v1::RequestContactRequest>(kNobody)),
              Optional(Reason::USER_NOT_FOUND));
  EXPECT_THAT(reason(&Stub::RequestContact, About<v1::RequestContactRequest>(kAnn)),
              Optional(Reason::SELF_NOT_ALLOWED));
  EXPECT_THAT(reason(&Stub::BlockUser, About<v1::BlockUserRequest>(kAnn)),
              Optional(Reason::SELF_NOT_ALLOWED));
  EXPECT_THAT(reason(&Stub::AcceptContact, About<v1::AcceptContactRequest>(kBob)),
              Optional(Reason::REQUEST_NOT_FOUND));
  EXPECT_THAT(reason(&Stub::RemoveContact, About<v1::RemoveContactRequest>(kBob)),
              Optional(Reason::CONTACT_NOT_FOUND));
  ASSERT_TRUE(contacts_.Block(kBob, kAnn, New()).ok());
  const auto refused = Call(kAnn, &Stub::RequestContact, About<v1::RequestContactRequest>(kBob));
  EXPECT_THAT(ReasonOf(refused.status()), Optional(Reason::RECIPIENT_REFUSES));
  EXPECT_THAT(DetailsOf(refused.status()).metadata, IsEmpty());
  auto greeting = About<v1::RequestContactRequest>(kEve);
  greeting.set_greeting(std::string(501, 'x'));
  const auto too_long = Call(kAnn, &Stub::RequestContact, greeting);
  EXPECT_THAT(ReasonOf(too_long.status()), Optional(Reason::INVALID_FIELD));
  EXPECT_EQ(DetailsOf(too_long.status()).violations.at(0).field, "greeting");
}

TEST_F(ContactsServiceTest, ListsComeByPage) {
  for (const int64_t other : {20, 21, 22}) BecomeContacts(kAnn, other);
  ASSERT_TRUE(contacts_.Request(30, kAnn, New(), "hi").ok());
  ASSERT_TRUE(contacts_.Request(kAnn, 31, New(), "").ok());
  ASSERT_TRUE(contacts_.Decline(31, kAnn, New()).ok());

  const auto pages = [&](v1::ListContactsRequest request) {
    std::string text;
    do {
      const auto response = Call(kAnn, &Stub::ListContacts, request);
      if (!response.ok()) return response.status().ToString();
      for (const v1::Contact& contact : response->contacts()) {
        absl::StrAppend(&text, contact.user_id(), " ");
      }
      text += "| ";
      request.set_page_token(response->next_page_token());
    } while (!request.page_token().empty());
    return text;
  };
  v1::ListContactsRequest request;
  EXPECT_EQ(pages(request), "20 21 22 30 | ");
  request.set_page_size(3);
  EXPECT_EQ(pages(request), "20 21 22 | 30 | ");
  request.set_page_size(4);
  EXPECT_EQ(pages(request), "20 21 22 30 | ");
  request.set_page_size(1'000'000);
  EXPECT_EQ(pages(request), "20 21 22 30 | ");
  request.set_page_size(1);
  request.add_states(v1::CONTACT_STATE_DECLINED);
  request.add_states(v1::CONTACT_STATE_REQUEST_RECEIVED);
  EXPECT_EQ(pages(request), "30 | 31 | ");
  const std::string token = Call(kAnn, &Stub::ListContacts, request)->next_page_token();

  // A token is good for its list alone.
  request.clear_states();
  request.set_page_token(token);
  EXPECT_THAT(ReasonOf(Call(kAnn, &Stub::ListContacts, request).status()),
              Optional(Reason::PAGE_TOKEN_INVALID));
  request.set_page_token("nonsense");
  EXPECT_THAT(ReasonOf(Call(kAnn, &Stub::ListContacts, request).status()),
              Optional(Reason::PAGE_TOKEN_INVALID));
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_THAT(ReasonOf(Call(kAnn, &Stub::ListContacts, request).status()),
              Optional(Reason::INVALID_FIELD));
  request.clear_page_size();
  for (const int state : {0, 77}) {
    request.clear_states();
    request.add_states(static_cast<v1::ContactState>(state));
    EXPECT_THAT(ReasonOf(Call(kAnn, &Stub::ListContacts, request).status()),
                Optional(Reason::INVALID_FIELD));
  }
}

TEST_F(ContactsServiceTest, SearchComesByPage) {
  for (const int64_t other : {10, 11, 12, 20}) BecomeContacts(kAnn, other);
  v1::SearchContactsRequest request;
  request.set_query("user 1");
  request.set_page_size(2);
  auto response = Call(kAnn, &Stub::SearchContacts, request);
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->contacts_size(), 2);
  EXPECT_EQ(response->contacts(1).user_id(), 11);
  request.set_page_token(response->next_page_token());
  response = Call(kAnn, &Stub::SearchContacts, request);
  ASSERT_EQ(response->contacts_size(), 1);
  EXPECT_EQ(response->contacts(0).user_id(), 12);
  EXPECT_EQ(response->contacts(0).state(), v1::CONTACT_STATE_CONTACT);
  EXPECT_EQ(response->next_page_token(), "");
  request.set_query("user 2");
  EXPECT_THAT(ReasonOf(Call(kAnn, &Stub::SearchContacts, request).status()),
              Optional(Reason::PAGE_TOKEN_INVALID));
  request.clear_page_token();
  request.clear_query();
  EXPECT_THAT(ReasonOf(Call(kAnn, &Stub::SearchContacts, request).status()),
              Optional(Reason::INVALID_FIELD));
}

TEST_F(ContactsServiceTest, BlockedPeopleAreListed) {
  for (const int64_t other : {10, 11, 12}) ASSERT_TRUE(contacts_.Block(kAnn, other, New()).ok());
  ASSERT_TRUE(contacts_.Unblock(kAnn, 11, New()).ok());
  ASSERT_TRUE(contacts_.Block(13, kAnn, New()).ok());
  v1::ListBlockedRequest request;
  request.set_page_size(1);
  auto response = Call(kAnn, &Stub::ListBlocked, request);
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->contacts_size(), 1);
  EXPECT_EQ(response->contacts(0).user_id(), 10);
  EXPECT_TRUE(response->contacts(0).blocked());
  request.set_page_token(response->next_page_token());
  response = Call(kAnn, &Stub::ListBlocked, request);
  ASSERT_EQ(response->contacts_size(), 1);
  EXPECT_EQ(response->contacts(0).user_id(), 12);
  EXPECT_EQ(response->next_page_token(), "");
  request.set_page_token("x");
  EXPECT_THAT(ReasonOf(Call(kAnn, &Stub::ListBlocked, request).status()),
              Optional(Reason::PAGE_TOKEN_INVALID));
}

TEST_F(ContactsServiceTest, SettingsAreKept) {
  EXPECT_EQ(Call(kAnn, &Stub::GetSettings, v1::GetSettingsRequest())->settings().reachability(),
            v1::REACHABILITY_CONTACTS);
  v1::UpdateSettingsRequest request;
  request.set_request_id(RandomBytes(16));
  EXPECT_EQ(Call(kAnn, &Stub::UpdateSettings, request)->settings().reachability(),
            v1::REACHABILITY_CONTACTS);
  request.set_reachability(v1::REACHABILITY_ANYONE);
  EXPECT_THAT(ReasonOf(Call(kAnn, &Stub::UpdateSettings, request).status()),
              Optional(Reason::REQUEST_ID_REUSED));
  request.set_request_id(RandomBytes(16));
  EXPECT_EQ(Call(kAnn, &Stub::UpdateSettings, request)->settings().reachability(),
            v1::REACHABILITY_ANYONE);
  EXPECT_EQ(Call(kAnn, &Stub::GetSettings, v1::GetSettingsRequest())->settings().reachability(),
            v1::REACHABILITY_ANYONE);
  for (const int value : {0, 3}) {
    request.set_request_id(RandomBytes(16));
    request.set_reachability(static_cast<v1::Reachability>(value));
    EXPECT_THAT(ReasonOf(Call(kAnn, &Stub::UpdateSettings, request).status()),
                Optional(Reason::INVALID_FIELD));
  }
}

TEST_F(ContactsServiceTest, WithdrawnByTheOneWhoAsked) {
  ASSERT_TRUE(Call(kAnn, &Stub::RequestContact, About<v1::RequestContactRequest>(kBob)).ok());
  ASSERT_TRUE(Call(kAnn, &Stub::WithdrawContact, About<v1::WithdrawContactRequest>(kBob)).ok());
  EXPECT_THAT(Stands(kBob, kAnn), "none");
  EXPECT_THAT(
      ReasonOf(
          Call(kAnn, &Stub::WithdrawContact, About<v1::WithdrawContactRequest>(kBob)).status()),
      Optional(Reason::REQUEST_NOT_FOUND));
}

}  // namespace
}  // namespace im::chat
