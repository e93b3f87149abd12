#include "imctl/describe.h"

#include "absl/strings/str_cat.h"
#include "imctl/escape.h"

namespace im::imctl {

using chat::v1::Content;
using chat::v1::Entry;

namespace {

std::string Text(const Content& content, const std::string* indent) {
  if (!content.has_text()) return "(a kind of message that this imctl does not know)";
  const std::string& body = content.text().body();
  return indent == nullptr ? Escape(body) : EscapeLines(body, *indent);
}

std::string Happening(People& people, const Entry& entry) {
  const std::string who = Escape(people.Name(entry.sender_user_id()));
  switch (entry.body_case()) {
    case Entry::kGroupCreated:
      return absl::StrCat("* ", who, " made the group ", Escape(entry.group_created().title()),
                          " of ", Escape(people.Names(entry.group_created().user_ids())));
    case Entry::kMembersAdded:
      return absl::StrCat("* ", who, " added ",
                          Escape(people.Names(entry.members_added().user_ids())));
    case Entry::kMemberRemoved:
      return absl::StrCat("* ", who, " removed ",
                          Escape(people.Name(entry.member_removed().user_id())));
    case Entry::kMemberLeft:
      return absl::StrCat("* ", who, " left");
    case Entry::kMemberReturned:
      return absl::StrCat("* ", who, " came back");
    case Entry::kGroupRenamed:
      return absl::StrCat("* ", who, " renamed the group to ",
                          Escape(entry.group_renamed().title()));
    default:
      return absl::StrCat("* ", who, " did something that this imctl does not know");
  }
}

}  // namespace

std::string Describe(People& people, const Entry& entry, const std::string& indent) {
  if (!entry.has_message()) return Happening(people, entry);
  return absl::StrCat(Escape(people.Name(entry.sender_user_id())), ": ",
                      Text(entry.message(), &indent));
}

std::string Summary(People& people, const Entry& entry) {
  return entry.has_message() ? Text(entry.message(), nullptr) : Happening(people, entry);
}

std::string Describe(chat::v1::ContactState state) {
  switch (state) {
    case chat::v1::CONTACT_STATE_NONE:
      return "none";
    case chat::v1::CONTACT_STATE_REQUEST_SENT:
      return "request sent";
    case chat::v1::CONTACT_STATE_REQUEST_RECEIVED:
      return "request received";
    case chat::v1::CONTACT_STATE_CONTACT:
      return "contact";
    case chat::v1::CONTACT_STATE_DECLINED:
      return "declined";
    default:
      return "unknown";
  }
}

std::string Describe(presence::v1::Status status) {
  switch (status) {
    case presence::v1::STATUS_OFFLINE:
      return "offline";
    case presence::v1::STATUS_ONLINE:
      return "online";
    case presence::v1::STATUS_AWAY:
      return "away";
    case presence::v1::STATUS_BUSY:
      return "busy";
    case presence::v1::STATUS_INVISIBLE:
      return "invisible";
    default:
      return "unknown";
  }
}

std::string Describe(const presence::v1::Presence& presence) {
  std::string text = Describe(presence.status());
  if (presence.status() == presence::v1::STATUS_OFFLINE && presence.has_last_seen_at()) {
    absl::StrAppend(&text, ", last seen ", FormatShortTime(presence.last_seen_at()));
  }
  return text;
}

std::string ToJson(People& people, const Entry& entry, JsonFields extra) {
  extra.emplace_back("sender_user_name", people.Name(entry.sender_user_id()));
  return ToJson(entry, extra);
}

}  // namespace im::imctl
