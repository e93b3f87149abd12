#include "services/chat/history_service.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/page_token.h"

namespace im::chat {
namespace {

// Answers come as frames too, of at most 1 MB.
constexpr int64_t kMostResponseBytes = 512 << 10;

// A method that reads from the store.
template <typename Request, typename Response>
void Register(rpc::Router* router, const char* method, const PgHistoryStore* store,
              absl::StatusOr<Response> (*answer)(const PgHistoryStore&, int64_t, const Request&)) {
  router->Unary<Request, Response>(
      method, rpc::Access::kUser,
      [store, answer](const rpc::Caller& caller, const Request& request) {
        return answer(*store, caller.user_id(), request);
      });
}

absl::StatusOr<v1::GetConversationResponse> GetConversation(
    const PgHistoryStore& store, int64_t user, const v1::GetConversationRequest& request) {
  IM_ASSIGN_OR_RETURN(const ConversationView view,
                      store.GetConversation(user, request.conversation_id()));
  v1::GetConversationResponse response;
  *response.mutable_conversation() = ToProto(view);
  return response;
}

absl::StatusOr<v1::ListConversationsResponse> ListConversations(
    const PgHistoryStore& store, int64_t user, const v1::ListConversationsRequest& request) {
  IM_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 50, 200));
  IM_ASSIGN_OR_RETURN(const std::vector<int64_t> place,
                      ParsePageToken("conversations", request.page_token(), 2));
  std::optional<ListPlace> after;
  if (!place.empty()) after = ListPlace{place[0], place[1]};
  // One more than asked for tells whether there is a further page.
  IM_ASSIGN_OR_RETURN(const std::vector<ConversationView> views,
                      store.ListConversations(user, after, size + 1));
  v1::ListConversationsResponse response;
  int64_t bytes = 0;
  for (const ConversationView& view : views) {
    if (response.conversations_size() == size || bytes > kMostResponseBytes) {
      const v1::Conversation& last = response.conversations(response.conversations_size() - 1);
      response.set_next_page_token(MakePageToken(
          "conversations",
          {views[response.conversations_size() - 1].last_at, last.conversation_id()}));
      break;
    }
    *response.add_conversations() = ToProto(view);
    bytes += static_cast<int64_t>(response.conversations().rbegin()->ByteSizeLong());
  }
  return response;
}

absl::StatusOr<v1::ListMembersResponse> ListMembers(const PgHistoryStore& store, int64_t user,
                                                    const v1::ListMembersRequest& request) {
  const std::string list = absl::StrCat("members:", request.conversation_id());
  IM_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  IM_ASSIGN_OR_RETURN(const std::vector<int64_t> place,
                      ParsePageToken(list, request.page_token(), 1));
  IM_ASSIGN_OR_RETURN(
      const std::vector<PresentMember> members,
      store.ListMembers(user, request.conversation_id(), place.empty() ? 0 : place[0], size + 1));
  v1::ListMembersResponse response;
  for (const PresentMember& member : members) {
    if (response.members_size() == size) {
      response.set_next_page_token(MakePageToken(list, {response.members(size - 1).user_id()}));
      break;
    }
    v1::Member* const added = response.add_members();
    added->set_user_id(member.user_id);
    added->set_role(member.role);
    added->set_join_seq(member.join_seq);
  }
  return response;
}

}  // namespace

absl::StatusOr<v1::ListEntriesResponse> ListEntries(const PgHistoryStore& store, int64_t user,
                                                    const v1::ListEntriesRequest& request) {
  IM_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 50, 200));
  if (request.to_seq() < 0) return InvalidField("to_seq", "must not be negative");
  EntriesQuery query;
  query.limit = size;
  query.forward = request.from_case() == v1::ListEntriesRequest::kAfterSeq;
  if (query.forward) {
    if (request.after_seq() < 0) return InvalidField("after_seq", "must not be negative");
    query.after = request.after_seq();
    if (request.to_seq() > 0) query.to = request.to_seq();
  } else {
    if (request.to_seq() > 0) return InvalidField("to_seq", "goes with after_seq only");
    if (request.from_case() == v1::ListEntriesRequest::kBeforeSeq) {
      if (request.before_seq() < 0) return InvalidField("before_seq", "must not be negative");
      query.before = request.before_seq();
    }
  }
  const std::string list =
      absl::StrCat("entries:", request.conversation_id(), ":", request.from_case(), ":",
                   query.forward ? query.after : query.before, ":", query.to);
  IM_ASSIGN_OR_RETURN(const std::vector<int64_t> place,
                      ParsePageToken(list, request.page_token(), 1));
  if (!place.empty()) (query.forward ? query.after : query.before) = place[0];

  IM_ASSIGN_OR_RETURN(const EntriesPage page,
                      store.ListEntries(user, request.conversation_id(), query));
  v1::ListEntriesResponse response;
  for (const Entry& entry : page.entries) *response.add_entries() = ToProto(entry);
  if (page.more) {
    const Entry& last = query.forward ? page.entries.back() : page.entries.front();
    response.set_next_page_token(MakePageToken(list, {last.seq}));
  }
  return response;
}

absl::StatusOr<v1::MarkReadResponse> MarkRead(Watermarks* watermarks, int64_t user,
                                              const v1::MarkReadRequest& request) {
  if (request.seq() < 0) return InvalidField("seq", "must not be negative");
  IM_ASSIGN_OR_RETURN(const ReadMark mark,
                      watermarks->MarkRead(user, request.conversation_id(), request.seq()));
  v1::MarkReadResponse response;
  response.set_read_seq(mark.read_seq);
  response.set_unread_count(mark.unread);
  return response;
}

absl::StatusOr<v1::AcknowledgeDeliveryResponse> AcknowledgeDelivery(
    Watermarks* watermarks, int64_t user, const v1::AcknowledgeDeliveryRequest& request) {
  if (request.seq() < 0) return InvalidField("seq", "must not be negative");
  watermarks->Acknowledge(user, request.conversation_id(), request.seq());
  return v1::AcknowledgeDeliveryResponse();
}

absl::StatusOr<v1::ListWatermarksResponse> ListWatermarks(
    const PgHistoryStore& store, int64_t user, const v1::ListWatermarksRequest& request) {
  const std::string list = absl::StrCat("watermarks:", request.conversation_id());
  IM_ASSIGN_OR_RETURN(const int size, PageSize(request.page_size(), 100, 1000));
  IM_ASSIGN_OR_RETURN(const std::vector<int64_t> place,
                      ParsePageToken(list, request.page_token(), 1));
  IM_ASSIGN_OR_RETURN(const std::vector<Watermark> watermarks,
                      store.ListWatermarks(user, request.conversation_id(),
                                           place.empty() ? 0 : place[0], size + 1));
  v1::ListWatermarksResponse response;
  for (const Watermark& watermark : watermarks) {
    if (response.watermarks_size() == size) {
      response.set_next_page_token(MakePageToken(list, {response.watermarks(size - 1).user_id()}));
      break;
    }
    *response.add_watermarks() = ToProto(watermark);
  }
  return response;
}

void RegisterHistory(rpc::Router* router, PgHistoryStore* store, Watermarks* watermarks) {
  using rpc::Access;
  using rpc::Caller;
  Register(router, "im.chat.v1.ConversationService/GetConversation", store, &GetConversation);
  Register(router, "im.chat.v1.ConversationService/ListConversations", store, &ListConversations);
  Register(router, "im.chat.v1.ConversationService/ListMembers", store, &ListMembers);
  Register(router, "im.chat.v1.MessageService/ListEntries", store, &ListEntries);
  Register(router, "im.chat.v1.MessageService/ListWatermarks", store, &ListWatermarks);
  router->Unary<v1::MarkReadRequest, v1::MarkReadResponse>(
      "im.chat.v1.MessageService/MarkRead", Access::kUser,
      [watermarks](const Caller& caller, const v1::MarkReadRequest& request) {
        return MarkRead(watermarks, caller.user_id(), request);
      });
  router->Unary<v1::AcknowledgeDeliveryRequest, v1::AcknowledgeDeliveryResponse>(
      "im.chat.v1.MessageService/AcknowledgeDelivery", Access::kUser,
      [watermarks](const Caller& caller, const v1::AcknowledgeDeliveryRequest& request) {
        return AcknowledgeDelivery(watermarks, caller.user_id(), request);
      });
}

}  // namespace im::chat
