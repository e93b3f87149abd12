#include "bench/delivery_check.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace im::bench {
namespace {

bool SameEntry(const KnownEntry& a, const KnownEntry& b) {
  return a.sender_user_id == b.sender_user_id && a.request_id == b.request_id &&
         a.is_message == b.is_message && a.content == b.content;
}

bool Inside(const std::vector<StayRange>& stays, int64_t seq) {
  return std::any_of(stays.begin(), stays.end(), [seq](const StayRange& stay) {
    return seq >= stay.first_seq && seq <= stay.last_seq;
  });
}

}  // namespace

void Verdict::Add(const Verdict& other) {
  expected += other.expected;
  arrived += other.arrived;
  lost += other.lost;
  duplicated += other.duplicated;
  reordered += other.reordered;
  corrupted += other.corrupted;
  leaked += other.leaked;
  repeats += other.repeats;
}

void DeliveryCheck::Stored(KnownEntry entry) {
  const int64_t seq = entry.seq;
  // Nobody else writes here, and each waited for the one before.
  if (seq <= last_seq()) ++own_.reordered;
  if (!requests_.emplace(std::pair(entry.sender_user_id, entry.request_id), seq).second) {
    ++own_.duplicated;
  }
  const auto [place, added] = entries_.emplace(seq, std::move(entry));
  // Two requests were told the same place: one of them is not there.
  if (!added) ++own_.lost;
}

void DeliveryCheck::MayBeStored(int64_t sender_user_id, std::string content) {
  uncertain_.emplace(sender_user_id, std::move(content));
}

Verdict DeliveryCheck::Judge(int64_t user_id, const std::vector<StayRange>& stays,
                             const std::vector<KnownEntry>& seen) const {
  Verdict verdict;
  std::unordered_map<int64_t, const KnownEntry*> by_seq;
  std::map<std::pair<int64_t, std::string>, int64_t> requests;
  int64_t newest = 0;
  for (const KnownEntry& entry : seen) {
    const auto [place, first] = by_seq.emplace(entry.seq, &entry);
    if (!first) {
      ++(SameEntry(*place->second, entry) ? verdict.repeats : verdict.duplicated);
      continue;
    }
    if (entry.seq < newest) ++verdict.reordered;
    newest = std::max(newest, entry.seq);
    const auto [request, new_request] =
        requests.emplace(std::pair(entry.sender_user_id, entry.request_id), entry.seq);
    if (!new_request) ++verdict.duplicated;
    if (!Inside(stays, entry.seq)) ++verdict.leaked;
    const auto stored = entries_.find(entry.seq);
    if (stored == entries_.end() && entry.is_message && entry.seq > last_seq() &&
        uncertain_.count(std::pair(entry.sender_user_id, entry.content)) > 0) {
      continue;
    }
    if (stored == entries_.end()) {
      // Stored, but never by an acknowledged request: it is either one of those under another seq,
      // which is a duplicate, or nothing that anybody sent.
      const auto known = requests_.find(std::pair(entry.sender_user_id, entry.request_id));
      ++(known == requests_.end() ? verdict.corrupted : verdict.duplicated);
    } else if (!SameEntry(stored->second, entry)) {
      ++verdict.corrupted;
    }
  }
  for (const auto& [seq, entry] : entries_) {
    if (!Inside(stays, seq)) continue;
    const bool arrived = by_seq.count(seq) > 0;
    if (!arrived) ++verdict.lost;
    if (entry.is_message && entry.sender_user_id != user_id) {
      ++verdict.expected;
      verdict.arrived += arrived;
    }
  }
  return verdict;
}

}  // namespace im::bench
