#include "bench/irc_log.h"

#include <optional>

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

IrcLine ParseMessage(std::string_view line) {
  IrcLine parsed;
  // "[HH:MM] <nick> text"
  if (line.size() < 10 || line[0] != '[' || line[6] != ']') return parsed;
  const std::optional<int> minute = ParseTime(line.substr(1, 5));
  if (!minute || line.substr(7, 2) != " <") return parsed;
  line.remove_prefix(9);
  const size_t end = line.find('>');
  if (end == std::string_view::npos || end == 0) return parsed;
  const std::string_view nick = line.substr(0, end);
  if (nick.find(' ') != std::string_view::npos) return parsed;
  line.remove_prefix(end + 1);
  if (!TakePrefix(&line, " ") || line.empty()) return parsed;
  parsed.kind = IrcLine::kMessage;
  parsed.minute = *minute;
  parsed.nick = nick;
  parsed.text = line;
  return parsed;
}

IrcLine ParseNotice(std::string_view line) {
  IrcLine parsed;
  const size_t end = line.find(' ');
  if (end == std::string_view::npos || end == 0) return parsed;
  const std::string_view nick = line.substr(0, end);
  line.remove_prefix(end);
  if (TakePrefix(&line, " is now known as ")) {
    while (!line.empty() && line.back() == ' ') line.remove_suffix(1);
    if (line.empty() || line.find(' ') != std::string_view::npos) return parsed;
    parsed.kind = IrcLine::kRenamed;
    parsed.nick = nick;
    parsed.text = line;
    return parsed;
  }
  // " [user@host]  has joined #channel"; the address may be missing.
  while (TakePrefix(&line, " ")) {
  }
  if (!line.empty() && line.front() == '[') {
    const size_t close = line.find("] ");
    if (close == std::string_view::npos) return parsed;
    line.remove_prefix(close + 1);
    while (TakePrefix(&line, " ")) {
    }
  }
  IrcLine::Kind kind = IrcLine::kOther;
  if (TakePrefix(&line, "has joined")) {
    kind = IrcLine::kJoined;
  } else if (TakePrefix(&line, "has left") || TakePrefix(&line, "has quit")) {
    kind = IrcLine::kLeft;
  } else if (TakePrefix(&line, "was kicked off")) {
    kind = IrcLine::kRemoved;
  }
  if (kind == IrcLine::kOther || !EndsSentence(line)) return parsed;
  parsed.kind = kind;
  parsed.nick = nick;
  return parsed;
}

}  // namespace

IrcLine ParseIrcLine(std::string_view line) {
  if (TakePrefix(&line, "=== ")) return ParseNotice(line);
  return ParseMessage(line);
}

}  // namespace im::bench
