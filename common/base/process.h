// The life of a daemon.
#pragma once

namespace im {

// Call first in main, before any thread: SIGTERM and SIGINT are blocked in all threads from here
// on, SIGPIPE is ignored, libsodium is ready.
void InitProcess();

// Waits for SIGTERM or SIGINT. A second one during the shutdown that follows ends the process.
void WaitForShutdownSignal();

}  // namespace im
