// What the database holds in the end, read from outside.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/faults/history.h"

namespace im::faults {

struct StoredEntry {
  int64_t seq = 0;
  int64_t sender = 0;
  RequestId request_id{};
  EntryKind kind = EntryKind::kMessage;
  uint64_t hash = 0;
  // Microseconds since 1970.
  int64_t at = 0;
  int64_t count = 0;
  // Whose stays it begins, and the first entry that they may see; whose it ends.
  std::vector<int64_t> begins;
  int64_t begins_first = 0;
  std::vector<int64_t> ends;
};

struct StoredStay {
  int64_t join_seq = 0;
  int64_t first_seq = 0;
  std::optional<int64_t> end_seq;
  int64_t read_seq = 0;
  int64_t read_count = 0;
  int64_t delivered_seq = 0;
};

struct StoredConversation {
  // The pair of a direct conversation; 0 in groups.
  int64_t low = 0;
  int64_t high = 0;
  int64_t last_seq = 0;
  int64_t last_count = 0;
  // In rising seq.
  std::vector<StoredEntry> entries;
  // Each person's, oldest first; never empty.
  std::map<int64_t, std::vector<StoredStay>> stays;

  const StoredEntry* Find(int64_t seq) const;
};

// One record of somebody's own log: kind 1 contact (object: the other), 2 settings, 3 read mark
// (object: the conversation).
struct StoredRecord {
  int64_t position = 0;
  // As Told::second of the kind; of a read mark, the newest stay's.
  int64_t value = 0;
};

struct StoredPerson {
  int64_t log_position = 0;
  std::map<std::pair<int, int64_t>, StoredRecord> own_log;
};

struct Stored {
  std::map<int64_t, StoredConversation> conversations;
  std::map<int64_t, StoredPerson> people;

  // Whether one of the two has blocked the other.
  bool Blocked(int64_t one, int64_t other) const;
};

// Throws if the database cannot be read.
Stored ReadStored(const std::string& database_url);

// The same without entries: enough to know how far each device must have come.
Stored ReadPositions(const std::string& database_url);

// The newest entry that a person may see; 0: none.
int64_t LastVisible(const StoredConversation& conversation, const std::vector<StoredStay>& stays);

}  // namespace im::faults
