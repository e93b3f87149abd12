// Contacts, blocks and settings in PostgreSQL: chat.contacts, chat.users, chat.answers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/pg/pool.h"
#include "services/chat/contacts.h"

namespace im::chat {

// Thread-safe.
class PgContactStore : public ContactStore {
 public:
  explicit PgContactStore(pg::Pool* pool, int64_t max_contacts = kMaxContacts)
      : pool_(pool), max_contacts_(max_contacts) {}

  absl::StatusOr<std::vector<ContactChange>> Change(ContactAction action, int64_t user,
                                                    int64_t other, const RequestKey& key,
                                                    const std::string& greeting) override;
  absl::StatusOr<std::vector<Contact>> List(int64_t user, const std::vector<ContactState>& states,
                                            int64_t after, int limit) override;
  absl::StatusOr<std::vector<Contact>> ListBlocked(int64_t user, int64_t after, int limit) override;
  absl::StatusOr<std::vector<Visible>> ListVisible(const std::vector<int64_t>& users) override;
  absl::StatusOr<Reachability> GetReachability(int64_t user) override;
  absl::StatusOr<SettingsChange> UpdateSettings(int64_t user,
                                                std::optional<Reachability> reachability,
                                                const RequestKey& key) override;
  absl::StatusOr<std::vector<int64_t>> WhoRefuses(int64_t adder,
                                                  const std::vector<int64_t>& ids) override;
  absl::StatusOr<int> PurgeAnswers(int limit) override;

 private:
  pg::Pool* const pool_;
  const int64_t max_contacts_;
};

}  // namespace im::chat
