// Rules about who may send, and who may not.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "tests/faults/rules.h"

namespace im::faults {
namespace {

struct Time {
  Order from = 0;
  Order to = kNever;
};
// Who blocked whom, when.
using Blocks = std::map<std::pair<int64_t, int64_t>, std::vector<Time>>;
using Changes = std::map<std::pair<int64_t, int64_t>, std::vector<const BlockChange*>>;

Changes ChangesOf(const Run& run) {
  Changes changes;
  for (const BlockChange& change : run.history.blocks) {
    changes[{change.person, change.other}].push_back(&change);
  }
  return changes;
}

Blocks CertainBlocks(const Run& run) {
  Blocks blocked;
  for (const auto& [pair, list] : ChangesOf(run)) {
    for (const BlockChange* block : list) {
      if (!block->block || block->outcome != Outcome::kDone) continue;
      Time time{block->answered, kNever};
      bool certain = true;
      for (const BlockChange* end : list) {
        if (end->block) continue;
        if (end->answered < block->invoked) continue;
        if (end->invoked < block->answered) certain = false;
        if (end->invoked > block->answered) time.to = std::min(time.to, end->invoked);
      }
      if (certain) blocked[pair].push_back(time);
    }
  }
  return blocked;
}

Blocks PossibleBlocks(const Run& run) {
  Blocks blocked;
  for (const auto& [pair, list] : ChangesOf(run)) {
    for (const BlockChange* block : list) {
      if (!block->block) continue;
      Time time{block->invoked, kNever};
      for (const BlockChange* end : list) {
        if (end->block || end->outcome != Outcome::kDone) continue;
        if (end->invoked > block->answered) time.to = std::min(time.to, end->answered);
      }
      blocked[pair].push_back(time);
    }
  }
  return blocked;
}

bool MayHaveBlocked(const Blocks& blocks, int64_t one, int64_t other, const Attempt& attempt) {
  const auto found = blocks.find({one, other});
  return found != blocks.end() &&
         std::any_of(found->second.begin(), found->second.end(), [&](const Time& time) {
           return time.from < attempt.answered && time.to > attempt.invoked;
         });
}

bool WasMember(const Run& run, int64_t id, const StoredConversation& group,
               const Attempt& attempt) {
  const auto stays = group.stays.find(attempt.person);
  return stays != group.stays.end() &&
         std::any_of(stays->second.begin(), stays->second.end(), [&](const StoredStay& stay) {
           return run.TimesOf(id, stay.join_seq).answered < attempt.invoked &&
                  (!stay.end_seq || run.TimesOf(id, *stay.end_seq).invoked > attempt.answered);
         });
}

}  // namespace

// From the answer to a block until its end is asked for, nothing more from the other is taken in
// the direct conversation of the two.
void Blocked(const Run& run, Report* report) {
  const Blocks blocked = CertainBlocks(run);
  for (const auto& [key, attempts] : run.attempts) {
    const auto conversation = run.stored.conversations.find(std::get<0>(key));
    if (conversation == run.stored.conversations.end() || conversation->second.low == 0) continue;
    const int64_t sender = std::get<1>(key);
    const int64_t other = conversation->second.low + conversation->second.high - sender;
    const auto times = blocked.find({other, sender});
    if (times == blocked.end()) continue;
    for (const Attempt* attempt : attempts) {
      if (!MadeAnEntry(*attempt)) continue;
      for (const Time& time : times->second) {
        if (attempts.front()->invoked > time.from && attempt->answered < time.to) {
          report->Add(run.NameOf(*attempt), " was acknowledged as ", attempt->seq, " while ",
                      run.NameOf(other), " had the sender blocked");
        }
      }
    }
  }
}

// A message is refused for good only if there may have been a block between the two, or the sender
// may not have been a member. (All who write to each other directly are contacts.)
void RefusedWrongly(const Run& run, Report* report) {
  const Blocks blocks = PossibleBlocks(run);
  for (const auto& [key, attempts] : run.attempts) {
    const auto found = run.stored.conversations.find(std::get<0>(key));
    if (found == run.stored.conversations.end()) continue;
    if (run.entries.count(key) > 0) continue;  // RefusedStored's
    const StoredConversation& conversation = found->second;
    for (const Attempt* attempt : attempts) {
      // The same id with another content is rightly refused.
      if (attempt->kind != EntryKind::kMessage || attempt->outcome != Outcome::kRefused ||
          attempt->hash != attempts.front()->hash) {
        continue;
      }
      const int64_t sender = attempt->person;
      const int64_t other = conversation.low + conversation.high - sender;
      const bool allowed = conversation.low == 0
                               ? WasMember(run, found->first, conversation, *attempt)
                               : !MayHaveBlocked(blocks, sender, other, *attempt) &&
                                     !MayHaveBlocked(blocks, other, sender, *attempt);
      if (allowed) report->Add(run.NameOf(*attempt), " was refused (", attempt->reason, ")");
    }
  }
}

}  // namespace im::faults
