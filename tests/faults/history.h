// What happened in a run of the fault test, as clients know it: everything they did, everything
// they were answered, everything their devices were told.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/mutex.h"
#include "im/chat/v1/entries.pb.h"

namespace im::faults {

// Logical time: rises with everything that is recorded. Never 0, which means: not yet.
using Order = int64_t;
constexpr Order kNever = INT64_MAX;

using RequestId = std::array<uint8_t, 16>;
RequestId ToRequestId(std::string_view bytes);
std::string Hex(const RequestId& id);

// The field numbers of im.chat.v1.Entry.body, as in the column chat.entries.kind.
enum class EntryKind : int {
  kMessage = 10,
  kGroupCreated = 11,
  kMembersAdded = 12,
  kMemberRemoved = 13,
  kMemberLeft = 14,
  kMemberReturned = 15,
  kGroupRenamed = 16,
};
const char* NameOf(EntryKind kind);

// Of an entry's body as the client wrote it or was sent it, and as it is stored.
uint64_t HashOf(std::string_view bytes);
uint64_t HashOfBody(const chat::v1::Entry& entry);

enum class Outcome {
  // No answer, or one that leaves open what happened.
  kUnknown,
  kDone,
  kRefused,
};

// One try at making an entry. Tries with the same person, conversation and request id belong
// together: the first, and its repetitions.
struct Attempt {
  EntryKind kind = EntryKind::kMessage;
  int64_t person = 0;
  int device = 0;
  // 0: a group that is being made, until the answer.
  int64_t conversation = 0;
  RequestId request_id{};
  // Of the content; only of messages.
  uint64_t hash = 0;
  // Which of the messages that the device sends to this conversation one after the other; 0: none
  // of these.
  int64_t nth = 0;
  Order invoked = 0;
  Order answered = kNever;
  Outcome outcome = Outcome::kUnknown;
  // When done. seq 0: nothing was to be changed. Microseconds since 1970, 0: not told.
  int64_t seq = 0;
  int64_t at = 0;
  // When not.
  std::string reason;
};

// Blocking somebody or ending that, until it succeeded.
struct BlockChange {
  int64_t person = 0;
  int64_t other = 0;
  bool block = false;
  Order invoked = 0;
  Order answered = kNever;
  Outcome outcome = Outcome::kUnknown;
};

// A MarkRead with an answer.
struct Reading {
  int64_t person = 0;
  int64_t conversation = 0;
  Order invoked = 0;
  Order answered = 0;
  int64_t asked = 0;
  int64_t read_seq = 0;
  int64_t unread = 0;
};

// Something that a device was told, or that happened to it.
struct Told {
  enum class Kind {
    // Connects with what it has: `first` is its position in the own log, each kHad that follows the
    // newest `seq` of a conversation. What is not named it does not have.
    kConnects,
    kHad,
    // The data is another: nothing is had any more.
    kForgot,
    // A conversation in the list, from which on (seq) entries are expected; or one of a resume.
    // first: the read mark; second: unread.
    kListed,
    kConversation,
    // hash, request_id, user: the sender, first: the time, second: the EntryKind.
    kEntry,
    // Entries first to seq are left out.
    kGap,
    // first: read, second: delivered.
    kWatermark,
    // Records of the own log, first: the position. user: the other, second: state, plus 100 if
    // blocked.
    kOwnContact,
    // second: the reachability.
    kOwnSettings,
    // seq: the mark.
    kOwnReadMark,
    // Everything is there; or the stream ended, first: the status code, second: 1 if for good.
    kLive,
    kDisconnected,
  };
  Kind kind = Kind::kConnects;
  Order order = 0;
  int64_t conversation = 0;
  int64_t seq = 0;
  int64_t user = 0;
  int64_t first = 0;
  int64_t second = 0;
  uint64_t hash = 0;
  RequestId request_id{};
};

struct Device {
  enum class Part {
    // Takes part in the run.
    kUser,
    // Connected with nothing after the end.
    kFresh,
    // Read every conversation from its first entry to the last, after the end.
    kReader,
  };
  std::string name;
  int64_t person = 0;
  Part part = Part::kUser;
  std::vector<Told> told;
};

// Something that a device still lacked when its time to come to rest was over.
struct Lag {
  int device = 0;
  // What it is about, e.g. "conversation 4".
  std::string about;
  int64_t has = 0;
  int64_t should = 0;
};

// A time without faults and without load, at the end of which every device must have everything.
struct Rest {
  // When the last fault was healed, and when it was over.
  Order began = 0;
  Order ended = 0;
  std::vector<Lag> lags;
};

struct History {
  std::map<int64_t, std::string> people;
  std::vector<Device> devices;
  std::vector<Attempt> attempts;
  std::vector<BlockChange> blocks;
  std::vector<Reading> readings;
  std::vector<Rest> rests;
  // What the nemesis did and whatever else helps to understand, with its time.
  std::vector<std::pair<Order, std::string>> notes;
};

// Writes the history as lines of JSON, a file for each kind of record and for each device.
void WriteHistory(const History& history, const std::string& folder);

// Takes the history down while it happens. Thread-safe.
class Recorder {
 public:
  Recorder() = default;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void AddPerson(int64_t id, const std::string& name);
  int AddDevice(const std::string& name, int64_t person, Device::Part part);
  // Fills in the order.
  void Tell(int device, Told told);
  // Fills in `invoked`; returns a handle for Answered.
  size_t Begin(Attempt attempt);
  // For who learns it only from the call that was begun.
  void SetRequestId(size_t attempt, const RequestId& id);
  // Takes the outcome and what belongs to it from `answer`.
  void Answered(size_t attempt, const Attempt& answer);
  size_t Begin(BlockChange change);
  void Answered(size_t change, Outcome outcome);
  Order Now();
  void Add(Reading reading);
  void Add(Rest rest);
  void Note(const std::string& text);

  struct Counts {
    int64_t acknowledged = 0;
    int64_t refused = 0;
    int64_t unknown = 0;
    int64_t seen = 0;
    int64_t disconnected = 0;
  };
  Counts counts();
  // Empty afterwards.
  History Take();

 private:
  Mutex mu_;
  Order now_ IM_GUARDED_BY(mu_) = 0;
  History history_ IM_GUARDED_BY(mu_);
  Counts counts_ IM_GUARDED_BY(mu_);
};

}  // namespace im::faults
