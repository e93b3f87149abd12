// Cleans up behind a run of the fault test, however it ends.
#pragma once

#include <functional>
#include <string>

namespace im::faults {

// Calls `run` in a process of its own and returns what it returns. When that process ends by a
// signal, or this one is told to end (SIGINT, SIGTERM, SIGHUP), what it made goes: its services,
// PostgreSQL with its disk, its network. `verdict` is told why, in words, and the exit status is
// 128 and the signal's number. Only for a process without threads.
int RunGuarded(const std::function<int()>& run,
               const std::function<void(const std::string& why)>& verdict);

}  // namespace im::faults
