// Rules about what is stored, and what senders were answered.
#include <algorithm>
#include <map>
#include <set>

#include "tests/faults/rules.h"

namespace im::faults {
namespace {

const StoredEntry* FindEntry(const Run& run, const Run::Key& key) {
  const auto found = run.entries.find(key);
  return found == run.entries.end() ? nullptr : found->second;
}

}  // namespace

void AcknowledgedMissing(const Run& run, Report* report) {
  for (const auto& [key, attempts] : run.attempts) {
    if (FindEntry(run, key) != nullptr) continue;
    for (const Attempt* attempt : attempts) {
      if (!MadeAnEntry(*attempt)) continue;
      report->Add(run.NameOf(*attempt), " was acknowledged as ", attempt->seq,
                  " and is not stored");
      break;
    }
  }
}

void AcknowledgedElsewhere(const Run& run, Report* report) {
  for (const auto& [key, attempts] : run.attempts) {
    const StoredEntry* const entry = FindEntry(run, key);
    if (entry == nullptr) continue;
    for (const Attempt* attempt : attempts) {
      if (!MadeAnEntry(*attempt)) continue;
      if (attempt->seq != entry->seq) {
        report->Add(run.NameOf(*attempt), " was acknowledged as ", attempt->seq, " and is ",
                    entry->seq);
      } else if (attempt->at != 0 && attempt->at != entry->at) {
        report->Add(run.NameOf(*attempt), " (", attempt->seq, ") was acknowledged with the time ",
                    attempt->at, " and has ", entry->at);
      }
    }
  }
}

// What was refused for good has not happened, nor does it later. (Where another try was
// acknowledged NotIdempotent sees to it.)
void RefusedStored(const Run& run, Report* report) {
  for (const auto& [key, attempts] : run.attempts) {
    const StoredEntry* const entry = FindEntry(run, key);
    if (entry == nullptr) continue;
    const Attempt* refused = nullptr;
    bool done = false;
    for (const Attempt* attempt : attempts) {
      if (attempt->outcome == Outcome::kRefused && attempt->hash == attempts.front()->hash) {
        refused = attempt;
      }
      done = done || attempt->outcome == Outcome::kDone;
    }
    if (refused != nullptr && !done) {
      report->Add(run.NameOf(*refused), " was refused (", refused->reason, ") and is stored as ",
                  entry->seq);
    }
  }
}

void StoredTwice(const Run& run, Report* report) {
  for (const auto& [id, conversation] : run.stored.conversations) {
    std::map<std::pair<int64_t, RequestId>, int64_t> first;
    for (const StoredEntry& entry : conversation.entries) {
      const auto [known, is_new] = first.try_emplace({entry.sender, entry.request_id}, entry.seq);
      if (is_new) continue;
      report->Add("request ", Hex(entry.request_id), " of ", run.NameOf(entry.sender),
                  " is stored as ", known->second, " and as ", entry.seq, " of conversation ", id);
    }
  }
}

void NotAsSent(const Run& run, Report* report) {
  for (const auto& [key, entry] : run.entries) {
    const int64_t conversation = std::get<0>(key);
    const auto sent = run.attempts.find(key);
    if (sent == run.attempts.end()) {
      report->Add("entry ", entry->seq, " of conversation ", conversation, " (",
                  faults::NameOf(entry->kind), " ", Hex(entry->request_id), " of ",
                  run.NameOf(entry->sender), ") was sent by nobody");
      continue;
    }
    // The same id was tried with another content, too, which must be refused.
    bool known = false;
    for (const Attempt* attempt : sent->second) {
      if (attempt->hash != sent->second.front()->hash || attempt->kind != entry->kind) continue;
      known = known || attempt->kind != EntryKind::kMessage || attempt->hash == entry->hash;
    }
    if (!known) {
      report->Add(run.NameOf(*sent->second.front()), " is stored as ", entry->seq,
                  " with another content");
    }
  }
}

// A repetition is answered as the first was, and the same id with another request is refused.
void NotIdempotent(const Run& run, Report* report) {
  for (const auto& [key, attempts] : run.attempts) {
    const Attempt* first = nullptr;
    for (const Attempt* attempt : attempts) {
      if (attempt->hash != attempts.front()->hash) {
        if (attempt->outcome == Outcome::kDone) {
          report->Add(run.NameOf(*attempt), " was acknowledged with another content");
        }
        continue;
      }
      if (!MadeAnEntry(*attempt)) continue;
      if (first == nullptr) first = attempt;
      if (attempt->seq != first->seq || attempt->at != first->at) {
        report->Add(run.NameOf(*attempt), " was answered ", first->seq, " at ", first->at,
                    " and again ", attempt->seq, " at ", attempt->at);
      }
    }
    if (first == nullptr) continue;
    for (const Attempt* attempt : attempts) {
      if (attempt->outcome == Outcome::kRefused && attempt->hash == attempts.front()->hash &&
          attempt->invoked > first->answered) {
        report->Add(run.NameOf(*attempt), " was acknowledged as ", first->seq,
                    " and its repetition refused (", attempt->reason, ")");
      }
    }
  }
}

void Unsettled(const Run& run, Report* report) {
  for (const auto& [key, attempts] : run.attempts) {
    bool settled = false;
    for (const Attempt* attempt : attempts) {
      settled = settled ||
                (attempt->outcome != Outcome::kUnknown && attempt->hash == attempts.front()->hash);
    }
    if (!settled) {
      report->Add(run.NameOf(*attempts.back()), " was never answered, tried ", attempts.size(),
                  " times; the last time: ", attempts.back()->reason);
    }
  }
  for (const BlockChange& change : run.history.blocks) {
    if (change.outcome != Outcome::kUnknown) continue;
    report->Add(change.block ? "a block" : "the end of a block", " of ", run.NameOf(change.other),
                " by ", run.NameOf(change.person), " was never answered");
  }
}

void NotDense(const Run& run, Report* report) {
  for (const auto& [id, conversation] : run.stored.conversations) {
    int64_t seq = 0, count = 0;
    for (const StoredEntry& entry : conversation.entries) {
      if (entry.seq != seq + 1) {
        report->Add("after ", seq, " conversation ", id, " goes on with ", entry.seq);
      }
      seq = entry.seq;
      if (entry.kind == EntryKind::kMessage) ++count;
      if (entry.count != count) {
        report->Add("entry ", seq, " of conversation ", id, " counts ", entry.count,
                    " messages, not ", count);
        count = entry.count;
      }
    }
    if (conversation.last_seq != seq || conversation.last_count != count) {
      report->Add("conversation ", id, " ends with ", seq, " (", count,
                  " messages), but its row says ", conversation.last_seq, " (",
                  conversation.last_count, ")");
    }
  }
}

void TimeFalls(const Run& run, Report* report) {
  for (const auto& [id, conversation] : run.stored.conversations) {
    int64_t at = 0;
    for (const StoredEntry& entry : conversation.entries) {
      if (entry.at < at) {
        report->Add("entry ", entry.seq, " of conversation ", id, " is older (", entry.at,
                    ") than the one before it (", at, ")");
      }
      at = entry.at;
    }
  }
}

// Messages that a device gave to its session one after the other.
void DeviceOrder(const Run& run, Report* report) {
  struct Sent {
    int64_t nth = 0;
    int64_t seq = 0;
    const Attempt* attempt = nullptr;
  };
  std::map<std::pair<int, int64_t>, std::vector<Sent>> by_device;
  for (const auto& [key, attempts] : run.attempts) {
    const StoredEntry* const entry = FindEntry(run, key);
    if (entry == nullptr || attempts.front()->nth == 0) continue;
    by_device[{attempts.front()->device, std::get<0>(key)}].push_back(
        {attempts.front()->nth, entry->seq, attempts.front()});
  }
  for (auto& [device, sent] : by_device) {
    std::sort(sent.begin(), sent.end(), [](const Sent& a, const Sent& b) { return a.nth < b.nth; });
    for (size_t i = 1; i < sent.size(); ++i) {
      if (sent[i].seq > sent[i - 1].seq) continue;
      report->Add(run.NameOf(*sent[i].attempt), " was sent as number ", sent[i].nth,
                  " and is stored as ", sent[i].seq, ", before number ", sent[i - 1].nth, " (",
                  sent[i - 1].seq, ")");
    }
  }
}

// What was begun after another device had its answer comes after that one's entry.
void RealTimeOrder(const Run& run, Report* report) {
  struct Span {
    const Attempt* attempt = nullptr;
    int64_t seq = 0;
    Order invoked = 0;
    Order answered = kNever;
  };
  std::map<int64_t, std::vector<Span>> by_conversation;
  for (const auto& [key, attempts] : run.attempts) {
    const StoredEntry* const entry = FindEntry(run, key);
    if (entry == nullptr) continue;
    Span span{attempts.front(), entry->seq, attempts.front()->invoked, kNever};
    for (const Attempt* attempt : attempts) {
      if (MadeAnEntry(*attempt)) span.answered = std::min(span.answered, attempt->answered);
    }
    by_conversation[std::get<0>(key)].push_back(span);
  }
  for (auto& [conversation, spans] : by_conversation) {
    std::sort(spans.begin(), spans.end(),
              [](const Span& a, const Span& b) { return a.seq > b.seq; });
    const Span* earliest = nullptr;
    for (const Span& span : spans) {
      if (earliest != nullptr && earliest->answered < span.invoked &&
          earliest->attempt->device != span.attempt->device) {
        report->Add(run.NameOf(*span.attempt), " was begun after ", run.NameOf(*earliest->attempt),
                    " had been acknowledged, and is stored before it: ", span.seq, ", ",
                    earliest->seq);
      }
      if (earliest == nullptr || span.answered < earliest->answered) earliest = &span;
    }
  }
}

// The rows of stays say what the entries say.
void Stays(const Run& run, Report* report) {
  for (const auto& [id, conversation] : run.stored.conversations) {
    if (conversation.low != 0) continue;
    std::map<int64_t, std::vector<StoredStay>> stays;
    for (const StoredEntry& entry : conversation.entries) {
      for (const int64_t person : entry.ends) {
        auto& theirs = stays[person];
        if (theirs.empty() || theirs.back().end_seq.has_value()) {
          report->Add("entry ", entry.seq, " of conversation ", id, " ends a stay of ",
                      run.NameOf(person), " who is not in it");
        } else {
          theirs.back().end_seq = entry.seq;
        }
      }
      for (const int64_t person : entry.begins) {
        auto& theirs = stays[person];
        if (!theirs.empty() && !theirs.back().end_seq.has_value()) {
          report->Add("entry ", entry.seq, " of conversation ", id, " begins a stay of ",
                      run.NameOf(person), " who is in it already");
        }
        StoredStay stay;
        stay.join_seq = entry.seq;
        stay.first_seq = entry.begins_first == 0 ? entry.seq : entry.begins_first;
        theirs.push_back(stay);
      }
    }
    const auto same = [](const StoredStay& a, const StoredStay& b) {
      return a.join_seq == b.join_seq && a.first_seq == b.first_seq && a.end_seq == b.end_seq;
    };
    std::set<int64_t> people;
    for (const auto& [person, list] : stays) people.insert(person);
    for (const auto& [person, list] : conversation.stays) people.insert(person);
    for (const int64_t person : people) {
      const auto found = conversation.stays.find(person);
      const std::vector<StoredStay> rows =
          found == conversation.stays.end() ? std::vector<StoredStay>() : found->second;
      const std::vector<StoredStay>& told = stays[person];
      if (!std::equal(rows.begin(), rows.end(), told.begin(), told.end(), same)) {
        report->Add("the stays of ", run.NameOf(person), " in conversation ", id,
                    " are not what its entries say");
      }
    }
  }
}

}  // namespace im::faults
