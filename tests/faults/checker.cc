#include "tests/faults/checker.h"

#include <algorithm>

#include "tests/faults/rules.h"

namespace im::faults {

Run::Run(const History& all, const Stored& database) : history(all), stored(database) {
  for (const Attempt& attempt : history.attempts) {
    attempts[{attempt.conversation, attempt.person, attempt.request_id}].push_back(&attempt);
  }
  for (const auto& [id, conversation] : stored.conversations) {
    for (const StoredEntry& entry : conversation.entries) {
      const Key key(id, entry.sender, entry.request_id);
      // Of those stored twice the first.
      if (!entries.try_emplace(key, &entry).second) continue;
      const auto asked = attempts.find(key);
      if (asked == attempts.end()) continue;
      Times times{asked->second.front()->invoked, kNever};
      for (const Attempt* attempt : asked->second) {
        if (MadeAnEntry(*attempt)) times.answered = std::min(times.answered, attempt->answered);
      }
      times_[{id, entry.seq}] = times;
    }
  }
}

Run::Times Run::TimesOf(int64_t conversation, int64_t seq) const {
  const auto found = times_.find({conversation, seq});
  return found == times_.end() ? Times() : found->second;
}

std::string Run::NameOf(int64_t person) const {
  const auto found = history.people.find(person);
  return found == history.people.end() ? absl::StrCat("user ", person) : found->second;
}

std::string Run::NameOf(const Attempt& attempt) const {
  return absl::StrCat(faults::NameOf(attempt.kind), " ", Hex(attempt.request_id), " of ",
                      history.devices[static_cast<size_t>(attempt.device)].name,
                      " in conversation ", attempt.conversation);
}

std::vector<Violation> Check(const History& history, const Stored& stored) {
  struct Rule {
    const char* name;
    void (*find)(const Run&, Report*);
  };
  constexpr Rule kRules[] = {
      {"acknowledged_missing", AcknowledgedMissing},
      {"acknowledged_elsewhere", AcknowledgedElsewhere},
      {"refused_stored", RefusedStored},
      {"stored_twice", StoredTwice},
      {"not_as_sent", NotAsSent},
      {"not_idempotent", NotIdempotent},
      {"unsettled", Unsettled},
      {"not_dense", NotDense},
      {"time_falls", TimeFalls},
      {"device_order", DeviceOrder},
      {"real_time_order", RealTimeOrder},
      {"stays", Stays},
      {"blocked", Blocked},
      {"refused_wrongly", RefusedWrongly},
      {"not_as_stored", NotAsStored},
      {"seen_again", SeenAgain},
      {"seen_incompletely", SeenIncompletely},
      {"outside_stay", OutsideStay},
      {"not_caught_up", NotCaughtUp},
      {"not_at_rest", NotAtRest},
      {"told_to_reconnect", ToldToReconnect},
      {"own_log", OwnLogs},
      {"watermarks", Watermarks},
      {"unread", Unread},
  };
  const Run run(history, stored);
  std::vector<Violation> violations;
  for (const Rule& rule : kRules) {
    Report report(&violations, rule.name);
    rule.find(run, &report);
  }
  return violations;
}

std::map<std::string, int> CountByRule(const std::vector<Violation>& violations) {
  std::map<std::string, int> counts;
  for (const Violation& violation : violations) ++counts[violation.rule];
  return counts;
}

}  // namespace im::faults
