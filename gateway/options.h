// What can be set at the gateway; main.cc fills it from the configuration.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace im::gateway {

using std::chrono::milliseconds;

struct SessionOptions {
  // How often each side gives a sign of life; three times this long silent is dead.
  milliseconds heartbeat{20'000};
  // From the call to the first frame.
  milliseconds hello_timeout{10'000};
  // How long a new session waits for the data's epoch, that is, for a chat instance.
  milliseconds epoch_wait{5'000};
  // How long a call waits for an instance to come back. Restarts take less than this.
  milliseconds call_wait{2'000};
  // Clients are told to come back within this time, spread evenly.
  milliseconds reconnect_jitter{5'000};
  // From a resume that failed to the word Resync, so that a broken service is not hammered.
  milliseconds resync_delay{2'000};
  // How often presence is asked at most to begin anew for a client that was too slow for it.
  milliseconds presence_refresh{5'000};
  // From the end of a session to the cut of its stream, if the client does not read the end.
  milliseconds linger{5'000};
  // Events that wait for a slow client; what is more is dropped and mended from the log.
  size_t queue_bytes = 256 << 10;
  // Calls and answers of one session that are under way; more are not read from its stream. Nor is
  // there more while calls of more than queue_bytes wait for an instance.
  size_t calls_in_flight = 1024;
  // Bytes that wait for an instance, beyond which calls to it are refused as OVERLOADED. What may
  // wait in all is far more, or a flood of calls would cut the link.
  size_t link_backlog = 4 << 20;
  // The largest frame and unary request. Below the 1 MB that a message between our processes may
  // have, so that no client can break a link.
  size_t max_frame_bytes = 512 << 10;
  size_t streams_per_account = 16;
  size_t max_streams = 50'000;
};

// The largest message that passes the door, in frames of the largest size: there must be room to
// read what is too large and say so with a reason.
inline constexpr size_t kDoorMessageFrames = 4;

struct LinkOptions {
  milliseconds heartbeat{1'000};
  milliseconds silence{5'000};
  milliseconds retry{100};
  // Bytes that may wait on one link.
  size_t queue_bytes = 64 << 20;
  // For how long no more messages go to a lane after the instance had no time for one. What waits
  // there, or for this gateway, takes ten times as long, so that nothing becomes idle.
  milliseconds lane_full{20};
  // Bytes put into one message, at least one item.
  size_t message_bytes = 512 << 10;
  // How far before the last sign of life a catch-up begins, and how much later it is repeated, for
  // commits that were still under way: no commit takes longer.
  milliseconds catch_up_margin{60'000};
};

struct Upstreams {
  std::vector<std::string> auth;
  std::vector<std::string> chat;
  std::vector<std::string> presence;
  // Packages of services that are no part of IM: PACKAGE=ADDRESS, comma-separated.
  std::string extra;
};

}  // namespace im::gateway
