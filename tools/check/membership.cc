#include "tools/check/membership.h"

#include <map>
#include <set>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "im/chat/v1/entries.pb.h"

namespace im::check {
namespace {

using chat::v1::Entry;

constexpr char kChanges[] =
    "SELECT conversation_id, seq, sender_user_id, kind, content FROM chat.entries "
    "WHERE conversation_id > $1 AND conversation_id <= $2 AND kind <> 10 "
    "ORDER BY conversation_id, seq";
constexpr char kStays[] =
    "SELECT conversation_id, user_id, join_seq, coalesce(end_seq, 0) FROM chat.members "
    "WHERE conversation_id > $1 AND conversation_id <= $2 AND join_seq > 0";
constexpr char kTitles[] =
    "SELECT id, title FROM chat.conversations WHERE id > $1 AND id <= $2 AND kind = 2";

// conversation, seq, user
using Place = std::tuple<int64_t, int64_t, int64_t>;

class Changes {
 public:
  explicit Changes(const std::function<void(const Finding&)>& on_finding)
      : on_finding_(on_finding) {}

  void Read(const pqxx::row& row) {
    const auto conversation = row[0].as<int64_t>(), seq = row[1].as<int64_t>(),
               sender = row[2].as<int64_t>();
    const std::string content = pqxx::binarystring(row[4]).str();
    const auto begins = [&](int64_t user) { begun_.insert({conversation, seq, user}); };
    const auto ends = [&](int64_t user) { ended_.insert({conversation, seq, user}); };
    bool parsed = true;
    switch (row[3].as<int>()) {
      case Entry::kGroupCreatedFieldNumber: {
        chat::v1::GroupCreated created;
        parsed = created.ParseFromString(content);
        for (const int64_t user : created.user_ids()) begins(user);
        titles_[conversation] = created.title();
        break;
      }
      case Entry::kMembersAddedFieldNumber: {
        chat::v1::MembersAdded added;
        parsed = added.ParseFromString(content);
        for (const int64_t user : added.user_ids()) begins(user);
        break;
      }
      case Entry::kMemberRemovedFieldNumber: {
        chat::v1::MemberRemoved removed;
        parsed = removed.ParseFromString(content);
        ends(removed.user_id());
        break;
      }
      case Entry::kMemberLeftFieldNumber:
        ends(sender);
        break;
      case Entry::kMemberReturnedFieldNumber:
        begins(sender);
        break;
      case Entry::kGroupRenamedFieldNumber: {
        chat::v1::GroupRenamed renamed;
        parsed = renamed.ParseFromString(content);
        titles_[conversation] = renamed.title();
        break;
      }
      default:
        break;
    }
    if (!parsed) {
      on_finding_({"entry_content",
                   {{"conversation_id", absl::StrCat(conversation)}, {"seq", absl::StrCat(seq)}},
                   "cannot be read"});
    }
  }

  void CompareStay(const pqxx::row& row) {
    const auto conversation = row[0].as<int64_t>(), user = row[1].as<int64_t>(),
               join = row[2].as<int64_t>(), end = row[3].as<int64_t>();
    if (begun_.erase({conversation, join, user}) == 0) {
      Tell("stay_join_entry", {conversation, join, user}, "the entry does not begin their stay");
    }
    if (end > 0 && ended_.erase({conversation, end, user}) == 0) {
      Tell("stay_end_entry", {conversation, end, user}, "the entry does not end their stay");
    }
  }

  void CompareTitle(const pqxx::row& row) {
    const auto found = titles_.find(row[0].as<int64_t>());
    if (found != titles_.end() && found->second != row[1].as<std::string>()) {
      on_finding_({"group_title",
                   {{"conversation_id", row[0].as<std::string>()}},
                   "is not what the last entry that names it says"});
    }
  }

  // What the entries say and no stay does.
  void TellTheRest() const {
    for (const Place& place : begun_) {
      Tell("stay_missing", place, "the entry begins a stay that is not there");
    }
    for (const Place& place : ended_) {
      Tell("stay_goes_on", place, "the entry ends a stay that does not end there");
    }
  }

 private:
  void Tell(const std::string& rule, const Place& place, const std::string& what) const {
    on_finding_({rule,
                 {{"conversation_id", absl::StrCat(std::get<0>(place))},
                  {"seq", absl::StrCat(std::get<1>(place))},
                  {"user_id", absl::StrCat(std::get<2>(place))}},
                 what});
  }

  const std::function<void(const Finding&)>& on_finding_;
  std::set<Place> begun_, ended_;
  std::map<int64_t, std::string> titles_;
};

}  // namespace

void CheckMembership(pqxx::transaction_base* transaction, int64_t after, int64_t end,
                     const std::function<void(const Finding&)>& on_finding) {
  Changes changes(on_finding);
  for (const pqxx::row& row : transaction->exec_params(kChanges, after, end)) changes.Read(row);
  for (const pqxx::row& row : transaction->exec_params(kStays, after, end)) {
    changes.CompareStay(row);
  }
  for (const pqxx::row& row : transaction->exec_params(kTitles, after, end)) {
    changes.CompareTitle(row);
  }
  changes.TellTheRest();
}

}  // namespace im::check
