// What goes wrong, and when: faults chosen by a seeded generator, one or two at a time, with pauses
// in which everything heals.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/faults/set_up.h"

namespace im::faults {

// For the history.
struct FaultNote {
  enum class Kind {
    kBegun,
    kHealed,   // what was done is undone
    kHealthy,  // everything serves again
    kSkipped,  // cannot be done here
    kFailed,   // could not be done or undone, a process ended by itself, or did not become healthy
  };
  Kind kind = Kind::kBegun;
  std::string fault;   // its name, "kill-chat"
  std::string detail;  // "chat-2", "after 3.2 s"
  std::chrono::steady_clock::time_point at;
};
std::string ToText(const FaultNote& note);

struct FaultDescription {
  std::string name;
  std::string what;
};
// All that there are.
std::vector<FaultDescription> ListFaults();

struct NemesisOptions {
  uint64_t seed = 1;
  // By name; empty: all. Unknown ones throw std::invalid_argument.
  std::vector<std::string> faults;
  // Whether two may be under way at once.
  bool pairs = true;
  // Between two rounds, after everything is healthy again.
  std::chrono::milliseconds pause{3'000};
  // What must serve again within this time after the last of a round was healed.
  std::chrono::milliseconds recovery{60'000};
  // Called on the nemesis' thread.
  std::function<void(const FaultNote&)> note;
};

// What the options ask of the set-up (a disk that can be filled, for instance).
SetUpOptions NeededBy(const NemesisOptions& options);

// Owns one thread. The set-up must outlive it.
class Nemesis {
 public:
  Nemesis(SetUp* set_up, NemesisOptions options);
  // Stops.
  ~Nemesis();
  Nemesis(const Nemesis&) = delete;
  Nemesis& operator=(const Nemesis&) = delete;

  void Start();
  // Begins nothing more, heals what is under way and waits until everything is healthy. False: it
  // did not become so, or something failed (see the notes).
  bool Stop();

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace im::faults
