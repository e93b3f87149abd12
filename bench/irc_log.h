// Lines of an IRC log: "[HH:MM] <nick> text" and "=== nick has joined ...".
#pragma once

#include <string>
#include <string_view>

namespace im::bench {

struct IrcLine {
  enum Kind {
    kMessage,
    kJoined,
    // Left or quit.
    kLeft,
    // Kicked off by somebody.
    kRemoved,
    // text: the new nick.
    kRenamed,
    // Actions ("* nick waves"), topics, modes, and what is no line of a log.
    kOther,
  };
  Kind kind = kOther;
  // Of a message: minutes since midnight.
  int minute = 0;
  std::string nick;
  // Of a message: its text, byte for byte.
  std::string text;
};

// `line` without its line feed.
IrcLine ParseIrcLine(std::string_view line);

}  // namespace im::bench
