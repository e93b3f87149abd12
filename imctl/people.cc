#include "imctl/people.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/conversations.grpc.pb.h"

namespace im::imctl {

using auth::v1::AccountService;
using chat::v1::ConversationService;

namespace {

// Of LookUpProfiles.
constexpr size_t kMostAtOnce = 100;
// No user name holds a colon, and any may be a number.
constexpr absl::string_view kGroup = "group:";
constexpr absl::string_view kConversation = "conversation:";

bool CanBeUserName(const std::string& name) {
  return name.size() >= 3 && name.size() <= 32 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

bool IsNumber(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

absl::StatusOr<chat::v1::Conversation> GetConversation(Context& context, const std::string& id) {
  chat::v1::GetConversationRequest request;
  int64_t number = 0;
  if (!absl::SimpleAtoi(id, &number)) return Error(Reason::CONVERSATION_NOT_FOUND);
  request.set_conversation_id(number);
  IM_ASSIGN_OR_RETURN(const auto response,
                      context.Call(&ConversationService::Stub::GetConversation, request));
  return response.conversation();
}

absl::StatusOr<std::vector<chat::v1::Conversation>> ListConversations(Context& context) {
  chat::v1::ListConversationsRequest request;
  request.set_page_size(200);
  return context.List(&ConversationService::Stub::ListConversations, request,
                      &chat::v1::ListConversationsResponse::conversations);
}

absl::StatusOr<chat::v1::Conversation> OpenDirect(Context& context, int64_t user,
                                                  const std::string&) {
  chat::v1::OpenDirectRequest request;
  request.set_user_id(user);
  IM_ASSIGN_OR_RETURN(const auto response,
                      context.Call(&ConversationService::Stub::OpenDirect, request));
  return response.conversation();
}

absl::StatusOr<chat::v1::Conversation> FindDirect(Context& context, int64_t user,
                                                  const std::string& name) {
  IM_ASSIGN_OR_RETURN(const auto all, ListConversations(context));
  for (const auto& conversation : all) {
    if (conversation.peer_user_id() == user) return conversation;
  }
  return Error(Reason::CONVERSATION_NOT_FOUND, absl::StrCat("no conversation with ", name, " yet"));
}

absl::StatusOr<chat::v1::Conversation> GroupByTitle(Context& context, const std::string& title) {
  IM_ASSIGN_OR_RETURN(const auto all, ListConversations(context));
  std::vector<const chat::v1::Conversation*> found;
  for (const auto& conversation : all) {
    if (conversation.kind() == chat::v1::CONVERSATION_KIND_GROUP && conversation.title() == title) {
      found.push_back(&conversation);
    }
  }
  if (found.size() == 1) return *found[0];
  if (found.empty()) {
    return Error(Reason::CONVERSATION_NOT_FOUND,
                 absl::StrCat("there is no '", title, "' among your groups (imctl chats)"));
  }
  std::string ids;
  for (const auto* one : found) absl::StrAppend(&ids, " group:", one->conversation_id());
  return absl::InvalidArgumentError(
      absl::StrCat("several groups are called '", title, "': say which by id, one of", ids));
}

absl::StatusOr<chat::v1::Conversation> ExplainIds(absl::StatusOr<chat::v1::Conversation> found,
                                                  const std::string& who) {
  if (found.ok() || !IsNumber(who)) return found;
  return WithAdvice(found.status(), absl::StrCat("an id is written group:", who,
                                                 ", or conversation:", who, " for any kind"));
}

}  // namespace

absl::Status NoSuchUsers(const std::vector<std::string>& names) {
  return Error(Reason::USER_NOT_FOUND,
               absl::StrCat("there is no user '", absl::StrJoin(names, "', '"), "'"));
}

People::~People() {
  if (!changed_) return;
  const auto profile = context_->OpenProfile();
  if (profile.ok()) (*profile)->WritePeople(ids_);
}

void People::ReadKept() {
  if (read_) return;
  read_ = true;
  const auto profile = context_->OpenProfile();
  if (!profile.ok()) return;
  for (const auto& [name, id] : (*profile)->ReadPeople()) {
    ids_[name] = id;
    names_[id] = name;
  }
  const auto account = context_->GetAccount();
  if (!account.ok()) return;
  ids_[account->profile.user_name()] = account->profile.user_id();
  names_[account->profile.user_id()] = account->profile.user_name();
}

void People::Keep(const std::string& name, int64_t id) {
  ids_[name] = id;
  names_[id] = name;
  changed_ = true;
}

absl::Status People::LookUp(const std::vector<std::string>& names,
                            const std::vector<int64_t>& ids) {
  for (size_t from = 0; from < names.size() + ids.size(); from += kMostAtOnce) {
    auth::v1::LookUpProfilesRequest request;
    for (size_t i = from; i < std::min(from + kMostAtOnce, names.size() + ids.size()); ++i) {
      if (i < names.size()) {
        request.add_user_names(names[i]);
      } else {
        request.add_user_ids(ids[i - names.size()]);
      }
    }
    IM_ASSIGN_OR_RETURN(const auto response,
                        context_->Call(&AccountService::Stub::LookUpProfiles, request));
    for (const auto& profile : response.profiles()) Keep(profile.user_name(), profile.user_id());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> People::Ids(const std::vector<std::string>& names) {
  ReadKept();
  std::vector<std::string> folded;
  std::vector<std::string> unknown;
  for (const std::string& name : names) {
    folded.push_back(absl::AsciiStrToLower(name));
    if (ids_.count(folded.back()) == 0 && CanBeUserName(name)) unknown.push_back(folded.back());
  }
  if (!unknown.empty()) IM_RETURN_IF_ERROR(LookUp(unknown, {}));
  std::vector<int64_t> ids;
  std::vector<std::string> missing;
  for (const std::string& name : folded) {
    const auto it = ids_.find(name);
    if (it == ids_.end()) {
      missing.push_back(name);
    } else {
      ids.push_back(it->second);
    }
  }
  if (!missing.empty()) return NoSuchUsers(missing);
  return ids;
}

absl::StatusOr<int64_t> People::Id(const std::string& name) {
  IM_ASSIGN_OR_RETURN(const std::vector<int64_t> ids, Ids({name}));
  return ids[0];
}

void People::Load(const std::vector<int64_t>& ids) {
  ReadKept();
  std::vector<int64_t> unknown;
  for (const int64_t id : ids) {
    if (id != 0 && names_.count(id) == 0) unknown.push_back(id);
  }
  std::sort(unknown.begin(), unknown.end());
  unknown.erase(std::unique(unknown.begin(), unknown.end()), unknown.end());
  if (!unknown.empty()) LookUp({}, unknown).IgnoreError();
}

std::string People::Name(int64_t id) {
  ReadKept();
  if (names_.count(id) == 0) Load({id});
  const auto it = names_.find(id);
  return it == names_.end() ? absl::StrCat("user ", id) : it->second;
}

absl::StatusOr<chat::v1::Conversation> FindGroup(Context& context, const std::string& which) {
  if (!absl::StartsWith(which, kGroup)) return ExplainIds(GroupByTitle(context, which), which);
  const std::string name = which.substr(kGroup.size());
  if (!IsNumber(name)) return GroupByTitle(context, name);
  auto conversation = GetConversation(context, name);
  if (conversation.ok() && conversation->kind() != chat::v1::CONVERSATION_KIND_GROUP) {
    return Error(Reason::NOT_A_GROUP, absl::StrCat("conversation ", name, " is no group"));
  }
  return conversation;
}

namespace {

// `direct` gets the conversation with a user, of id and name.
template <typename Direct>
absl::StatusOr<chat::v1::Conversation> Resolve(Context& context, People& people,
                                               const std::string& who, Direct direct) {
  if (absl::StartsWith(who, kGroup)) return FindGroup(context, who);
  if (absl::StartsWith(who, kConversation) && IsNumber(who.substr(kConversation.size()))) {
    return GetConversation(context, who.substr(kConversation.size()));
  }
  const bool surely = absl::StartsWith(who, "user:");
  const std::string name = surely ? who.substr(5) : who;
  const auto user = people.Id(name);
  if (user.ok()) return direct(context, *user, name);
  if (surely || ReasonOf(user.status()) != Reason::USER_NOT_FOUND) return user.status();
  auto group = GroupByTitle(context, who);
  if (ReasonOf(group.status()) == Reason::CONVERSATION_NOT_FOUND) {
    group = Error(Reason::USER_NOT_FOUND,
                  absl::StrCat("'", who, "' is neither a user nor one of your groups"));
  }
  return ExplainIds(group, who);
}

}  // namespace

absl::StatusOr<chat::v1::Conversation> FindConversation(Context& context, People& people,
                                                        const std::string& who) {
  return Resolve(context, people, who, FindDirect);
}

absl::StatusOr<chat::v1::Conversation> OpenConversation(Context& context, People& people,
                                                        const std::string& who) {
  return Resolve(context, people, who, OpenDirect);
}

std::string TitleOf(People& people, const chat::v1::Conversation& conversation) {
  return conversation.kind() == chat::v1::CONVERSATION_KIND_DIRECT
             ? people.Name(conversation.peer_user_id())
             : conversation.title();
}

}  // namespace im::imctl
