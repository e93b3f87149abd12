// Messages at a rate that does not wait for anybody, in conversations of mixed size.
#pragma once

#include "bench/outcome.h"
#include "bench/progress.h"
#include "bench/traffic.h"

namespace im::bench {

struct RateOptions {
  // Messages a second.
  double rate = 500;
  int conversations = 100;
  // People, all online, each in several conversations.
  int clients = 200;
  // Of every conversation; 0: mixed, as MembersOf says.
  int members = 0;
  double seconds = 10;
};

// Conversations are of mixed size, in turn, the same in every run: of a hundred 70 have two
// members, 20 have 5, 8 have 20 and 2 have 100.
inline constexpr int kMix = 100;
size_t MembersOf(int64_t conversation);

// What a message cost of the processor, beside what an Outcome says.
struct RateCost {
  double deliveries_per_second = 0;
  // Of the services and PostgreSQL, microseconds.
  double cpu_us_per_message = 0;
  double cpu_us_per_delivery = 0;
};

// Sends in random conversations of this traffic, which is connected; first one message in each of
// them, which is not measured. Then drains and judges.
absl::Status SendAtRate(const Target& target, double rate, double seconds, Traffic* traffic,
                        Crowd* crowd, Progress* progress, Outcome* outcome, RateCost* cost);

// With people and conversations that are new.
absl::Status RunRate(const Target& target, const RateOptions& options, Outcome* outcome,
                     RateCost* cost);

// A latency is from the moment at which a message was due, not sent: the waits that a stall causes
// are in it (no coordinated omission).
Outcome MeasureRate(const Target& target, const RateOptions& options);

}  // namespace im::bench
