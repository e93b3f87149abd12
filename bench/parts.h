// The two parts of a message's way, each alone: what they allow together is the measure of the
// whole.
#pragma once

#include "bench/outcome.h"
#include "bench/pairs.h"

namespace im::bench {

// As many messages in flight as with `pairs`, but only the append: im-chat's own writers, here in
// the generator, store them through im-chat's own SQL in the target's database. Nothing is sent to
// anybody. A latency is from handing a request to the writers until its answer.
Outcome MeasureAppend(const Target& target, const PairsOptions& options);

// As many streams and as many frames in flight as with `pairs`, but only the gateway: frames of a
// message's size that it does not know, each of which it answers itself, on the same stream. One
// round trip is one frame in and one out; a message is one in and two out (the answer and the
// event).
Outcome MeasureEcho(const Target& target, const PairsOptions& options);

}  // namespace im::bench
