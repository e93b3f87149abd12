#include "services/chat/history_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/rpc/status.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "tests/chat/chat_fixture.h"
#include "tests/chat/link_fixture.h"

namespace im::chat {
namespace {

using im::testing::ChatFixture;
using im::testing::kAlice;
using im::testing::kBob;
using im::testing::kCarol;
using im::testing::TestLinks;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;

// The methods as they are served, over gRPC. Access tokens are user ids.
class HistoryServiceTest : public ::testing::Test {
 protected:
  HistoryServiceTest() {
    RegisterHistory(&router_, &store_, &watermarks_);
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(&router_);
    server_ = builder.BuildAndStart();
    const auto channel = server_->InProcessChannel({});
    conversations_ = v1::ConversationService::NewStub(channel);
    messages_ = v1::MessageService::NewStub(channel);
  }
  ~HistoryServiceTest() override { server_->Shutdown(); }

  template <typename Response, typename Stub, typename Request>
  static absl::StatusOr<Response> Call(int64_t user, Stub* stub,
                                       grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                                       const Request& request) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer " + std::to_string(user));
    Response response;
    const grpc::Status status = (stub->*method)(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    return response;
  }
  auto ListConversations(int64_t user, int size, const std::string& token = {}) {
    v1::ListConversationsRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    return Call<v1::ListConversationsResponse>(
        user, conversations_.get(), &v1::ConversationService::Stub::ListConversations, request);
  }
  auto ListMembers(int64_t user, int64_t conversation, int size, const std::string& token = {}) {
    v1::ListMembersRequest request;
    request.set_conversation_id(conversation);
    request.set_page_size(size);
    request.set_page_token(token);
    return Call<v1::ListMembersResponse>(user, conversations_.get(),
                                         &v1::ConversationService::Stub::ListMembers, request);
  }
  auto ListWatermarks(int64_t user, int64_t conversation, int size, const std::string& token = {}) {
    v1::ListWatermarksRequest request;
    request.set_conversation_id(conversation);
    request.set_page_size(size);
    request.set_page_token(token);
    return Call<v1::ListWatermarksResponse>(user, messages_.get(),
                                            &v1::MessageService::Stub::ListWatermarks, request);
  }

  static absl::StatusOr<rpc::Identity> Authenticate(std::string_view token) {
    rpc::Identity identity;
    if (!absl::SimpleAtoi(absl::string_view(token.data(), token.size()), &identity.user_id)) {
      return Error(Reason::TOKEN_INVALID);
    }
    return identity;
  }

  ChatFixture chat_;
  TestLinks links_;
  Publisher publisher_{&links_.server};
  OwnLog own_log_{&chat_.pool, &publisher_};
  Watermarks watermarks_{&chat_.pool, &publisher_, &own_log_, std::chrono::hours(1)};
  PgHistoryStore store_{&chat_.pool};
  Workers workers_{2, 100};
  rpc::Router router_{&Authenticate, &workers_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::ConversationService::Stub> conversations_;
  std::unique_ptr<v1::MessageService::Stub> messages_;
};

TEST_F(HistoryServiceTest, ConversationsPageByPage) {
  std::vector<int64_t> made;
  for (int i = 0; i < 5; ++i) made.insert(made.begin(), chat_.Group(kAlice, {kBob}));
  std::vector<int64_t> ids;
  std::string token;
  int pages = 0;
  do {
    const auto page = ListConversations(kAlice, 2, token);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_LE(page->conversations_size(), 2);
    for (const v1::Conversation& one : page->conversations()) {
      ids.push_back(one.conversation_id());
      EXPECT_EQ(one.last_entry().seq(), 1);
    }
    token = page->next_page_token();
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(ids, made);
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(ListConversations(kAlice, 0)->conversations_size(), 5);
  EXPECT_THAT(ListConversations(kCarol, 0)->conversations(), IsEmpty());
  EXPECT_THAT(ReasonOf(ListConversations(kAlice, -1).status()), Optional(Reason::INVALID_FIELD));
  EXPECT_THAT(ReasonOf(ListConversations(kAlice, 2, "garbage").status()),
              Optional(Reason::PAGE_TOKEN_INVALID));
}

TEST_F(HistoryServiceTest, LongLastEntriesCutThePage) {
  for (int i = 0; i < 60; ++i)
    chat_.Say(chat_.Group(kAlice, {kBob}), kBob, std::string(16000, 'x'));
  size_t seen = 0;
  std::string token;
  do {
    const auto page = ListConversations(kAlice, 200, token);
    ASSERT_TRUE(page.ok());
    EXPECT_LT(page->ByteSizeLong(), 600u << 10);
    seen += page->conversations_size();
    token = page->next_page_token();
  } while (!token.empty());
  EXPECT_EQ(seen, 60u);
}

TEST_F(HistoryServiceTest, MembersAndWatermarksPageByPage) {
  const int64_t group = chat_.Group(kAlice, {kBob, kCarol, 104, 105});
  std::vector<int64_t> members, marks;
  std::string token;
  do {
    const auto page = ListMembers(kAlice, group, 2, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const v1::Member& one : page->members()) members.push_back(one.user_id());
    token = page->next_page_token();
  } while (!token.empty());
  EXPECT_THAT(members, ElementsAre(kAlice, kBob, kCarol, 104, 105));
  do {
    const auto page = ListWatermarks(kAlice, group, 3, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const v1::Watermark& one : page->watermarks()) marks.push_back(one.user_id());
    token = page->next_page_token();
  } while (!token.empty());
  EXPECT_THAT(marks, ElementsAre(kAlice, kBob, kCarol, 104, 105));

  token = ListMembers(kAlice, group, 2)->next_page_token();
  const int64_t other = chat_.Group(kAlice, {kBob});
  EXPECT_THAT(ReasonOf(ListMembers(kAlice, other, 2, token).status()),
              Optional(Reason::PAGE_TOKEN_INVALID));
  EXPECT_THAT(ReasonOf(ListWatermarks(kAlice, group, 2, token).status()),
              Optional(Reason::PAGE_TOKEN_INVALID));
  EXPECT_THAT(ReasonOf(ListMembers(106, group, 2).status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
}

TEST_F(HistoryServiceTest, ReadingAndMarking) {
  const int64_t group = chat_.Group(kAlice, {kBob});
  chat_.Say(group, kAlice, "hi", 3);
  v1::ListEntriesRequest list;
  list.set_conversation_id(group);
  const auto entries = Call<v1::ListEntriesResponse>(kBob, messages_.get(),
                                                     &v1::MessageService::Stub::ListEntries, list);
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->entries_size(), 4);
  EXPECT_EQ(entries->entries(1).message().text().body(), "hi");
  EXPECT_EQ(entries->entries(1).request_id().size(), 16u);
  EXPECT_EQ(entries->entries(3).count(), 3);

  v1::MarkReadRequest mark;
  mark.set_conversation_id(group);
  mark.set_seq(3);
  const auto marked =
      Call<v1::MarkReadResponse>(kBob, messages_.get(), &v1::MessageService::Stub::MarkRead, mark);
  ASSERT_TRUE(marked.ok());
  EXPECT_EQ(marked->read_seq(), 3);
  EXPECT_EQ(marked->unread_count(), 1);

  v1::AcknowledgeDeliveryRequest acknowledge;
  acknowledge.set_conversation_id(group);
  acknowledge.set_seq(4);
  ASSERT_TRUE(Call<v1::AcknowledgeDeliveryResponse>(kBob, messages_.get(),
                                                    &v1::MessageService::Stub::AcknowledgeDelivery,
                                                    acknowledge)
                  .ok());
  ASSERT_TRUE(watermarks_.Flush().ok());
  EXPECT_EQ(ListWatermarks(kAlice, group, 0)->watermarks(1).delivered_seq(), 4);

  v1::GetConversationRequest get;
  get.set_conversation_id(group);
  const auto got = Call<v1::GetConversationResponse>(
      kBob, conversations_.get(), &v1::ConversationService::Stub::GetConversation, get);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->conversation().unread_count(), 1);
  EXPECT_EQ(got->conversation().last_entry().seq(), 4);
  EXPECT_THAT(ReasonOf(Call<v1::GetConversationResponse>(
                           kCarol, conversations_.get(),
                           &v1::ConversationService::Stub::GetConversation, get)
                           .status()),
              Optional(Reason::CONVERSATION_NOT_FOUND));
}

}  // namespace
}  // namespace im::chat
