// The checker finds nothing in a good run, and each rule what breaks it and nothing else.
#include "tests/faults/checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/faults/sample.h"

namespace im::faults {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> BrokenRules(const Sample& sample) {
  std::vector<std::string> names;
  for (const auto& [name, count] : CountByRule(Check(sample.history, sample.stored))) {
    names.push_back(name);
  }
  return names;
}

// What a damage breaks.
std::vector<std::string> Broken(const std::function<void(History&, Stored&)>& damage) {
  Sample sample;
  damage(sample.history, sample.stored);
  return BrokenRules(sample);
}

// The place of an entry among what a device was told.
size_t PlaceOf(const Device& device, int64_t conversation, int64_t seq) {
  for (size_t i = 0; i < device.told.size(); ++i) {
    const Told& told = device.told[i];
    if (told.kind == Told::Kind::kEntry && told.conversation == conversation && told.seq == seq) {
      return i;
    }
  }
  throw std::logic_error("never told");
}

StoredEntry& Entry(Stored& stored, int64_t conversation, size_t seq) {
  return stored.conversations[conversation].entries[seq - 1];
}

void Forget(History& history, int device, int64_t conversation, int64_t seq) {
  auto& told = history.devices[static_cast<size_t>(device)].told;
  told.erase(told.begin() + static_cast<int64_t>(PlaceOf(
                                history.devices[static_cast<size_t>(device)], conversation, seq)));
}

TEST(CheckerTest, FindsNothingInAGoodRun) {
  const Sample sample;
  std::vector<std::string> found;
  for (const Violation& violation : Check(sample.history, sample.stored)) {
    found.push_back(violation.rule + ": " + violation.what);
  }
  EXPECT_THAT(found, IsEmpty());
}

TEST(CheckerTest, AcknowledgedMissing) {
  // Nobody saw it: an acknowledgement before a commit that did not come.
  EXPECT_THAT(Broken([](History& history, Stored&) {
                Attempt lost = history.attempts[0];
                lost.request_id = Id(50);
                lost.nth = 0;
                lost.seq = 4;
                history.attempts.push_back(lost);
              }),
              ElementsAre("acknowledged_missing"));
}

TEST(CheckerTest, AnAnswerThatNamesNoPlaceIsNone) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                Attempt lost = history.attempts[0];
                lost.request_id = Id(50);
                lost.nth = 0;
                lost.seq = lost.at = 0;
                history.attempts.push_back(lost);
              }),
              ElementsAre("acknowledged_missing"));
}

TEST(CheckerTest, AcknowledgedElsewhere) {
  const auto seq = [](History& history, Stored&) { history.attempts[1].seq = 3; };
  const auto time = [](History& history, Stored&) { ++history.attempts[1].at; };
  EXPECT_THAT(Broken(seq), ElementsAre("acknowledged_elsewhere"));
  EXPECT_THAT(Broken(time), ElementsAre("acknowledged_elsewhere"));
}

TEST(CheckerTest, RefusedStored) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                history.attempts[1].outcome = Outcome::kRefused;
                history.attempts[1].seq = history.attempts[1].at = 0;
              }),
              ElementsAre("refused_stored"));
}

TEST(CheckerTest, StoredTwice) {
  // The entry that takes the id of another leaves its own sender with an answer to nothing, so that
  // one was never answered here.
  EXPECT_THAT(Broken([](History& history, Stored& stored) {
                StoredEntry& third = Entry(stored, kDirect, 3);
                third.request_id = Entry(stored, kDirect, 1).request_id;
                third.hash = Entry(stored, kDirect, 1).hash;
                history.attempts.erase(history.attempts.begin() + 2);
                for (Device& device : history.devices) {
                  for (Told& told : device.told) {
                    if (told.conversation != kDirect || told.seq != 3) continue;
                    told.request_id = third.request_id;
                    told.hash = third.hash;
                  }
                }
              }),
              ElementsAre("stored_twice"));
}

TEST(CheckerTest, NotAsSent) {
  const auto content = [](History& history, Stored&) { ++history.attempts[1].hash; };
  const auto nobody = [](History& history, Stored&) {
    history.attempts.erase(history.attempts.begin() + 1);
  };
  const auto kind = [](History& history, Stored&) {
    history.attempts[7].kind = EntryKind::kMemberReturned;
    history.attempts[5].kind = EntryKind::kMemberReturned;
  };
  EXPECT_THAT(Broken(content), ElementsAre("not_as_sent"));
  EXPECT_THAT(Broken(nobody), ElementsAre("not_as_sent"));
  EXPECT_THAT(Broken(kind), ElementsAre("not_as_sent"));
}

TEST(CheckerTest, NotIdempotent) {
  const auto refused = [](History& history, Stored&) {
    history.attempts.back().outcome = Outcome::kRefused;
  };
  const auto other_content = [](History& history, Stored&) { ++history.attempts.back().hash; };
  EXPECT_THAT(Broken(refused), ElementsAre("not_idempotent"));
  EXPECT_THAT(Broken(other_content), ElementsAre("not_idempotent"));
}

TEST(CheckerTest, ARepetitionWithAnotherAnswerIsAlsoElsewhere) {
  EXPECT_THAT(Broken([](History& history, Stored&) { history.attempts.back().seq = 2; }),
              ElementsAre("acknowledged_elsewhere", "not_idempotent"));
}

TEST(CheckerTest, Unsettled) {
  const auto message = [](History& history, Stored&) {
    history.attempts[1].outcome = Outcome::kUnknown;
  };
  const auto block = [](History& history, Stored&) {
    history.blocks[0].outcome = Outcome::kUnknown;
  };
  EXPECT_THAT(Broken(message), ElementsAre("unsettled"));
  EXPECT_THAT(Broken(block), ElementsAre("unsettled"));
  // A retry settles it.
  EXPECT_THAT(Broken([](History& history, Stored&) {
                history.attempts.push_back(history.attempts[1]);
                history.attempts[1].outcome = Outcome::kUnknown;
              }),
              IsEmpty());
}

TEST(CheckerTest, NotDense) {
  const auto last_seq = [](History&, Stored& stored) { --stored.conversations[kGroup].last_count; };
  const auto count = [](History&, Stored& stored) { ++Entry(stored, kGroup, 3).count; };
  EXPECT_THAT(Broken(last_seq), ElementsAre("not_dense"));
  EXPECT_THAT(Broken(count), ElementsAre("not_dense"));
  // A hole, which all agree on; so nobody has seen what should be in it.
  EXPECT_THAT(Broken([](History& history, Stored& stored) {
                Entry(stored, kDirect, 3).seq = history.attempts[2].seq = 4;
                stored.conversations[kDirect].last_seq = 4;
                for (Device& device : history.devices) {
                  for (Told& told : device.told) {
                    if (told.conversation == kDirect && told.seq == 3) told.seq = 4;
                  }
                }
              }),
              Contains("not_dense"));
}

TEST(CheckerTest, TimeFalls) {
  EXPECT_THAT(Broken([](History& history, Stored& stored) {
                Entry(stored, kDirect, 2).at = 1;
                history.attempts[1].at = 1;
                for (Device& device : history.devices) {
                  for (Told& told : device.told) {
                    const bool entry = told.kind == Told::Kind::kEntry;
                    if (entry && told.conversation == kDirect && told.seq == 2) told.first = 1;
                  }
                }
              }),
              ElementsAre("time_falls"));
}

TEST(CheckerTest, DeviceOrder) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                std::swap(history.attempts[0].nth, history.attempts[2].nth);
              }),
              ElementsAre("device_order"));
}

TEST(CheckerTest, RealTimeOrder) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                history.attempts[1].invoked = history.attempts[2].answered + 1;
                history.attempts[1].answered = history.attempts[1].invoked + 1;
              }),
              ElementsAre("real_time_order"));
}

TEST(CheckerTest, Stays) {
  EXPECT_THAT(Broken([](History&, Stored& stored) {
                stored.conversations[kGroup].stays[kCem].back().join_seq = 6;
              }),
              ElementsAre("stays"));
  EXPECT_THAT(Broken([](History&, Stored& stored) {
                Entry(stored, kGroup, 5).begins = {kBob, kCem};
              }),
              ElementsAre("stays"));
}

TEST(CheckerTest, Blocked) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                // Bob's block came before Ann's last message, and was not ended.
                history.blocks.pop_back();
                history.blocks[0].invoked = 1;
                history.blocks[0].answered = history.attempts[2].invoked - 1;
              }),
              ElementsAre("blocked"));
  // Under way when the message was.
  EXPECT_THAT(Broken([](History& history, Stored&) {
                history.blocks.pop_back();
                history.blocks[0].invoked = 1;
                history.blocks[0].answered = history.attempts[2].answered;
              }),
              IsEmpty());
}

TEST(CheckerTest, RefusedWrongly) {
  const auto blocks = [](const std::function<void(std::vector<BlockChange>&)>& change) {
    return [change](History& history, Stored&) { change(history.blocks); };
  };
  EXPECT_THAT(Broken(blocks([](auto& all) { all.clear(); })), ElementsAre("refused_wrongly"));
  // By the other one, or perhaps not ended.
  EXPECT_THAT(Broken(blocks([](auto& all) {
                for (BlockChange& change : all) std::swap(change.person, change.other);
              })),
              IsEmpty());
  EXPECT_THAT(Broken(blocks([](auto& all) {
                all[1].invoked = all[0].answered + 1;
                all[1].answered = all[1].invoked;
              })),
              ElementsAre("refused_wrongly"));
  const auto in_group = [](int device, size_t after, Order later) {
    return [=](History& history, Stored&) {
      Attempt refused = history.attempts[after];
      refused.kind = EntryKind::kMessage;
      refused.device = device;
      refused.person = history.devices[static_cast<size_t>(device)].person;
      refused.request_id = Id(98);
      refused.nth = 0;
      refused.outcome = Outcome::kRefused;
      refused.seq = refused.at = 0;
      refused.invoked = refused.answered = refused.answered + later;
      history.attempts.push_back(refused);
    };
  };
  // Attempt 5 is Cem's leaving, 7 the return.
  EXPECT_THAT(Broken(in_group(kBobs, 5, 1)), ElementsAre("refused_wrongly"));
  EXPECT_THAT(Broken(in_group(kCems, 4, 1)), ElementsAre("refused_wrongly"));
  EXPECT_THAT(Broken(in_group(kCems, 5, 0)), IsEmpty());
  EXPECT_THAT(Broken(in_group(kCems, 5, 1)), IsEmpty());
  EXPECT_THAT(Broken(in_group(kCems, 7, 0)), IsEmpty());
  EXPECT_THAT(Broken(in_group(kCems, 7, 1)), ElementsAre("refused_wrongly"));
}

TEST(CheckerTest, NotAsStored) {
  const auto change = [](const std::function<void(Told&)>& what) {
    return [what](History& history, Stored&) {
      Device& bobs = history.devices[kBobs];
      what(bobs.told[PlaceOf(bobs, kDirect, 1)]);
    };
  };
  EXPECT_THAT(Broken(change([](Told& told) { ++told.hash; })), ElementsAre("not_as_stored"));
  EXPECT_THAT(Broken(change([](Told& told) { told.user = kBob; })), ElementsAre("not_as_stored"));
  EXPECT_THAT(Broken(change([](Told& told) { ++told.first; })), ElementsAre("not_as_stored"));
  EXPECT_THAT(Broken(change([](Told& told) { told.request_id = Id(77); })),
              ElementsAre("not_as_stored"));
  // What never was stored: told before its commit, which did not come.
  EXPECT_THAT(Broken([](History& history, Stored&) {
                Device& bobs = history.devices[kBobs];
                Told told = bobs.told[PlaceOf(bobs, kDirect, 3)];
                told.seq = 4;
                bobs.told.push_back(told);
              }),
              ElementsAre("not_as_stored"));
}

TEST(CheckerTest, SeenAgain) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                Device& bobs = history.devices[kBobs];
                bobs.told.push_back(bobs.told[PlaceOf(bobs, kDirect, 2)]);
              }),
              ElementsAre("seen_again"));
}

TEST(CheckerTest, SeenIncompletely) {
  // In the middle, at the end, the end of one's own stay, and in a history that was read back.
  const auto missing = [](int device, int64_t conversation, int64_t seq) {
    return [=](History& history, Stored&) { Forget(history, device, conversation, seq); };
  };
  EXPECT_THAT(Broken(missing(kAnns, kDirect, 2)), ElementsAre("seen_incompletely"));
  EXPECT_THAT(Broken(missing(kAnns, kGroup, 6)), ElementsAre("seen_incompletely"));
  EXPECT_THAT(Broken(missing(kCems, kGroup, 3)), ElementsAre("seen_incompletely"));
  EXPECT_THAT(Broken(missing(kReader, kDirect, 1)), ElementsAre("seen_incompletely"));
  EXPECT_THAT(Broken([](History& history, Stored&) {
                Device& fresh = history.devices[kFresh];
                fresh.told.erase(fresh.told.begin() + 2);
              }),
              ElementsAre("seen_incompletely"));
}

TEST(CheckerTest, WhatAGapLeavesOutIsNotMissing) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                Device& bobs = history.devices[kBobs];
                Told& told = bobs.told[PlaceOf(bobs, kDirect, 1)];
                told = {.kind = Told::Kind::kGap,
                        .order = told.order,
                        .conversation = kDirect,
                        .seq = 1,
                        .first = 1};
              }),
              IsEmpty());
}

TEST(CheckerTest, AnOldSnapshotBringsWhatIsNewerAgain) {
  const auto connects = [](int64_t seq) {
    return [seq](History& history, Stored&) {
      Device& bobs = history.devices[kBobs];
      const Told third = bobs.told[PlaceOf(bobs, kDirect, 3)];
      bobs.told.push_back({.kind = Told::Kind::kConnects, .first = 2});
      bobs.told.push_back({.kind = Told::Kind::kHad, .conversation = kDirect, .seq = seq});
      bobs.told.push_back({.kind = Told::Kind::kHad, .conversation = kGroup, .seq = 6});
      bobs.told.push_back(third);
    };
  };
  EXPECT_THAT(Broken(connects(2)), IsEmpty());
  EXPECT_THAT(Broken(connects(1)), ElementsAre("seen_incompletely"));
  EXPECT_THAT(Broken(connects(3)), ElementsAre("seen_again"));
}

TEST(CheckerTest, OutsideStay) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                // What Bob wrote while Cem was away.
                const Device& bobs = history.devices[kBobs];
                auto& cems = history.devices[kCems];
                cems.told.insert(cems.told.begin() + static_cast<int64_t>(PlaceOf(cems, kGroup, 5)),
                                 bobs.told[PlaceOf(bobs, kGroup, 4)]);
              }),
              ElementsAre("outside_stay"));
}

TEST(CheckerTest, NotCaughtUp) {
  // Bob's device loses its stream and comes back; the last entry comes before it has everything, or
  // after that, and was acknowledged before that stream, or not.
  const auto back = [](bool late, bool acknowledged) {
    return [=](History& history, Stored&) {
      auto& told = history.devices[kBobs].told;
      const auto place =
          told.begin() + static_cast<int64_t>(PlaceOf(history.devices[kBobs], kGroup, 6));
      Told entry = *place;
      told.erase(place);
      Order order = history.attempts.back().answered + 100;
      told.push_back({.kind = Told::Kind::kDisconnected, .order = ++order});
      for (Attempt& attempt : history.attempts) {
        if (!acknowledged && attempt.conversation == kGroup && attempt.seq == 6) {
          attempt.answered = order + 10;
        }
      }
      entry.order = ++order;
      if (!late) told.push_back(entry);
      told.push_back({.kind = Told::Kind::kLive, .order = ++order});
      entry.order = ++order;
      if (late) told.push_back(entry);
    };
  };
  EXPECT_THAT(Broken(back(true, true)), ElementsAre("not_caught_up"));
  EXPECT_THAT(Broken(back(false, true)), IsEmpty());
  EXPECT_THAT(Broken(back(true, false)), IsEmpty());
}

TEST(CheckerTest, WhoComesBackWithWhatItHasIsCaughtUpWithTheRest) {
  // As a later run of the program; or after it was told that the data is another, when it lists.
  const auto back = [](bool forgot, int64_t had) {
    return [=](History& history, Stored&) {
      auto& told = history.devices[kBobs].told;
      Order order = history.attempts.back().answered + 100;
      told.push_back({.kind = Told::Kind::kConnects, .order = ++order, .first = 2});
      told.push_back(
          {.kind = Told::Kind::kHad, .order = ++order, .conversation = kDirect, .seq = had});
      told.push_back(
          {.kind = Told::Kind::kHad, .order = ++order, .conversation = kGroup, .seq = 6});
      if (forgot) told.push_back({.kind = Told::Kind::kForgot, .order = ++order});
      told.push_back({.kind = Told::Kind::kLive, .order = ++order});
      // What comes after that.
      const std::vector<Told> all = told;
      for (const Told& one : all) {
        const bool again = one.kind == Told::Kind::kEntry
                               ? forgot || (one.conversation == kDirect && one.seq > had)
                               : forgot && (one.kind == Told::Kind::kOwnContact ||
                                            one.kind == Told::Kind::kOwnReadMark);
        if (!again) continue;
        told.push_back(one);
        told.back().order = ++order;
      }
    };
  };
  EXPECT_THAT(Broken(back(false, 3)), IsEmpty());
  EXPECT_THAT(Broken(back(false, 2)), ElementsAre("not_caught_up"));
  EXPECT_THAT(Broken(back(true, 3)), IsEmpty());
}

TEST(CheckerTest, NotAtRest) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                history.rests[0].lags.push_back({kBobs, "conversation 10", 2, 3});
              }),
              ElementsAre("not_at_rest"));
}

TEST(CheckerTest, ToldToReconnect) {
  const auto disconnected = [](bool in_rest, bool for_good) {
    return [=](History& history, Stored&) {
      Rest& rest = history.rests[0];
      rest.ended += 5;
      history.devices[kBobs].told.push_back({.kind = Told::Kind::kDisconnected,
                                             .order = rest.began + (in_rest ? 1 : -1),
                                             .second = for_good ? 1 : 0});
    };
  };
  EXPECT_THAT(Broken(disconnected(true, false)), ElementsAre("told_to_reconnect"));
  EXPECT_THAT(Broken(disconnected(false, true)), ElementsAre("told_to_reconnect"));
  EXPECT_THAT(Broken(disconnected(false, false)), IsEmpty());
}

TEST(CheckerTest, OwnLog) {
  const auto erase = [](Told::Kind kind) {
    return [kind](History& history, Stored&) {
      auto& told = history.devices[kBobs].told;
      told.erase(std::find_if(told.begin(), told.end(),
                              [kind](const Told& one) { return one.kind == kind; }));
    };
  };
  EXPECT_THAT(Broken(erase(Told::Kind::kOwnContact)), ElementsAre("own_log"));
  EXPECT_THAT(Broken(erase(Told::Kind::kOwnReadMark)), ElementsAre("own_log"));
  EXPECT_THAT(Broken([](History&, Stored& stored) {
                stored.people[kBob].own_log[{1, kAnn}].value = 104;
              }),
              ElementsAre("own_log"));
  EXPECT_THAT(Broken([](History&, Stored& stored) { ++stored.people[kBob].log_position; }),
              ElementsAre("own_log"));
}

TEST(CheckerTest, Watermarks) {
  const auto told_too_much = [](History& history, Stored&) {
    for (Told& told : history.devices[kAnns].told) {
      if (told.kind == Told::Kind::kWatermark) told.first = told.second = 9;
    }
  };
  const auto past_the_end = [](History&, Stored& stored) {
    stored.conversations[kDirect].stays[kBob].back().delivered_seq = 4;
  };
  const auto fell = [](History& history, Stored&) {
    Reading later = history.readings[0];
    later.invoked = later.answered + 1;
    later.answered = later.invoked + 1;
    later.read_seq = 1;
    later.unread = 1;
    history.readings.push_back(later);
  };
  const auto not_kept = [](History& history, Stored&) { history.readings[0].read_seq = 3; };
  EXPECT_THAT(Broken(told_too_much), ElementsAre("watermarks"));
  EXPECT_THAT(Broken(past_the_end), ElementsAre("watermarks"));
  EXPECT_THAT(Broken(fell), ElementsAre("watermarks"));
  EXPECT_THAT(Broken(not_kept), ElementsAre("watermarks"));
}

TEST(CheckerTest, Unread) {
  EXPECT_THAT(Broken([](History& history, Stored&) {
                for (Told& told : history.devices[kFresh].told) {
                  if (told.kind == Told::Kind::kListed && told.conversation == kDirect) {
                    told.second = 2;
                  }
                }
              }),
              ElementsAre("unread"));
  EXPECT_THAT(Broken([](History&, Stored& stored) {
                ++stored.conversations[kGroup].stays[kBob].back().read_count;
              }),
              ElementsAre("unread"));
  // An answer: Bob had read both that were there.
  EXPECT_THAT(Broken([](History& history, Stored&) { history.readings[0].unread = 1; }),
              ElementsAre("unread"));
  // Ann's third message may have been there at the end of the answer, and then must have been.
  const auto later = [](int64_t unread, Order invoked) {
    return [=](History& history, Stored&) {
      Reading& reading = history.readings[0];
      reading.invoked += invoked;
      reading.answered = history.attempts[2].answered + 1;
      reading.unread = unread;
    };
  };
  EXPECT_THAT(Broken(later(0, 0)), IsEmpty());
  EXPECT_THAT(Broken(later(1, 0)), IsEmpty());
  EXPECT_THAT(Broken(later(2, 0)), ElementsAre("unread"));
  EXPECT_THAT(Broken(later(0, 100)), ElementsAre("unread"));
  // A device that takes part.
  const auto listed = [](int64_t unread) {
    return [unread](History& history, Stored&) {
      history.devices[kBobs].told.push_back({.kind = Told::Kind::kConversation,
                                             .conversation = kDirect,
                                             .seq = 3,
                                             .first = 2,
                                             .second = unread});
    };
  };
  EXPECT_THAT(Broken(listed(1)), IsEmpty());
  EXPECT_THAT(Broken(listed(0)), ElementsAre("unread"));
}

}  // namespace
}  // namespace im::faults
