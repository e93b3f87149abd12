// One thing that goes wrong.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/faults/set_up.h"

namespace im::faults {

// The same numbers for the same seed on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // In [least, most].
  int64_t Between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(engine_() % (static_cast<uint64_t>(most - least) + 1));
  }
  std::chrono::milliseconds Between(std::chrono::milliseconds least,
                                    std::chrono::milliseconds most) {
    return std::chrono::milliseconds(Between(least.count(), most.count()));
  }
  template <typename T>
  const T& OneOf(const std::vector<T>& choices) {
    return choices[static_cast<size_t>(Between(0, static_cast<int64_t>(choices.size()) - 1))];
  }
  template <typename T>
  void Shuffle(std::vector<T>* list) {
    for (size_t i = list->size(); i > 1; --i) {
      std::swap((*list)[i - 1],
                (*list)[static_cast<size_t>(Between(0, static_cast<int64_t>(i) - 1))]);
    }
  }

 private:
  std::mt19937_64 engine_;
};

// `begin`, then after between `least` and `most` `heal`, on one thread; both fail by exceptions.
// What `begin` chose is kept for `heal`, which also undoes half of a `begin` that threw.
struct Fault {
  std::string name;
  std::string what;
  // What must be whole for it, and is not meanwhile: names of services, postgres, network. Two
  // faults that touch the same are never under way at once.
  std::set<std::string> touches;
  std::chrono::milliseconds least{0};
  std::chrono::milliseconds most{0};
  // Returns what was chosen.
  std::function<std::string(SetUp&, Random*)> begin;
  std::function<void(SetUp&)> heal;
  // Why it cannot be done here; empty: it can. None: always possible.
  std::function<std::string(SetUp&)> obstacle;
};

std::vector<Fault> ProcessFaults();
std::vector<Fault> InstanceFaults();
std::vector<Fault> ClockFaults();
std::vector<Fault> PostgresFaults();
std::vector<Fault> NetworkFaults();

}  // namespace im::faults
