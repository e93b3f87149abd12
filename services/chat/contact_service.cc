#include "services/chat/contact_service.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/error.h"
#include "common/base/page_token.h"
#include "im/chat/v1/contacts.pb.h"
#include "services/chat/entry.h"

namespace im::chat {
namespace {

constexpr int kUsualPage = 100;
constexpr int kLargestPage = 1000;
constexpr int kUsualSearchPage = 20;
constexpr int kLargestSearchPage = 100;

v1::Contact ToProto(const Contact& contact) {
  v1::Contact proto;
  proto.set_user_id(contact.user_id);
  proto.set_state(static_cast<v1::ContactState>(contact.state));
  proto.set_greeting(contact.greeting);
  *proto.mutable_since() = google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(contact.since);
  proto.set_blocked(contact.blocked);
  return proto;
}

template <typename Request>
absl::StatusOr<RequestKey> ToKey(const Request& request) {
  IM_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  return RequestKey{request.request_id(),
                    HashRequest(Request::descriptor()->full_name(), request.SerializeAsString())};
}

// The states a list is of, each once, in rising order.
absl::StatusOr<std::vector<ContactState>> ToStates(const v1::ListContactsRequest& request) {
  if (request.states().empty()) {
    return std::vector<ContactState>{ContactState::kRequestSent, ContactState::kRequestReceived,
                                     ContactState::kContact};
  }
  std::set<ContactState> states;
  for (const int state : request.states()) {
    if (!v1::ContactState_IsValid(state) || state == v1::CONTACT_STATE_UNSPECIFIED) {
      return InvalidField("states", "must be states of contacts");
    }
    states.insert(static_cast<ContactState>(state));
  }
  return std::vector<ContactState>(states.begin(), states.end());
}

struct Page {
  int64_t after = 0;
  int size = 0;
};

template <typename Request>
absl::StatusOr<Page> ToPage(const std::string& list, const Request& request, int usual, int most) {
  Page page;
  IM_ASSIGN_OR_RETURN(page.size, PageSize(request.page_size(), usual, most));
  IM_ASSIGN_OR_RETURN(const std::vector<int64_t> place,
                      ParsePageToken(list, request.page_token(), 1));
  if (!place.empty()) page.after = place.front();
  return page;
}

// `contacts` were asked for with one more than the page holds.
template <typename Response>
Response ToResponse(const std::string& list, const Page& page,
                    const std::vector<Contact>& contacts) {
  Response response;
  const size_t count = std::min(contacts.size(), static_cast<size_t>(page.size));
  for (size_t i = 0; i < count; ++i) *response.add_contacts() = ToProto(contacts[i]);
  if (contacts.size() > count) {
    response.set_next_page_token(MakePageToken(list, {contacts[count - 1].user_id}));
  }
  return response;
}

class Adapter {
 public:
  Adapter(rpc::Router* router, Contacts* contacts) : router_(router), contacts_(contacts) {}

  void AddAll() {
    Add("RequestContact", &Adapter::RequestContact);
    Add("AcceptContact", &Adapter::AcceptContact);
    AddPlain<v1::DeclineContactRequest, v1::DeclineContactResponse>("DeclineContact",
                                                                    &Contacts::Decline);
    AddPlain<v1::WithdrawContactRequest, v1::WithdrawContactResponse>("WithdrawContact",
                                                                      &Contacts::Withdraw);
    AddPlain<v1::RemoveContactRequest, v1::RemoveContactResponse>("RemoveContact",
                                                                  &Contacts::Remove);
    AddPlain<v1::BlockUserRequest, v1::BlockUserResponse>("BlockUser", &Contacts::Block);
    AddPlain<v1::UnblockUserRequest, v1::UnblockUserResponse>("UnblockUser", &Contacts::Unblock);
    Add("ListContacts", &Adapter::ListContacts);
    Add("SearchContacts", &Adapter::SearchContacts);
    Add("ListBlocked", &Adapter::ListBlocked);
    Add("GetSettings", &Adapter::GetSettings);
    Add("UpdateSettings", &Adapter::UpdateSettings);
  }

 private:
  template <typename Request, typename Response>
  void Add(const std::string& method,
           absl::StatusOr<Response> (Adapter::*handler)(const rpc::Caller&, const Request&) const) {
    router_->Unary<Request, Response>(
        absl::StrCat(kContactService, "/", method), rpc::Access::kUser,
        [adapter = *this, handler](const rpc::Caller& caller, const Request& request) {
          return (adapter.*handler)(caller, request);
        });
  }

  // Of somebody, and answered with nothing.
  template <typename Request, typename Response>
  void AddPlain(const std::string& method,
                absl::Status (Contacts::*change)(int64_t, int64_t, const RequestKey&)) {
    router_->Unary<Request, Response>(
        absl::StrCat(kContactService, "/", method), rpc::Access::kUser,
        [contacts = contacts_, change](const rpc::Caller& caller,
                                       const Request& request) -> absl::StatusOr<Response> {
          IM_ASSIGN_OR_RETURN(const RequestKey key, ToKey(request));
          IM_RETURN_IF_ERROR((contacts->*change)(caller.user_id(), request.user_id(), key));
          return Response();
        });
  }

  absl::StatusOr<v1::RequestContactResponse> RequestContact(
      const rpc::Caller& caller, const v1::RequestContactRequest& request) const {
    IM_ASSIGN_OR_RETURN(const RequestKey key, ToKey(request));
    IM_ASSIGN_OR_RETURN(
        const Contact contact,
        contacts_->Request(caller.user_id(), request.user_id(), key, request.greeting()));
    v1::RequestContactResponse response;
    *response.mutable_contact() = ToProto(contact);
    return response;
  }

  absl::StatusOr<v1::AcceptContactResponse> AcceptContact(
      const rpc::Caller& caller, const v1::AcceptContactRequest& request) const {
    IM_ASSIGN_OR_RETURN(const RequestKey key, ToKey(request));
    IM_ASSIGN_OR_RETURN(const Contact contact,
                        contacts_->Accept(caller.user_id(), request.user_id(), key));
    v1::AcceptContactResponse response;
    *response.mutable_contact() = ToProto(contact);
    return response;
  }

  absl::StatusOr<v1::ListContactsResponse> ListContacts(
      const rpc::Caller& caller, const v1::ListContactsRequest& request) const {
    IM_ASSIGN_OR_RETURN(const std::vector<ContactState> states, ToStates(request));
    const std::string list = absl::StrCat(
        "contacts:", absl::StrJoin(states, ",", [](std::string* out, ContactState state) {
          absl::StrAppend(out, static_cast<int>(state));
        }));
    IM_ASSIGN_OR_RETURN(const Page page, ToPage(list, request, kUsualPage, kLargestPage));
    IM_ASSIGN_OR_RETURN(const std::vector<Contact> contacts,
                        contacts_->List(caller.user_id(), states, page.after, page.size + 1));
    return ToResponse<v1::ListContactsResponse>(list, page, contacts);
  }

  absl::StatusOr<v1::SearchContactsResponse> SearchContacts(
      const rpc::Caller& caller, const v1::SearchContactsRequest& request) const {
    const std::string list = "search:" + request.query();
    IM_ASSIGN_OR_RETURN(const Page page,
                        ToPage(list, request, kUsualSearchPage, kLargestSearchPage));
    IM_ASSIGN_OR_RETURN(
        const std::vector<Contact> contacts,
        contacts_->Search(caller.user_id(), request.query(), page.after, page.size + 1));
    return ToResponse<v1::SearchContactsResponse>(list, page, contacts);
  }

  absl::StatusOr<v1::ListBlockedResponse> ListBlocked(const rpc::Caller& caller,
                                                      const v1::ListBlockedRequest& request) const {
    IM_ASSIGN_OR_RETURN(const Page page, ToPage("blocked", request, kUsualPage, kLargestPage));
    IM_ASSIGN_OR_RETURN(const std::vector<Contact> contacts,
                        contacts_->ListBlocked(caller.user_id(), page.after, page.size + 1));
    return ToResponse<v1::ListBlockedResponse>("blocked", page, contacts);
  }

  absl::StatusOr<v1::GetSettingsResponse> GetSettings(const rpc::Caller& caller,
                                                      const v1::GetSettingsRequest&) const {
    IM_ASSIGN_OR_RETURN(const Reachability reachability,
                        contacts_->GetReachability(caller.user_id()));
    v1::GetSettingsResponse response;
    response.mutable_settings()->set_reachability(static_cast<v1::Reachability>(reachability));
    return response;
  }

  absl::StatusOr<v1::UpdateSettingsResponse> UpdateSettings(
      const rpc::Caller& caller, const v1::UpdateSettingsRequest& request) const {
    IM_ASSIGN_OR_RETURN(const RequestKey key, ToKey(request));
    std::optional<Reachability> reachability;
    if (request.has_reachability()) {
      if (!v1::Reachability_IsValid(request.reachability()) ||
          request.reachability() == v1::REACHABILITY_UNSPECIFIED) {
        return InvalidField("reachability", "must be CONTACTS or ANYONE");
      }
      reachability = static_cast<Reachability>(request.reachability());
    }
    IM_ASSIGN_OR_RETURN(const Reachability now,
                        contacts_->UpdateSettings(caller.user_id(), reachability, key));
    v1::UpdateSettingsResponse response;
    response.mutable_settings()->set_reachability(static_cast<v1::Reachability>(now));
    return response;
  }

  rpc::Router* router_;
  Contacts* contacts_;
};

}  // namespace

void AddContactService(rpc::Router* router, Contacts* contacts) {
  Adapter(router, contacts).AddAll();
}

}  // namespace im::chat
