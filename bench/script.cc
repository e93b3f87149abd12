#include "bench/script.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "bench/irc_log.h"
#include "common/base/text.h"

namespace im::bench {
namespace {

// im.chat.v1.Text.body.
constexpr size_t kLongestText = 16'384;
constexpr int kMinutesPerDay = 24 * 60;

struct Person {
  std::string first_nick;
  bool speaks = false;
  enum { kNever, kMember, kLeft, kRemoved } state = kNever;
  // Index among the speakers, once it is known who they are.
  int speaker = -1;
};

class Builder {
 public:
  absl::Status Take(const IrcLine& line, int number) {
    switch (line.kind) {
      case IrcLine::kMessage:
        return Say(line, number);
      case IrcLine::kJoined:
        Join(PersonOf(line.nick));
        break;
      case IrcLine::kLeft:
        End(PersonOf(line.nick), Step::kLeave);
        break;
      case IrcLine::kRemoved:
        End(PersonOf(line.nick), Step::kRemove);
        break;
      case IrcLine::kRenamed: {
        // Whoever else had the new nick before has none now.
        const int person = PersonOf(line.nick);
        holders_.erase(line.nick);
        holders_[line.text] = person;
        break;
      }
      case IrcLine::kOther:
        break;
    }
    return absl::OkStatus();
  }

  Script Finish() {
    Script script;
    for (Person& person : people_) {
      if (!person.speaks) continue;
      person.speaker = static_cast<int>(script.speakers.size());
      script.speakers.push_back(person.first_nick);
    }
    SpreadMinutes();
    for (Step& step : steps_) {
      step.speaker = people_[step.speaker].speaker;
      if (step.speaker < 0) continue;
      script.messages += step.kind == Step::kSay;
      script.steps.push_back(std::move(step));
    }
    return script;
  }

 private:
  int PersonOf(const std::string& nick) {
    const auto [place, added] = holders_.emplace(nick, static_cast<int>(people_.size()));
    if (added) people_.push_back({.first_nick = nick});
    return place->second;
  }

  void Add(Step::Kind kind, int person, std::string text = {}) {
    steps_.push_back({kind, person, std::move(text), 60.0 * minutes_});
  }

  void Join(int person) {
    auto& state = people_[person].state;
    if (state == Person::kMember) return;
    Add(state == Person::kLeft ? Step::kReturn : Step::kAdd, person);
    state = Person::kMember;
  }

  void End(int person, Step::Kind kind) {
    auto& state = people_[person].state;
    if (state != Person::kMember) return;
    Add(kind, person);
    state = kind == Step::kLeave ? Person::kLeft : Person::kRemoved;
  }

  absl::Status Say(const IrcLine& line, int number) {
    if (!IsText(line.text)) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, " is not UTF-8 text and cannot be sent byte for byte"));
    }
    if (line.text.size() > kLongestText) {
      return absl::InvalidArgumentError(absl::StrCat("line ", number, " holds ", line.text.size(),
                                                     " bytes of text; a message ", "takes ",
                                                     kLongestText));
    }
    // Past midnight the clock starts again; a minute that goes back is a line out of order.
    if (last_minute_ >= 0) {
      const int passed = (line.minute - last_minute_ + kMinutesPerDay) % kMinutesPerDay;
      if (passed < kMinutesPerDay / 2) minutes_ += passed;
    }
    last_minute_ = line.minute;
    const int person = PersonOf(line.nick);
    Join(person);
    people_[person].speaks = true;
    Add(Step::kSay, person, line.text);
    return absl::OkStatus();
  }

  // The log tells minutes: what happened in one is spread over it evenly.
  void SpreadMinutes() {
    for (size_t begin = 0; begin < steps_.size();) {
      size_t end = begin;
      while (end < steps_.size() && steps_[end].at == steps_[begin].at) ++end;
      for (size_t i = begin; i < end; ++i) {
        steps_[i].at += 60.0 * static_cast<double>(i - begin) / static_cast<double>(end - begin);
      }
      begin = end;
    }
  }

  std::vector<Person> people_;
  // Who has which nick.
  std::map<std::string, int> holders_;
  std::vector<Step> steps_;
  int last_minute_ = -1;
  int minutes_ = 0;
};

}  // namespace

absl::StatusOr<Script> MakeScript(std::string_view log) {
  Builder builder;
  for (int number = 1; !log.empty(); ++number) {
    const size_t end = log.find('\n');
    const absl::Status status = builder.Take(ParseIrcLine(log.substr(0, end)), number);
    if (!status.ok()) return status;
    log.remove_prefix(end == std::string_view::npos ? log.size() : end + 1);
  }
  Script script = builder.Finish();
  if (script.messages == 0) {
    return absl::InvalidArgumentError("no line of the form \"[HH:MM] <nick> text\"");
  }
  return script;
}

absl::StatusOr<Script> ReadScript(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  if (in) text << in.rdbuf();
  if (!in) {
    return absl::NotFoundError(absl::StrCat("cannot read ", file, ": ", std::strerror(errno)));
  }
  absl::StatusOr<Script> script = MakeScript(text.str());
  if (!script.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": ",
        std::string(script.status().message().data(), script.status().message().size())));
  }
  return script;
}

}  // namespace im::bench
