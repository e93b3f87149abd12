// A run that is as it should be, for tests of the checker to damage.
#pragma once

#include <tuple>
#include <vector>

#include "tests/faults/history.h"
#include "tests/faults/stored.h"

namespace im::faults {

constexpr int64_t kAnn = 1, kBob = 2, kCem = 3;
constexpr int64_t kDirect = 10, kGroup = 20;
// Indices of devices.
constexpr int kAnns = 0, kBobs = 1, kCems = 2, kFresh = 3, kReader = 4;

inline RequestId Id(int number) {
  RequestId id{};
  id[15] = static_cast<uint8_t>(number);
  return id;
}

// Ann and Bob write to each other; Ann makes a group, which Cem leaves and comes back to.
//
//   direct 10:  1 Ann  2 Bob  3 Ann
//   group 20:   1 create  2 Ann  3 Cem leaves  4 Bob  5 Cem returns  6 Ann
class Sample {
 public:
  Sample() {
    history.people = {{kAnn, "ann"}, {kBob, "bob"}, {kCem, "cem"}};
    history.devices = {{"ann-1", kAnn, Device::Part::kUser, {}},
                       {"bob-1", kBob, Device::Part::kUser, {}},
                       {"cem-1", kCem, Device::Part::kUser, {}},
                       {"bob-fresh", kBob, Device::Part::kFresh, {}},
                       {"bob-reader", kBob, Device::Part::kReader, {}}};
    StoredConversation& direct = stored.conversations[kDirect];
    direct.low = kAnn;
    direct.high = kBob;
    direct.stays[kAnn] = {{0, 1, std::nullopt, 3, 3, 3}};
    direct.stays[kBob] = {{0, 1, std::nullopt, 2, 2, 3}};
    StoredConversation& group = stored.conversations[kGroup];
    group.stays[kAnn] = {{1, 1, std::nullopt, 6, 3, 6}};
    group.stays[kBob] = {{1, 1, std::nullopt, 4, 2, 6}};
    group.stays[kCem] = {{1, 1, 3, 1, 0, 2}, {5, 5, std::nullopt, 5, 2, 6}};
    stored.people[kAnn] = {0, {}};
    stored.people[kBob] = {2, {{{1, kAnn}, {1, 4}}, {{3, kDirect}, {2, 2}}}};

    Connect(kAnns);
    Connect(kBobs);
    Connect(kCems);
    Send(EntryKind::kMessage, kDirect, kAnns, {kAnns, kBobs});
    Send(EntryKind::kMessage, kDirect, kBobs, {kAnns, kBobs});
    Tell(kBobs, {.kind = Told::Kind::kOwnContact, .user = kAnn, .first = 1, .second = 4});
    Tell(kBobs, {.kind = Told::Kind::kOwnReadMark, .conversation = kDirect, .seq = 2, .first = 2});
    Tell(kAnns, {.kind = Told::Kind::kWatermark,
                 .conversation = kDirect,
                 .user = kBob,
                 .first = 2,
                 .second = 2});
    history.readings.push_back({kBob, kDirect, Tick(), Tick(), 2, 2, 0});
    Send(EntryKind::kMessage, kDirect, kAnns, {kAnns, kBobs});
    StoredEntry& made = Send(EntryKind::kGroupCreated, kGroup, kAnns, {kAnns, kBobs, kCems});
    made.begins = {kAnn, kBob, kCem};
    made.begins_first = 1;
    Send(EntryKind::kMessage, kGroup, kAnns, {kAnns, kBobs, kCems});
    Send(EntryKind::kMemberLeft, kGroup, kCems, {kAnns, kBobs, kCems}).ends = {kCem};
    Send(EntryKind::kMessage, kGroup, kBobs, {kAnns, kBobs});
    Send(EntryKind::kMemberReturned, kGroup, kCems, {kAnns, kBobs, kCems}).begins = {kCem};
    Send(EntryKind::kMessage, kGroup, kAnns, {kAnns, kBobs, kCems});

    history.blocks.push_back({kBob, kAnn, true, Tick(), Tick(), Outcome::kDone});
    // Refused, and a repetition of the first message with its answer.
    Attempt refused = history.attempts[2];
    refused.request_id = Id(99);
    refused.nth = 0;
    refused.outcome = Outcome::kRefused;
    refused.seq = refused.at = 0;
    refused.invoked = Tick();
    refused.answered = Tick();
    history.attempts.push_back(refused);
    Attempt again = history.attempts[0];
    again.nth = 0;
    again.invoked = Tick();
    again.answered = Tick();
    history.attempts.push_back(again);

    Rest rest;
    rest.began = Tick();
    rest.ended = Tick();
    history.rests.push_back(rest);
    history.blocks.push_back({kBob, kAnn, false, Tick(), Tick(), Outcome::kDone});

    Connect(kFresh);
    for (const auto& [id, last, read, unread] :
         {std::tuple(kDirect, 3, 2, 1), std::tuple(kGroup, 6, 4, 1)}) {
      Tell(kFresh, {.kind = Told::Kind::kListed,
                    .conversation = id,
                    .seq = last,
                    .first = read,
                    .second = unread});
    }
    for (const Told& told : history.devices[kBobs].told) {
      if (told.kind == Told::Kind::kEntry) Tell(kReader, told);
      if (told.kind == Told::Kind::kOwnContact || told.kind == Told::Kind::kOwnReadMark) {
        Tell(kFresh, told);
      }
    }
  }

  History history;
  Stored stored;

 private:
  Order Tick() { return ++now_; }

  void Tell(int device, Told told) {
    told.order = Tick();
    history.devices[static_cast<size_t>(device)].told.push_back(told);
  }
  void Connect(int device) {
    Tell(device, {.kind = Told::Kind::kConnects});
    Tell(device, {.kind = Told::Kind::kLive});
  }

  // The next entry of a conversation, as it is sent, stored, answered and seen.
  StoredEntry& Send(EntryKind kind, int64_t id, int from, const std::vector<int>& seen_by) {
    StoredConversation& conversation = stored.conversations[id];
    Attempt attempt;
    attempt.kind = kind;
    attempt.device = from;
    attempt.person = history.devices[static_cast<size_t>(from)].person;
    attempt.conversation = id;
    attempt.request_id = Id(static_cast<int>(history.attempts.size()) + 1);
    attempt.hash = kind == EntryKind::kMessage ? 1000 + history.attempts.size() : 0;
    attempt.nth = kind == EntryKind::kMessage ? ++conversation.last_seq : 0;
    attempt.invoked = Tick();
    attempt.answered = Tick();
    attempt.outcome = Outcome::kDone;
    attempt.seq = static_cast<int64_t>(conversation.entries.size()) + 1;
    attempt.at = 500 + attempt.invoked;
    history.attempts.push_back(attempt);
    conversation.last_seq = attempt.seq;
    if (kind == EntryKind::kMessage) ++conversation.last_count;
    StoredEntry entry;
    entry.seq = attempt.seq;
    entry.sender = attempt.person;
    entry.request_id = attempt.request_id;
    entry.kind = kind;
    entry.hash = attempt.hash;
    entry.at = attempt.at;
    entry.count = conversation.last_count;
    conversation.entries.push_back(entry);
    for (const int device : seen_by) {
      Tell(device, {.kind = Told::Kind::kEntry,
                    .conversation = id,
                    .seq = entry.seq,
                    .user = entry.sender,
                    .first = entry.at,
                    .second = static_cast<int64_t>(kind),
                    .hash = entry.hash,
                    .request_id = entry.request_id});
    }
    return conversation.entries.back();
  }

  Order now_ = 0;
};

}  // namespace im::faults
