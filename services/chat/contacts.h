// Who knows whom, who blocks whom, and who may reach whom.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/chat/directory.h"
#include "services/chat/own_log.h"
#include "services/chat/relation_service.h"

namespace im::chat {

// As im.chat.v1.ContactState and in the database.
enum class ContactState : int {
  kNone = 1,
  kRequestSent = 2,
  kRequestReceived = 3,
  kContact = 4,
  kDeclined = 5,
};

// As im.chat.v1.Reachability and in the database.
enum class Reachability : int { kContacts = 1, kAnyone = 2 };

// How somebody stands to the owner of the list.
struct Contact {
  int64_t user_id = 0;
  ContactState state = ContactState::kNone;
  std::string greeting;
  // Microseconds since 1970.
  int64_t since = 0;
  bool blocked = false;
};

enum class ContactAction { kRequest, kAccept, kDecline, kWithdraw, kRemove, kBlock, kUnblock };

// Says whether a call is a repetition: the same id with another hash is refused.
struct RequestKey {
  // 16 bytes.
  std::string id;
  int64_t hash = 0;
};

struct ContactChange {
  // Whose list it is in.
  int64_t owner = 0;
  Contact contact;
  // In the owner's own log; 0: no news there.
  int64_t position = 0;
};

// Whom a user may see, and who may see them.
struct Visible {
  int64_t user_id = 0;
  std::vector<int64_t> others;
};

struct SettingsChange {
  Reachability reachability = Reachability::kContacts;
  // In the own log; 0: no news there.
  int64_t position = 0;
};

// Contacts with fewer than this many may become one more's.
inline constexpr int64_t kMaxContacts = 10000;

// Thread-safe. Each method is one transaction, and blocks.
class ContactStore {
 public:
  virtual ~ContactStore() = default;

  // The rules, and the locks under which they hold, are in one place: chat.change_contact. The
  // caller's side comes first, then the other's if their log has news; for a repetition as they
  // were the first time. Fails with REQUEST_ID_REUSED, REQUEST_NOT_FOUND, CONTACT_NOT_FOUND,
  // RECIPIENT_REFUSES, BLOCKED_BY_CALLER, TOO_MANY_CONTACTS.
  virtual absl::StatusOr<std::vector<ContactChange>> Change(ContactAction action, int64_t user,
                                                            int64_t other, const RequestKey& key,
                                                            const std::string& greeting) = 0;

  // In rising user id, of those above `after`, at most `limit`.
  virtual absl::StatusOr<std::vector<Contact>> List(int64_t user,
                                                    const std::vector<ContactState>& states,
                                                    int64_t after, int limit) = 0;
  virtual absl::StatusOr<std::vector<Contact>> ListBlocked(int64_t user, int64_t after,
                                                           int limit) = 0;

  virtual absl::StatusOr<Reachability> GetReachability(int64_t user) = 0;
  // Absent: unchanged. Fails with REQUEST_ID_REUSED.
  virtual absl::StatusOr<SettingsChange> UpdateSettings(int64_t user,
                                                        std::optional<Reachability> reachability,
                                                        const RequestKey& key) = 0;

  // Of each of these users the contacts with no block between the two, in either direction.
  virtual absl::StatusOr<std::vector<Visible>> ListVisible(const std::vector<int64_t>& users) = 0;

  // Those of `ids` whom `adder` may not add to groups.
  virtual absl::StatusOr<std::vector<int64_t>> WhoRefuses(int64_t adder,
                                                          const std::vector<int64_t>& ids) = 0;

  // Forgets answers older than 24 hours, at most `limit`; returns how many.
  virtual absl::StatusOr<int> PurgeAnswers(int limit) = 0;
};

// Thread-safe. Calls block. Every change is told to all devices of both people, and to those who
// watch relations, before the answer.
class Contacts {
 public:
  // All outlive it.
  Contacts(ContactStore* store, Directory* directory, const OwnLog* own_log,
           RelationService* relations);

  // How the other stands to the user afterwards. See im.chat.v1.ContactService for the reasons.
  absl::StatusOr<Contact> Request(int64_t user, int64_t other, const RequestKey& key,
                                  const std::string& greeting);
  absl::StatusOr<Contact> Accept(int64_t user, int64_t other, const RequestKey& key);
  absl::Status Decline(int64_t user, int64_t other, const RequestKey& key);
  absl::Status Withdraw(int64_t user, int64_t other, const RequestKey& key);
  absl::Status Remove(int64_t user, int64_t other, const RequestKey& key);
  // In force everywhere when it returns: every watcher of relations has acknowledged it, or has
  // lost its stream. Takes up to a second.
  absl::Status Block(int64_t user, int64_t other, const RequestKey& key);
  absl::Status Unblock(int64_t user, int64_t other, const RequestKey& key);

  absl::StatusOr<std::vector<Contact>> List(int64_t user, const std::vector<ContactState>& states,
                                            int64_t after, int limit);
  absl::StatusOr<std::vector<Contact>> ListBlocked(int64_t user, int64_t after, int limit);
  // Contacts whose names hold the text, of those above `after`, in rising user id.
  absl::StatusOr<std::vector<Contact>> Search(int64_t user, const std::string& query, int64_t after,
                                              int limit);

  absl::StatusOr<Reachability> GetReachability(int64_t user);
  absl::StatusOr<Reachability> UpdateSettings(int64_t user,
                                              std::optional<Reachability> reachability,
                                              const RequestKey& key);

  // Those of `ids` whom `adder` may not add to groups: those with a block between the two, in
  // either direction, and those who are neither contacts nor open to anyone.
  absl::StatusOr<std::vector<int64_t>> WhoRefuses(int64_t adder, const std::vector<int64_t>& ids);

  // Forgets answers to mutations that are older than 24 hours. To be called every few seconds.
  absl::Status PurgeAnswers();

 private:
  absl::StatusOr<Contact> Change(ContactAction action, int64_t user, int64_t other,
                                 const RequestKey& key, const std::string& greeting = {});

  ContactStore* const store_;
  Directory* const directory_;
  const OwnLog* const own_log_;
  RelationService* const relations_;
};

}  // namespace im::chat
