#include "services/chat/contacts.h"

#include <google/protobuf/util/time_util.h>

#include <chrono>

#include "common/base/error.h"
#include "common/base/text.h"

namespace im::chat {
namespace {

// Characters.
constexpr size_t kMaxGreeting = 500;
constexpr size_t kMaxQuery = 64;
// So long may a watcher of relations take, before its stream is cut.
constexpr std::chrono::seconds kPatience{1};
// A statement's worth: some 20 ms.
constexpr int kPurgeAtOnce = 5000;

v1::OwnRecord ToRecord(const ContactChange& change) {
  v1::OwnRecord record;
  record.set_position(change.position);
  v1::Contact* contact = record.mutable_contact();
  contact->set_user_id(change.contact.user_id);
  contact->set_state(static_cast<v1::ContactState>(change.contact.state));
  contact->set_greeting(change.contact.greeting);
  *contact->mutable_since() =
      google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(change.contact.since);
  contact->set_blocked(change.contact.blocked);
  return record;
}

// Whether the call may bring somebody into somebody's sight, or out of it.
bool TouchesRelations(ContactAction action) {
  return action != ContactAction::kDecline && action != ContactAction::kWithdraw;
}

absl::Status CheckOther(int64_t user, int64_t other, Directory* directory) {
  if (other == user) return Error(Reason::SELF_NOT_ALLOWED);
  if (other <= 0) return Error(Reason::USER_NOT_FOUND);
  return directory->CheckExist({other});
}

}  // namespace

Contacts::Contacts(ContactStore* store, Directory* directory, const OwnLog* own_log,
                   RelationService* relations)
    : store_(store), directory_(directory), own_log_(own_log), relations_(relations) {}

absl::StatusOr<Contact> Contacts::Change(ContactAction action, int64_t user, int64_t other,
                                         const RequestKey& key, const std::string& greeting) {
  const absl::StatusOr<std::vector<ContactChange>> changes =
      store_->Change(action, user, other, key, greeting);
  if (!changes.ok()) {
    // It may have been stored all the same; those who watch must not go by what they have.
    if (ReasonOf(changes.status()) == Reason::OUTCOME_UNKNOWN && TouchesRelations(action)) {
      relations_->CutWatchers({user, other});
    }
    return changes.status();
  }
  // A repetition is told again: the first call may have ended between the commit and here.
  for (const ContactChange& change : *changes) {
    if (change.position != 0) own_log_->Publish(change.owner, ToRecord(change));
  }
  const Contact& mine = changes->front().contact;
  const bool only_asked = action == ContactAction::kRequest && mine.state != ContactState::kContact;
  if (TouchesRelations(action) && !only_asked) {
    const RelationService::Ticket ticket = relations_->Changed({user, other});
    if (action == ContactAction::kBlock) relations_->WaitInForce(ticket, kPatience);
  }
  return mine;
}

absl::StatusOr<Contact> Contacts::Request(int64_t user, int64_t other, const RequestKey& key,
                                          const std::string& greeting) {
  IM_RETURN_IF_ERROR(CheckOther(user, other, directory_));
  if (!IsText(greeting)) return InvalidField("greeting", "must be UTF-8 without NUL");
  if (*CountCharacters(greeting) > kMaxGreeting) {
    return InvalidField("greeting", "must be at most 500 characters");
  }
  return Change(ContactAction::kRequest, user, other, key, greeting);
}

absl::StatusOr<Contact> Contacts::Accept(int64_t user, int64_t other, const RequestKey& key) {
  return Change(ContactAction::kAccept, user, other, key);
}

absl::Status Contacts::Decline(int64_t user, int64_t other, const RequestKey& key) {
  return Change(ContactAction::kDecline, user, other, key).status();
}

absl::Status Contacts::Withdraw(int64_t user, int64_t other, const RequestKey& key) {
  return Change(ContactAction::kWithdraw, user, other, key).status();
}

absl::Status Contacts::Remove(int64_t user, int64_t other, const RequestKey& key) {
  return Change(ContactAction::kRemove, user, other, key).status();
}

absl::Status Contacts::Block(int64_t user, int64_t other, const RequestKey& key) {
  IM_RETURN_IF_ERROR(CheckOther(user, other, directory_));
  return Change(ContactAction::kBlock, user, other, key).status();
}

absl::Status Contacts::Unblock(int64_t user, int64_t other, const RequestKey& key) {
  return Change(ContactAction::kUnblock, user, other, key).status();
}

absl::StatusOr<std::vector<Contact>> Contacts::List(int64_t user,
                                                    const std::vector<ContactState>& states,
                                                    int64_t after, int limit) {
  return store_->List(user, states, after, limit);
}

absl::StatusOr<std::vector<Contact>> Contacts::ListBlocked(int64_t user, int64_t after, int limit) {
  return store_->ListBlocked(user, after, limit);
}

absl::StatusOr<std::vector<Contact>> Contacts::Search(int64_t user, const std::string& query,
                                                      int64_t after, int limit) {
  const std::optional<size_t> characters = CountCharacters(query);
  if (!IsText(query) || *characters == 0 || *characters > kMaxQuery) {
    return InvalidField("query", "must be 1 to 64 characters of text");
  }
  IM_ASSIGN_OR_RETURN(
      const std::vector<Contact> contacts,
      store_->List(user, {ContactState::kContact}, after, static_cast<int>(kMaxContacts)));
  if (contacts.empty()) return contacts;
  std::vector<int64_t> ids;
  ids.reserve(contacts.size());
  for (const Contact& contact : contacts) ids.push_back(contact.user_id);
  IM_ASSIGN_OR_RETURN(const std::vector<int64_t> matching, directory_->Match(ids, query));
  // Both are in rising id.
  std::vector<Contact> found;
  auto match = matching.begin();
  for (const Contact& contact : contacts) {
    while (match != matching.end() && *match < contact.user_id) ++match;
    if (match == matching.end() || found.size() == static_cast<size_t>(limit)) break;
    if (*match == contact.user_id) found.push_back(contact);
  }
  return found;
}

absl::StatusOr<Reachability> Contacts::GetReachability(int64_t user) {
  return store_->GetReachability(user);
}

absl::StatusOr<Reachability> Contacts::UpdateSettings(int64_t user,
                                                      std::optional<Reachability> reachability,
                                                      const RequestKey& key) {
  IM_ASSIGN_OR_RETURN(const SettingsChange change, store_->UpdateSettings(user, reachability, key));
  if (change.position != 0) {
    v1::OwnRecord record;
    record.set_position(change.position);
    record.mutable_settings()->set_reachability(static_cast<v1::Reachability>(change.reachability));
    own_log_->Publish(user, record);
  }
  return change.reachability;
}

absl::StatusOr<std::vector<int64_t>> Contacts::WhoRefuses(int64_t adder,
                                                          const std::vector<int64_t>& ids) {
  return store_->WhoRefuses(adder, ids);
}

absl::Status Contacts::PurgeAnswers() { return store_->PurgeAnswers(kPurgeAtOnce).status(); }

}  // namespace im::chat
