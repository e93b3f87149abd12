// Rules about what devices were told.
#include <algorithm>
#include <set>
#include <utility>

#include "tests/faults/rules.h"

namespace im::faults {
namespace {

using Kind = Told::Kind;

// What a device has, after what it was told so far.
class Screen {
 public:
  // Kind and object.
  using OwnKey = std::pair<int, int64_t>;

  void Apply(const Told& told) {
    switch (told.kind) {
      case Kind::kConnects:
        have_.clear();
        // What it had after this is told again.
        for (auto it = own_.begin(); it != own_.end();) {
          it = it->second.position > told.first ? own_.erase(it) : std::next(it);
        }
        return;
      case Kind::kHad:
        have_[told.conversation] = told.seq;
        return;
      case Kind::kForgot:
        have_.clear();
        own_.clear();
        return;
      case Kind::kListed:
      case Kind::kEntry:
      case Kind::kGap:
        have_[told.conversation] = std::max(have_[told.conversation], told.seq);
        return;
      case Kind::kOwnContact:
        own_[{1, told.user}] = {told.first, told.second};
        return;
      case Kind::kOwnSettings:
        own_[{2, 0}] = {told.first, told.second};
        return;
      case Kind::kOwnReadMark:
        own_[{3, told.conversation}] = {told.first, told.seq};
        return;
      case Kind::kConversation:
      case Kind::kWatermark:
      case Kind::kLive:
      case Kind::kDisconnected:
        return;
    }
  }
  int64_t Have(int64_t conversation) const {
    const auto found = have_.find(conversation);
    return found == have_.end() ? 0 : found->second;
  }
  const std::map<OwnKey, StoredRecord>& own() const { return own_; }

 private:
  std::map<int64_t, int64_t> have_;
  std::map<OwnKey, StoredRecord> own_;
};

const std::vector<StoredStay>& StaysOf(const Run& run, int64_t conversation, int64_t person) {
  static const auto* const kNone = new std::vector<StoredStay>();
  const auto found = run.stored.conversations.find(conversation);
  if (found == run.stored.conversations.end()) return *kNone;
  const auto stays = found->second.stays.find(person);
  return stays == found->second.stays.end() ? *kNone : stays->second;
}

// The first entry that must have come after `have` and before `seq`; 0: none. What is older than a
// join need not come by itself; who reads the history gets it.
int64_t MissingBetween(const std::vector<StoredStay>& stays, bool reader, int64_t have,
                       int64_t seq) {
  for (const StoredStay& stay : stays) {
    const int64_t begin = reader ? stay.first_seq : std::max(stay.join_seq, stay.first_seq);
    const int64_t from = std::max(begin, have + 1);
    if (from <= std::min(stay.end_seq.value_or(INT64_MAX), seq - 1)) return from;
  }
  return 0;
}

bool IsInside(const std::vector<StoredStay>& stays, int64_t seq) {
  return std::any_of(stays.begin(), stays.end(), [seq](const StoredStay& stay) {
    return seq >= stay.first_seq && seq <= stay.end_seq.value_or(INT64_MAX);
  });
}

// When each entry of a conversation was acknowledged, and the newest of those until then.
class Acknowledged {
 public:
  explicit Acknowledged(const Run& run) {
    for (const auto& [id, conversation] : run.stored.conversations) {
      auto& newest = newest_[id];
      for (const StoredEntry& entry : conversation.entries) {
        const Order answered = run.TimesOf(id, entry.seq).answered;
        if (answered != kNever) newest.emplace_back(answered, entry.seq);
      }
      std::sort(newest.begin(), newest.end());
      for (size_t i = 1; i < newest.size(); ++i) {
        newest[i].second = std::max(newest[i].second, newest[i - 1].second);
      }
    }
  }
  // 0: none.
  int64_t NewestBefore(int64_t conversation, Order order) const {
    const auto& newest = newest_.at(conversation);
    const auto next = std::lower_bound(newest.begin(), newest.end(), std::pair(order, int64_t{0}));
    return next == newest.begin() ? 0 : std::prev(next)->second;
  }

 private:
  std::map<int64_t, std::vector<std::pair<Order, int64_t>>> newest_;
};

// What counts as unread for somebody whose mark stands at `read`.
int64_t MessagesAfter(const StoredConversation& conversation, int64_t read, int64_t last) {
  return std::count_if(
      conversation.entries.begin(), conversation.entries.end(), [=](const StoredEntry& entry) {
        return entry.kind == EntryKind::kMessage && entry.seq > read && entry.seq <= last;
      });
}

// The stay of somebody who had only one, and stayed; null: it was otherwise.
const StoredStay* OnlyStay(const Run& run, int64_t conversation, int64_t person) {
  const auto& stays = StaysOf(run, conversation, person);
  return stays.size() == 1 && !stays[0].end_seq ? &stays[0] : nullptr;
}

// What a device is told of a conversation says itself up to where it holds.
void UnreadInLists(const Run& run, Report* report) {
  for (const Device& device : run.history.devices) {
    for (const Told& told : device.told) {
      if (told.kind != Kind::kListed && told.kind != Kind::kConversation) continue;
      const StoredStay* const stay = OnlyStay(run, told.conversation, device.person);
      if (stay == nullptr) continue;
      const int64_t unread = MessagesAfter(run.stored.conversations.at(told.conversation),
                                           std::max(told.first, stay->first_seq - 1), told.seq);
      if (told.second == unread) continue;
      report->Add(device.name, " was told that of conversation ", told.conversation, " up to ",
                  told.seq, " ", told.second, " messages are unread after ", told.first, "; it is ",
                  unread, " (order ", told.order, ")");
    }
  }
}

// An answer to MarkRead counts at some moment between the question and the answer.
void UnreadInAnswers(const Run& run, Report* report) {
  for (const Reading& reading : run.history.readings) {
    const StoredStay* const stay = OnlyStay(run, reading.conversation, reading.person);
    if (stay == nullptr) continue;
    const StoredConversation& conversation = run.stored.conversations.at(reading.conversation);
    int64_t surely = 0, possibly = 0;
    for (const StoredEntry& entry : conversation.entries) {
      const Run::Times times = run.TimesOf(reading.conversation, entry.seq);
      if (times.answered < reading.invoked) surely = entry.seq;
      // Nothing that comes after it was there before.
      if (times.invoked > reading.answered) break;
      possibly = entry.seq;
    }
    const int64_t read = std::max(reading.read_seq, stay->first_seq - 1);
    const int64_t least = MessagesAfter(conversation, read, surely);
    const int64_t most = MessagesAfter(conversation, read, possibly);
    if (least <= reading.unread && reading.unread <= most) continue;
    report->Add(run.NameOf(reading.person), " was answered that ", reading.unread,
                " messages of conversation ", reading.conversation, " are unread after ",
                reading.read_seq, "; it is ", least, " to ", most, " (order ", reading.answered,
                ")");
  }
}

}  // namespace

void NotAsStored(const Run& run, Report* report) {
  for (const Device& device : run.history.devices) {
    for (const Told& told : device.told) {
      if (told.kind != Kind::kEntry) continue;
      const auto conversation = run.stored.conversations.find(told.conversation);
      const StoredEntry* const entry = conversation == run.stored.conversations.end()
                                           ? nullptr
                                           : conversation->second.Find(told.seq);
      if (entry == nullptr) {
        report->Add(device.name, " saw entry ", told.seq, " of conversation ", told.conversation,
                    ", which is not stored");
      } else if (entry->sender != told.user || entry->request_id != told.request_id ||
                 entry->hash != told.hash || entry->at != told.first ||
                 static_cast<int64_t>(entry->kind) != told.second) {
        report->Add(device.name, " saw entry ", told.seq, " of conversation ", told.conversation,
                    " as request ", Hex(told.request_id), " of ", run.NameOf(told.user),
                    ", which is stored as ", Hex(entry->request_id), " of ",
                    run.NameOf(entry->sender), " or with other bytes or time");
      }
    }
  }
}

void SeenAgain(const Run& run, Report* report) {
  for (const Device& device : run.history.devices) {
    Screen screen;
    for (const Told& told : device.told) {
      if (told.kind == Kind::kEntry && told.seq <= screen.Have(told.conversation)) {
        report->Add(device.name, " saw entry ", told.seq, " of conversation ", told.conversation,
                    " after ", screen.Have(told.conversation), " (order ", told.order, ")");
      }
      screen.Apply(told);
    }
  }
}

void SeenIncompletely(const Run& run, Report* report) {
  for (const Device& device : run.history.devices) {
    Screen screen;
    const bool reader = device.part == Device::Part::kReader;
    for (const Told& told : device.told) {
      if (told.kind == Kind::kEntry || told.kind == Kind::kGap) {
        const int64_t next = told.kind == Kind::kGap ? told.first : told.seq;
        const int64_t missing = MissingBetween(StaysOf(run, told.conversation, device.person),
                                               reader, screen.Have(told.conversation), next);
        if (missing != 0) {
          report->Add(device.name, " did not see entry ", missing, " of conversation ",
                      told.conversation, " before ", told.seq, " (order ", told.order, ")");
        }
      }
      screen.Apply(told);
    }
    for (const auto& [id, conversation] : run.stored.conversations) {
      const auto stays = conversation.stays.find(device.person);
      if (stays == conversation.stays.end()) continue;
      const int64_t missing = MissingBetween(stays->second, reader, screen.Have(id),
                                             LastVisible(conversation, stays->second) + 1);
      if (missing != 0) {
        report->Add(device.name, " never saw entry ", missing, " of conversation ", id,
                    " and what follows");
      }
    }
  }
}

// A resume brings everything that was acknowledged before its stream was opened, and says only then
// that it is over; what is loaded besides is younger. Not after a list: what it overtook may still
// be loaded then.
void NotCaughtUp(const Run& run, Report* report) {
  const Acknowledged acknowledged(run);
  for (const Device& device : run.history.devices) {
    Screen screen;
    Order opened = 0;
    bool listed = false;
    for (const Told& told : device.told) {
      screen.Apply(told);
      if (told.kind == Kind::kConnects || told.kind == Kind::kDisconnected) opened = told.order;
      if (told.kind == Kind::kConnects || told.kind == Kind::kForgot) listed = false;
      if (told.kind == Kind::kHad) listed = true;
      if (told.kind != Kind::kLive || !std::exchange(listed, true)) continue;
      for (const auto& [id, conversation] : run.stored.conversations) {
        const int64_t missing =
            MissingBetween(StaysOf(run, id, device.person), false, screen.Have(id),
                           acknowledged.NewestBefore(id, opened) + 1);
        if (missing == 0) continue;
        report->Add(device.name, " was told that it has everything (order ", told.order,
                    "), but not entry ", missing, " of conversation ", id,
                    ", which was acknowledged before it connected");
      }
    }
  }
}

void OutsideStay(const Run& run, Report* report) {
  for (const Device& device : run.history.devices) {
    for (const Told& told : device.told) {
      if (told.kind != Kind::kEntry) continue;
      if (IsInside(StaysOf(run, told.conversation, device.person), told.seq)) continue;
      report->Add(device.name, " saw entry ", told.seq, " of conversation ", told.conversation,
                  " outside of the stays of ", run.NameOf(device.person), " (order ", told.order,
                  ")");
    }
  }
}

void NotAtRest(const Run& run, Report* report) {
  for (size_t i = 0; i < run.history.rests.size(); ++i) {
    for (const Lag& lag : run.history.rests[i].lags) {
      report->Add("rest ", i + 1, ": ", run.history.devices[static_cast<size_t>(lag.device)].name,
                  " was at ", lag.has, " of ", lag.should, " in ", lag.about);
    }
  }
}

void ToldToReconnect(const Run& run, Report* report) {
  for (const Device& device : run.history.devices) {
    for (const Told& told : device.told) {
      if (told.kind != Kind::kDisconnected) continue;
      for (size_t i = 0; i < run.history.rests.size(); ++i) {
        const Rest& rest = run.history.rests[i];
        if (told.order > rest.began && told.order < rest.ended) {
          report->Add("rest ", i + 1, ": the stream of ", device.name, " ended (order ", told.order,
                      ", status code ", told.first, ")");
        }
      }
      if (told.second == 1) {
        report->Add(device.name, " was told not to come back (order ", told.order, ", status code ",
                    told.first, ")");
      }
    }
  }
}

void OwnLogs(const Run& run, Report* report) {
  for (const auto& [id, person] : run.stored.people) {
    std::set<int64_t> positions;
    for (const auto& [key, record] : person.own_log) positions.insert(record.position);
    const int64_t newest = positions.empty() ? 0 : *positions.rbegin();
    if (positions.size() != person.own_log.size() || newest != person.log_position) {
      report->Add("the own log of ", run.NameOf(id), " has ", person.own_log.size(), " records at ",
                  positions.size(), " positions up to ", newest, "; its end is said to be ",
                  person.log_position);
    }
  }
  for (const Device& device : run.history.devices) {
    if (device.part == Device::Part::kReader) continue;
    Screen screen;
    for (const Told& told : device.told) screen.Apply(told);
    const auto person = run.stored.people.find(device.person);
    if (person == run.stored.people.end()) continue;
    for (const auto& [key, record] : person->second.own_log) {
      const auto mine = screen.own().find(key);
      const bool is_mark = key.first == 3;
      if (mine == screen.own().end()) {
        report->Add(device.name, " never got the record of kind ", key.first, " about ", key.second,
                    " of its own log");
      } else if (mine->second.position != record.position ||
                 (is_mark ? mine->second.value > record.value
                          : mine->second.value != record.value)) {
        // Sending reads one's own without a record, so a mark may have risen since.
        report->Add(device.name, " has the record of kind ", key.first, " about ", key.second,
                    " as ", mine->second.value, " at ", mine->second.position,
                    " of its own log, which has ", record.value, " at ", record.position);
      }
    }
    for (const auto& [key, record] : screen.own()) {
      if (person->second.own_log.count(key) > 0) continue;
      report->Add(device.name, " has a record of kind ", key.first, " about ", key.second,
                  " that its own log does not have");
    }
  }
}

void Watermarks(const Run& run, Report* report) {
  for (const auto& [id, conversation] : run.stored.conversations) {
    for (const auto& [person, stays] : conversation.stays) {
      const StoredStay& stay = stays.back();
      const int64_t last = LastVisible(conversation, stays);
      if (stay.read_seq > stay.delivered_seq || stay.delivered_seq > last) {
        report->Add("the marks of ", run.NameOf(person), " in conversation ", id,
                    " do not rise to the last entry: ", stay.read_seq, ", ", stay.delivered_seq,
                    ", ", last);
      }
    }
  }
  for (const Device& device : run.history.devices) {
    for (const Told& told : device.told) {
      if (told.kind != Kind::kWatermark) continue;
      const auto& stays = StaysOf(run, told.conversation, told.user);
      if (stays.empty() || told.first > told.second || told.first > stays.back().read_seq ||
          told.second > stays.back().delivered_seq) {
        report->Add(device.name, " was told that ", run.NameOf(told.user), " has read up to ",
                    told.first, " and received up to ", told.second, " in conversation ",
                    told.conversation, "; stored is ", stays.empty() ? 0 : stays.back().read_seq,
                    " and ", stays.empty() ? 0 : stays.back().delivered_seq);
      }
    }
  }
  // Answers to one person: they rise, and what they say stays true.
  std::map<std::pair<int64_t, int64_t>, std::vector<const Reading*>> readings;
  for (const Reading& reading : run.history.readings) {
    const auto& stays = StaysOf(run, reading.conversation, reading.person);
    if (stays.empty() || stays.back().read_seq < reading.read_seq) {
      report->Add(run.NameOf(reading.person), " was answered that they have read conversation ",
                  reading.conversation, " up to ", reading.read_seq, "; stored is ",
                  stays.empty() ? 0 : stays.back().read_seq);
    }
    auto& before = readings[{reading.person, reading.conversation}];
    for (const Reading* earlier : before) {
      if (earlier->answered < reading.invoked && earlier->read_seq > reading.read_seq) {
        report->Add("the read mark of ", run.NameOf(reading.person), " in conversation ",
                    reading.conversation, " fell from ", earlier->read_seq, " to ",
                    reading.read_seq);
        break;
      }
    }
    before.push_back(&reading);
  }
}

void Unread(const Run& run, Report* report) {
  UnreadInLists(run, report);
  UnreadInAnswers(run, report);
  for (const auto& [id, conversation] : run.stored.conversations) {
    for (const auto& [person, stays] : conversation.stays) {
      const StoredEntry* const read = conversation.Find(stays.back().read_seq);
      const int64_t count = read == nullptr ? 0 : read->count;
      if (stays.back().read_count != count) {
        report->Add("at the read mark of ", run.NameOf(person), " in conversation ", id, " (",
                    stays.back().read_seq, ") the count is ", count, ", but the row says ",
                    stays.back().read_count);
      }
    }
  }
  for (const Device& device : run.history.devices) {
    if (device.part != Device::Part::kFresh) continue;
    for (const Told& told : device.told) {
      if (told.kind != Kind::kListed) continue;
      const auto& stays = StaysOf(run, told.conversation, device.person);
      if (stays.empty()) continue;  // OutsideStay's
      const StoredConversation& conversation = run.stored.conversations.at(told.conversation);
      const int64_t read = stays.back().read_seq;
      const int64_t unread = MessagesAfter(conversation, read, LastVisible(conversation, stays));
      if (told.first == read && told.second == unread) continue;
      report->Add(device.name, " was told that of conversation ", told.conversation, " all up to ",
                  told.first, " is read and ", told.second, " messages are not; it is ", read,
                  " and ", unread);
    }
  }
}

}  // namespace im::faults
