// The life of a daemon.
#pragma once

#include <chrono>

namespace im {

// Call first in main, before any thread: SIGTERM and SIGINT are blocked in all threads from here
// on, SIGPIPE is ignored, libsodium is ready, and as many files may be open as the hard limit
// allows.
void InitProcess();

// Waits for SIGTERM or SIGINT. A second one during the shutdown that follows ends the process, and
// so does `limit`, with status 1: a database that was stopped may hold threads for ever.
void WaitForShutdownSignal(std::chrono::seconds limit = std::chrono::seconds(10));

}  // namespace im
