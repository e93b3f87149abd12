// Judges a run: whether what clients were told, what their devices saw and what the database holds
// agree with what the service promises. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/faults/history.h"
#include "tests/faults/stored.h"

namespace im::faults {

struct Violation {
  // The name of the rule, e.g. "acknowledged_missing".
  std::string rule;
  // A sentence with ids.
  std::string what;
};

// Each rule is a function of its own; see docs/testing.md for the list.
std::vector<Violation> Check(const History& history, const Stored& stored);

// How often each rule was broken.
std::map<std::string, int> CountByRule(const std::vector<Violation>& violations);

}  // namespace im::faults
