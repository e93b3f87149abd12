// What a replay does, in order, made from a log before anything is sent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace im::bench {

struct Step {
  enum Kind {
    // The host adds the speaker.
    kAdd,
    // The speaker leaves, comes back, is removed by the host.
    kLeave,
    kReturn,
    kRemove,
    kSay,
  };
  Kind kind = kSay;
  // Index into Script::speakers.
  int speaker = 0;
  // Of kSay.
  std::string text;
  // When, in seconds of the log's time since its first message.
  double at = 0;
};

// Every speaker of the log is one person, whatever they are called in the course of it. Who never
// says anything is left out. A speaker is a member from their join on, or, where the log shows
// none, from their first message.
struct Script {
  // The first nick of each.
  std::vector<std::string> speakers;
  std::vector<Step> steps;
  int messages = 0;
};

// Fails if the log holds no message, or one that cannot be sent as it is (not UTF-8, holds NUL, or
// longer than 16 KB); the error names the line.
absl::StatusOr<Script> MakeScript(std::string_view log);
absl::StatusOr<Script> ReadScript(const std::string& file);

}  // namespace im::bench
