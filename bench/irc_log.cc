#include "bench/irc_log.h"

#include <optional>
#include <string>

namespace im::bench {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool TakePrefix(std::string_view* text, std::string_view prefix) {
  if (text->substr(0, prefix.size()) != prefix) return false;
  text->remove_prefix(prefix.size());
  return true;
}

// "HH:MM" to minutes.
std::optional<int> ParseTime(std::string_view text) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  for (const int i : {0, 1, 3, 4}) {
    if (!IsDigit(text[i])) return std::nullopt;
  }
  const int hour = (text[0] - '0') * 10 + text[1] - '0';
  const int minute = (text[3] - '0') * 10 + text[4] - '0';
  if (hour > 23 || minute > 59) return std::nullopt;
  return hour * 60 + minute;
}

// Behind "has joined" and its like a channel, a reason or nothing follows. People also write of
// themselves in this form ("=== ann has left the building").
bool EndsSentence(std::string_view rest) {
  return rest.empty() || rest.substr(0, 2) == " #" || rest.substr(0, 2) == " (" ||
         rest.substr(0, 2) == " [";
}

// A nick as it is written everywhere: some loggers put a blank behind a bracket ("<g[r] eek>").
// Empty: it is none.
std::string ParseNick(std::string_view text) {
  std::string nick;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ' ') {
      nick += text[i];
    } else if (i == 0 || text[i - 1] != ']') {
      return {};
    }
  }
  return nick;
}

std::string_view TrimEnd(std::string_view text) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

IrcLine ParseMessage(std::string_view line) {
  IrcLine parsed;
  // "[HH:MM] <nick> text"
  if (line.size() < 10 || line[0] != '[' || line[6] != ']') return parsed;
  const std::optional<int> minute = ParseTime(line.substr(1, 5));
  if (!minute || line.substr(7, 2) != " <") return parsed;
  line.remove_prefix(9);
  const size_t end = line.find('>');
  if (end == std::string_view::npos) return parsed;
  parsed.nick = ParseNick(line.substr(0, end));
  line.remove_prefix(end + 1);
  if (parsed.nick.empty() || !TakePrefix(&line, " ") || line.empty()) return {};
  parsed.kind = IrcLine::kMessage;
  parsed.minute = *minute;
  parsed.text = line;
  return parsed;
}

IrcLine ParseNotice(std::string_view line) {
  struct Verb {
    std::string_view words;
    IrcLine::Kind kind;
  };
  static constexpr Verb kVerbs[] = {{" has joined", IrcLine::kJoined},
                                    {" has left", IrcLine::kLeft},
                                    {" has quit", IrcLine::kLeft},
                                    {" was kicked off", IrcLine::kRemoved},
                                    {" is now known as ", IrcLine::kRenamed}};
  // The first that occurs.
  const Verb* verb = nullptr;
  size_t place = line.size();
  for (const Verb& one : kVerbs) {
    const size_t found = line.find(one.words);
    if (found >= place) continue;
    place = found;
    verb = &one;
  }
  if (verb == nullptr) return {};
  const std::string_view rest = line.substr(place + verb->words.size());
  std::string_view who = TrimEnd(line.substr(0, place));
  IrcLine parsed;
  parsed.kind = verb->kind;
  if (verb->kind == IrcLine::kRenamed) {
    parsed.text = ParseNick(TrimEnd(rest));
    if (parsed.text.empty()) return {};
  } else {
    if (!EndsSentence(rest)) return {};
    // "nick [user@host]"; the address may be missing.
    const size_t address = who.rfind(" [");
    if (address != std::string_view::npos && who.back() == ']')
      who = TrimEnd(who.substr(0, address));
  }
  parsed.nick = ParseNick(who);
  return parsed.nick.empty() ? IrcLine() : parsed;
}

}  // namespace

IrcLine ParseIrcLine(std::string_view line) {
  if (TakePrefix(&line, "=== ")) return ParseNotice(line);
  return ParseMessage(line);
}

}  // namespace im::bench
