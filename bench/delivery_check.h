// Judges whether what was sent arrived: pure logic over what was stored and what each member saw.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace im::bench {

// An entry as somebody knows it.
struct KnownEntry {
  int64_t seq = 0;
  int64_t sender_user_id = 0;
  std::string request_id;
  bool is_message = false;
  // Of a message: the bytes of its text; else the serialised body of the entry.
  std::string content;
};

// A time of membership: the first and the last seq that the member may see.
struct StayRange {
  int64_t first_seq = 0;
  // INT64_MAX: it lasts.
  int64_t last_seq = INT64_MAX;
};

struct Verdict {
  // Messages of others inside of stays; and how many of those arrived.
  int64_t expected = 0;
  int64_t arrived = 0;
  // Entries that should have been seen and were not.
  int64_t lost = 0;
  // One request under two seqs, or one seq with two contents.
  int64_t duplicated = 0;
  // Seen after an entry with a higher seq; or stored in another order than sent.
  int64_t reordered = 0;
  // Other bytes, another sender, another kind than what was sent.
  int64_t corrupted = 0;
  // Seen by somebody who was no member.
  int64_t leaked = 0;
  // The same entry again: dropped by its seq, no fault.
  int64_t repeats = 0;

  bool Clean() const {
    return lost == 0 && duplicated == 0 && reordered == 0 && corrupted == 0 && leaked == 0;
  }
  void Add(const Verdict& other);
};

// The truth about one conversation: what the service acknowledged. Not thread-safe.
class DeliveryCheck {
 public:
  // An acknowledged entry, in the order in which they were sent (each after the answer to the one
  // before). What is wrong with the acknowledgements alone counts in own().
  void Stored(KnownEntry entry);
  // A message that was never acknowledged; counts as lost.
  void NotStored() { ++own_.lost; }
  // One of those that may have been stored all the same: whoever sees it saw nothing wrong.
  void MayBeStored(int64_t sender_user_id, std::string content);

  // What one member saw, in the order in which they saw it.
  Verdict Judge(int64_t user_id, const std::vector<StayRange>& stays,
                const std::vector<KnownEntry>& seen) const;

  const Verdict& own() const { return own_; }
  int64_t last_seq() const { return entries_.empty() ? 0 : entries_.rbegin()->first; }

 private:
  std::map<int64_t, KnownEntry> entries_;
  // Sender and request id to seq.
  std::map<std::pair<int64_t, std::string>, int64_t> requests_;
  // Sender and content.
  std::set<std::pair<int64_t, std::string>> uncertain_;
  Verdict own_;
};

}  // namespace im::bench
