#include "services/chat/conversation_service.h"

#include <algorithm>
#include <future>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"

namespace im::chat {
namespace {

using rpc::Access;
using rpc::Caller;

constexpr int kMaxAddedAtOnce = 1000;

// Each once, in rising order, without the caller.
std::vector<int64_t> Others(const google::protobuf::RepeatedField<int64_t>& ids, int64_t caller) {
  std::set<int64_t> unique(ids.begin(), ids.end());
  unique.erase(caller);
  return {unique.begin(), unique.end()};
}

// Whether none of those who are `added` is among those who refuse.
absl::Status MayAdd(const absl::StatusOr<std::vector<int64_t>>& refusing,
                    const std::vector<int64_t>& added) {
  IM_RETURN_IF_ERROR(refusing.status());
  std::vector<int64_t> refused;
  for (const int64_t user : added) {
    if (std::count(refusing->begin(), refusing->end(), user) > 0) refused.push_back(user);
  }
  if (refused.empty()) return absl::OkStatus();
  return ErrorAboutUsers(Reason::MEMBER_REFUSED, refused);
}

// The answer of an RPC that makes one entry.
template <typename Response>
absl::StatusOr<Response> WithEntry(const absl::StatusOr<std::optional<Entry>>& entry) {
  if (!entry.ok()) return entry.status();
  Response response;
  if (*entry) *response.mutable_entry() = ToProto(**entry);
  return response;
}

}  // namespace

void ConversationService::Register(rpc::Router* router) {
  const auto add = [&]<typename Request, typename Response>(
                       const char* method, absl::StatusOr<Response> (ConversationService::*handler)(
                                               const Caller&, const Request&)) {
    router->Unary<Request, Response>(absl::StrCat("im.chat.v1.ConversationService/", method),
                                     Access::kUser,
                                     [this, handler](const Caller& caller, const Request& request) {
                                       return (this->*handler)(caller, request);
                                     });
  };
  add("OpenDirect", &ConversationService::OpenDirect);
  add("CreateGroup", &ConversationService::CreateGroup);
  add("RenameGroup", &ConversationService::RenameGroup);
  add("AddMembers", &ConversationService::AddMembers);
  add("RemoveMember", &ConversationService::RemoveMember);
  add("LeaveGroup", &ConversationService::LeaveGroup);
  add("ReturnToGroup", &ConversationService::ReturnToGroup);
}

absl::StatusOr<v1::OpenDirectResponse> ConversationService::OpenDirect(
    const Caller& caller, const v1::OpenDirectRequest& request) {
  const int64_t other = request.user_id();
  if (other == caller.user_id()) return Error(Reason::SELF_NOT_ALLOWED);
  IM_ASSIGN_OR_RETURN(const ConversationState pair, store_->LoadPair(caller.user_id(), other));
  int64_t id = pair.id;
  // What holds something already may always be opened, to be read.
  if (pair.last_seq == 0) {
    IM_RETURN_IF_ERROR(directory_->CheckExist({other}));
    IM_RETURN_IF_ERROR(MayWriteTo(pair, caller.user_id()));
    IM_ASSIGN_OR_RETURN(id, store_->OpenDirect(caller.user_id(), other));
  }
  IM_ASSIGN_OR_RETURN(const ConversationView view, history_->GetConversation(caller.user_id(), id));
  v1::OpenDirectResponse response;
  *response.mutable_conversation() = ToProto(view);
  return response;
}

absl::StatusOr<v1::CreateGroupResponse> ConversationService::CreateGroup(
    const Caller& caller, const v1::CreateGroupRequest& request) {
  IM_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  IM_RETURN_IF_ERROR(CheckTitle(request.title()));
  if (request.user_ids_size() > kMaxAddedAtOnce) {
    return InvalidField("user_ids", "at most 1,000 at once");
  }
  std::vector<int64_t> members = Others(request.user_ids(), caller.user_id());
  absl::Status may_add = directory_->CheckExist(members);
  if (may_add.ok()) may_add = MayAdd(contacts_->WhoRefuses(caller.user_id(), members), members);
  members.push_back(caller.user_id());
  v1::GroupCreated created;
  created.set_title(request.title());
  for (const int64_t member : members) created.add_user_ids(member);

  const int64_t hash = HashRequest(
      "CreateGroup",
      absl::StrCat(request.title(), "/", request.open_history(), "/", absl::StrJoin(members, ",")));
  if (!may_add.ok()) {
    // A repetition gets the first answer, whatever has changed between people since.
    IM_ASSIGN_OR_RETURN(const bool repeated,
                        store_->IsAnswered(caller.user_id(), request.request_id()));
    if (!repeated) return may_add;
  }
  IM_ASSIGN_OR_RETURN(
      const PgMessageStore::CreatedGroup group,
      store_->CreateGroup(caller.user_id(), request.request_id(), hash, request.title(),
                          request.open_history(), members, created.SerializeAsString()));
  if (group.request_hash != hash) return Error(Reason::REQUEST_ID_REUSED);
  IM_ASSIGN_OR_RETURN(const std::optional<Entry> entry,
                      store_->FindEntryBySeq(group.conversation_id, 1));
  // A repetition publishes again, as the first may have been cut off in between.
  if (entry) publisher_->PublishEntry(members, *entry, nullptr);
  IM_ASSIGN_OR_RETURN(const ConversationView view,
                      history_->GetConversation(caller.user_id(), group.conversation_id));
  v1::CreateGroupResponse response;
  *response.mutable_conversation() = ToProto(view);
  return response;
}

absl::StatusOr<v1::RenameGroupResponse> ConversationService::RenameGroup(
    const Caller& caller, const v1::RenameGroupRequest& request) {
  IM_RETURN_IF_ERROR(CheckTitle(request.title()));
  return WithEntry<v1::RenameGroupResponse>(
      Change(caller, request.conversation_id(), request.request_id(),
             HashRequest("RenameGroup", request.title()),
             [&](const ConversationState& state, const std::optional<LastStay>&) {
               return PlanRename(state, caller.user_id(), request.title());
             }));
}

absl::StatusOr<v1::AddMembersResponse> ConversationService::AddMembers(
    const Caller& caller, const v1::AddMembersRequest& request) {
  if (request.user_ids_size() < 1 || request.user_ids_size() > kMaxAddedAtOnce) {
    return InvalidField("user_ids", "1 to 1,000 at once");
  }
  const std::vector<int64_t> ids = Others(request.user_ids(), caller.user_id());
  const absl::Status exist = directory_->CheckExist(ids);
  const auto refusing = contacts_->WhoRefuses(caller.user_id(), ids);
  return WithEntry<v1::AddMembersResponse>(
      Change(caller, request.conversation_id(), request.request_id(),
             HashRequest("AddMembers", absl::StrJoin(ids, ",")),
             [&](const ConversationState& state,
                 const std::optional<LastStay>&) -> absl::StatusOr<ChangePlan> {
               absl::StatusOr<ChangePlan> plan = PlanAdd(state, caller.user_id(), ids);
               if (!plan.ok() || !plan->entry_kind) return plan;
               IM_RETURN_IF_ERROR(exist);
               IM_RETURN_IF_ERROR(MayAdd(refusing, plan->begin));
               return plan;
             }));
}

absl::StatusOr<v1::RemoveMemberResponse> ConversationService::RemoveMember(
    const Caller& caller, const v1::RemoveMemberRequest& request) {
  return WithEntry<v1::RemoveMemberResponse>(
      Change(caller, request.conversation_id(), request.request_id(),
             HashRequest("RemoveMember", absl::StrCat(request.user_id())),
             [&](const ConversationState& state, const std::optional<LastStay>&) {
               return PlanRemove(state, caller.user_id(), request.user_id());
             }));
}

absl::StatusOr<v1::LeaveGroupResponse> ConversationService::LeaveGroup(
    const Caller& caller, const v1::LeaveGroupRequest& request) {
  return WithEntry<v1::LeaveGroupResponse>(
      Change(caller, request.conversation_id(), request.request_id(), HashRequest("LeaveGroup", ""),
             [&](const ConversationState& state, const std::optional<LastStay>&) {
               return PlanLeave(state, caller.user_id());
             }));
}

absl::StatusOr<v1::ReturnToGroupResponse> ConversationService::ReturnToGroup(
    const Caller& caller, const v1::ReturnToGroupRequest& request) {
  return WithEntry<v1::ReturnToGroupResponse>(Change(
      caller, request.conversation_id(), request.request_id(), HashRequest("ReturnToGroup", ""),
      [&](const ConversationState& state, const std::optional<LastStay>& stay) {
        return PlanReturn(state, caller.user_id(), stay);
      }));
}

absl::StatusOr<std::optional<Entry>> ConversationService::Change(
    const Caller& caller, int64_t conversation_id, const std::string& request_id,
    int64_t request_hash,
    std::function<absl::StatusOr<ChangePlan>(const ConversationState&,
                                             const std::optional<LastStay>&)>
        plan) {
  IM_RETURN_IF_ERROR(CheckRequestId(request_id));
  std::promise<absl::StatusOr<std::optional<Entry>>> done;
  ChangeItem item;
  item.conversation_id = conversation_id;
  item.user = caller.user_id();
  item.request_id = request_id;
  item.request_hash = request_hash;
  item.plan = std::move(plan);
  item.waiting.deadline = caller.deadline;
  item.done = [&done](absl::StatusOr<std::optional<Entry>> entry) {
    done.set_value(std::move(entry));
  };
  writers_->Submit(std::move(item));
  return done.get_future().get();
}

}  // namespace im::chat
