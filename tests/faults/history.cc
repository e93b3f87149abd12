#include "tests/faults/history.h"

#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace im::faults {
namespace {

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&quoted, "\\u", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad4));
    } else {
      quoted += c;
    }
  }
  return quoted += '"';
}

// One object of numbers and texts on a line.
class Line {
 public:
  Line& Add(const char* name, int64_t number) { return AddRaw(name, absl::StrCat(number)); }
  Line& Add(const char* name, const std::string& text) { return AddRaw(name, Quoted(text)); }
  std::string Text() const { return text_ + "}\n"; }

 private:
  Line& AddRaw(const char* name, const std::string& value) {
    absl::StrAppend(&text_, text_.size() > 1 ? "," : "", "\"", name, "\":", value);
    return *this;
  }
  std::string text_ = "{";
};

const char* NameOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kUnknown:
      return "unknown";
    case Outcome::kDone:
      return "done";
    case Outcome::kRefused:
      return "refused";
  }
  return "";
}

const char* NameOf(Told::Kind kind) {
  switch (kind) {
    case Told::Kind::kConnects:
      return "connects";
    case Told::Kind::kHad:
      return "had";
    case Told::Kind::kForgot:
      return "forgot";
    case Told::Kind::kListed:
      return "listed";
    case Told::Kind::kConversation:
      return "conversation";
    case Told::Kind::kEntry:
      return "entry";
    case Told::Kind::kGap:
      return "gap";
    case Told::Kind::kWatermark:
      return "watermark";
    case Told::Kind::kOwnContact:
      return "own_contact";
    case Told::Kind::kOwnSettings:
      return "own_settings";
    case Told::Kind::kOwnReadMark:
      return "own_read_mark";
    case Told::Kind::kLive:
      return "live";
    case Told::Kind::kDisconnected:
      return "disconnected";
  }
  return "";
}

// kNever is not a number to read in a file.
int64_t Shown(Order order) { return order == kNever ? 0 : order; }

std::string ToJson(const Told& told) {
  Line line;
  line.Add("order", told.order).Add("what", NameOf(told.kind));
  if (told.conversation != 0) line.Add("conversation", told.conversation);
  if (told.seq != 0) line.Add("seq", told.seq);
  if (told.user != 0) line.Add("user", told.user);
  if (told.first != 0) line.Add("first", told.first);
  if (told.second != 0) line.Add("second", told.second);
  if (told.kind == Told::Kind::kEntry) line.Add("request_id", Hex(told.request_id));
  return line.Text();
}

std::string ToJson(const Attempt& attempt, const History& history) {
  return Line()
      .Add("what", NameOf(attempt.kind))
      .Add("person", attempt.person)
      .Add("device", history.devices[static_cast<size_t>(attempt.device)].name)
      .Add("conversation", attempt.conversation)
      .Add("request_id", Hex(attempt.request_id))
      .Add("nth", attempt.nth)
      .Add("invoked", attempt.invoked)
      .Add("answered", Shown(attempt.answered))
      .Add("outcome", NameOf(attempt.outcome))
      .Add("seq", attempt.seq)
      .Add("at", attempt.at)
      .Add("reason", attempt.reason)
      .Text();
}

void Write(const std::string& path, const std::function<void(std::ofstream&)>& write) {
  std::ofstream file(path);
  write(file);
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace

RequestId ToRequestId(std::string_view bytes) {
  RequestId id{};
  for (size_t i = 0; i < id.size() && i < bytes.size(); ++i) id[i] = static_cast<uint8_t>(bytes[i]);
  return id;
}

std::string Hex(const RequestId& id) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

const char* NameOf(EntryKind kind) {
  switch (kind) {
    case EntryKind::kMessage:
      return "message";
    case EntryKind::kGroupCreated:
      return "create";
    case EntryKind::kMembersAdded:
      return "add";
    case EntryKind::kMemberRemoved:
      return "remove";
    case EntryKind::kMemberLeft:
      return "leave";
    case EntryKind::kMemberReturned:
      return "return";
    case EntryKind::kGroupRenamed:
      return "rename";
  }
  return "unknown";
}

uint64_t HashOf(std::string_view bytes) { return std::hash<std::string_view>()(bytes); }

uint64_t HashOfBody(const chat::v1::Entry& entry) {
  switch (entry.body_case()) {
    case chat::v1::Entry::kMessage:
      return HashOf(entry.message().SerializeAsString());
    case chat::v1::Entry::kGroupCreated:
      return HashOf(entry.group_created().SerializeAsString());
    case chat::v1::Entry::kMembersAdded:
      return HashOf(entry.members_added().SerializeAsString());
    case chat::v1::Entry::kMemberRemoved:
      return HashOf(entry.member_removed().SerializeAsString());
    case chat::v1::Entry::kMemberLeft:
      return HashOf(entry.member_left().SerializeAsString());
    case chat::v1::Entry::kMemberReturned:
      return HashOf(entry.member_returned().SerializeAsString());
    case chat::v1::Entry::kGroupRenamed:
      return HashOf(entry.group_renamed().SerializeAsString());
    case chat::v1::Entry::BODY_NOT_SET:
      break;
  }
  return 0;
}

void WriteHistory(const History& history, const std::string& folder) {
  std::filesystem::create_directories(folder);
  Write(folder + "/attempts.jsonl", [&](std::ofstream& file) {
    for (const Attempt& attempt : history.attempts) file << ToJson(attempt, history);
  });
  Write(folder + "/blocks.jsonl", [&](std::ofstream& file) {
    for (const BlockChange& change : history.blocks) {
      file << Line()
                  .Add("person", change.person)
                  .Add("other", change.other)
                  .Add("block", change.block ? 1 : 0)
                  .Add("invoked", change.invoked)
                  .Add("answered", Shown(change.answered))
                  .Add("outcome", NameOf(change.outcome))
                  .Text();
    }
  });
  Write(folder + "/readings.jsonl", [&](std::ofstream& file) {
    for (const Reading& reading : history.readings) {
      file << Line()
                  .Add("person", reading.person)
                  .Add("conversation", reading.conversation)
                  .Add("invoked", reading.invoked)
                  .Add("answered", reading.answered)
                  .Add("asked", reading.asked)
                  .Add("read_seq", reading.read_seq)
                  .Add("unread", reading.unread)
                  .Text();
    }
  });
  Write(folder + "/notes.jsonl", [&](std::ofstream& file) {
    for (const auto& [id, name] : history.people) {
      file << Line().Add("person", id).Add("name", name).Text();
    }
    for (const auto& [order, text] : history.notes) {
      file << Line().Add("order", order).Add("note", text).Text();
    }
  });
  for (const Device& device : history.devices) {
    Write(folder + "/device-" + device.name + ".jsonl", [&](std::ofstream& file) {
      for (const Told& told : device.told) file << ToJson(told);
    });
  }
}

void Recorder::AddPerson(int64_t id, const std::string& name) {
  MutexLock lock(&mu_);
  history_.people[id] = name;
}

int Recorder::AddDevice(const std::string& name, int64_t person, Device::Part part) {
  MutexLock lock(&mu_);
  history_.devices.push_back({name, person, part, {}});
  return static_cast<int>(history_.devices.size()) - 1;
}

void Recorder::Tell(int device, Told told) {
  MutexLock lock(&mu_);
  told.order = ++now_;
  if (told.kind == Told::Kind::kEntry) ++counts_.seen;
  if (told.kind == Told::Kind::kDisconnected) ++counts_.disconnected;
  history_.devices[static_cast<size_t>(device)].told.push_back(told);
}

size_t Recorder::Begin(Attempt attempt) {
  MutexLock lock(&mu_);
  attempt.invoked = ++now_;
  ++counts_.unknown;
  history_.attempts.push_back(std::move(attempt));
  return history_.attempts.size() - 1;
}

void Recorder::SetRequestId(size_t attempt, const RequestId& id) {
  MutexLock lock(&mu_);
  history_.attempts[attempt].request_id = id;
}

void Recorder::Answered(size_t attempt, const Attempt& answer) {
  MutexLock lock(&mu_);
  Attempt& mine = history_.attempts[attempt];
  mine.answered = ++now_;
  mine.outcome = answer.outcome;
  mine.reason = answer.reason;
  mine.seq = answer.seq;
  mine.at = answer.at;
  if (answer.conversation != 0) mine.conversation = answer.conversation;
  if (answer.outcome == Outcome::kUnknown) return;
  --counts_.unknown;
  ++(answer.outcome == Outcome::kDone ? counts_.acknowledged : counts_.refused);
}

size_t Recorder::Begin(BlockChange change) {
  MutexLock lock(&mu_);
  change.invoked = ++now_;
  history_.blocks.push_back(change);
  return history_.blocks.size() - 1;
}

void Recorder::Answered(size_t change, Outcome outcome) {
  MutexLock lock(&mu_);
  history_.blocks[change].answered = ++now_;
  history_.blocks[change].outcome = outcome;
}

Order Recorder::Now() {
  MutexLock lock(&mu_);
  return ++now_;
}

void Recorder::Add(Reading reading) {
  MutexLock lock(&mu_);
  reading.answered = ++now_;
  history_.readings.push_back(reading);
}

void Recorder::Add(Rest rest) {
  MutexLock lock(&mu_);
  rest.ended = ++now_;
  history_.rests.push_back(std::move(rest));
}

void Recorder::Note(const std::string& text) {
  MutexLock lock(&mu_);
  history_.notes.emplace_back(++now_, text);
}

Recorder::Counts Recorder::counts() {
  MutexLock lock(&mu_);
  return counts_;
}

History Recorder::Take() {
  MutexLock lock(&mu_);
  return std::exchange(history_, History());
}

}  // namespace im::faults
