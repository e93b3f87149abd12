// The threads that run gRPC's reactions.
#pragma once

namespace im::rpc {

// Keeps them for the rest of the process. gRPC ends them with the last channel or server that uses
// them and waits for their end, on whatever thread lets go of that last one: if this happens in a
// reaction (a call's ClientContext holds its channel), a thread waits for itself, and gRPC 1.51
// goes on with what is gone ("assertion failed: prior > 0"). Call before reactions are used; again
// does nothing.
void KeepReactionThreads();

}  // namespace im::rpc
