// The rules of the checker; each adds what breaks it. Include checker.h instead.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/faults/checker.h"

namespace im::faults {

// A run, and what several rules need of it.
struct Run {
  Run(const History& history, const Stored& stored);

  std::string NameOf(int64_t person) const;
  std::string NameOf(const Attempt& attempt) const;

  const History& history;
  const Stored& stored;
  // Conversation, sender and request id.
  using Key = std::tuple<int64_t, int64_t, RequestId>;
  // Each in the order of their beginning.
  std::map<Key, std::vector<const Attempt*>> attempts;
  std::map<Key, const StoredEntry*> entries;

  // When an entry was first asked for, and when that was first answered.
  struct Times {
    Order invoked = 0;
    Order answered = kNever;
  };
  Times TimesOf(int64_t conversation, int64_t seq) const;

 private:
  std::map<std::pair<int64_t, int64_t>, Times> times_;
};

// A change may have had nothing to do; a message is always stored.
inline bool MadeAnEntry(const Attempt& attempt) {
  return attempt.outcome == Outcome::kDone &&
         (attempt.seq > 0 || attempt.kind == EntryKind::kMessage);
}

// Collects what breaks one rule.
class Report {
 public:
  explicit Report(std::vector<Violation>* all, std::string rule)
      : all_(all), rule_(std::move(rule)) {}

  template <typename... Parts>
  void Add(const Parts&... parts) {
    all_->push_back({rule_, absl::StrCat(parts...)});
  }

 private:
  std::vector<Violation>* const all_;
  const std::string rule_;
};

// What is stored, and what senders were answered (rules_sent.cc).
void AcknowledgedMissing(const Run& run, Report* report);
void AcknowledgedElsewhere(const Run& run, Report* report);
void RefusedStored(const Run& run, Report* report);
void StoredTwice(const Run& run, Report* report);
void NotAsSent(const Run& run, Report* report);
void NotIdempotent(const Run& run, Report* report);
void Unsettled(const Run& run, Report* report);
void NotDense(const Run& run, Report* report);
void TimeFalls(const Run& run, Report* report);
void DeviceOrder(const Run& run, Report* report);
void RealTimeOrder(const Run& run, Report* report);
void Stays(const Run& run, Report* report);

// Who may send (rules_allowed.cc).
void Blocked(const Run& run, Report* report);
void RefusedWrongly(const Run& run, Report* report);

// What devices were told (rules_told.cc).
void NotAsStored(const Run& run, Report* report);
void SeenAgain(const Run& run, Report* report);
void SeenIncompletely(const Run& run, Report* report);
void OutsideStay(const Run& run, Report* report);
void NotCaughtUp(const Run& run, Report* report);
void NotAtRest(const Run& run, Report* report);
void ToldToReconnect(const Run& run, Report* report);
void OwnLogs(const Run& run, Report* report);
void Watermarks(const Run& run, Report* report);
void Unread(const Run& run, Report* report);

}  // namespace im::faults
