// What the processes of the set-up use of the machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "bench/json.h"
#include "bench/target.h"

namespace im::bench {

struct ProcessUse {
  // Processor time so far; of postgres also that of its backends, those that ended included.
  std::chrono::microseconds cpu{};
  // Resident memory; of postgres the proportional share, since its backends share most of theirs.
  int64_t rss_bytes = 0;
};

// By name: auth, chat, presence, gateway, postgres and bench, which is the generator itself. Only
// bench if the target is not a set-up of this machine.
using ProcessUses = std::map<std::string, ProcessUse>;
ProcessUses LookAtProcesses(const Target& target);

// What was used between two looks: shares of one core, and the memory at the second.
struct ProcessShare {
  double cpu_share = 0;
  std::chrono::microseconds cpu{};
  int64_t rss_bytes = 0;
};
using ProcessShares = std::map<std::string, ProcessShare>;
ProcessShares Between(const ProcessUses& first, const ProcessUses& second, double seconds);

JsonObject ToJson(const ProcessShares& shares);
// One line.
std::string ToText(const ProcessShares& shares);

}  // namespace im::bench
