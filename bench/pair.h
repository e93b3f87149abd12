// Two people who answer each other's messages as soon as they come.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/crowd.h"
#include "bench/histogram.h"
#include "bench/lean_client.h"
#include "bench/messages.h"
#include "common/base/mutex.h"

namespace im::bench {

// A direct conversation with a number of balls in the air (the window): each ball is one message at
// a time, sent by one of the two and, when the other has it, answered by the other's. Thread-safe.
class Pair {
 public:
  struct Result {
    // Received by the peer, and how long after being sent (microseconds), while measuring.
    int64_t measured = 0;
    Histogram latency;
    // Received at all.
    int64_t messages = 0;
    int64_t lost = 0;
    int64_t duplicated = 0;
    int64_t reordered = 0;
    int64_t corrupted = 0;
    int64_t repeats = 0;
    // The first thing that went wrong with the stream or an answer.
    absl::Status failure;
  };

  // `number` must differ between the pairs of a run; its people are two of the crowd, which must
  // outlive it.
  Pair(uint32_t number, int window, const Crowd* crowd);

  // Finds the conversation and opens both streams.
  absl::Status Connect();
  // Both have caught up.
  bool ready() const;
  absl::Status failure() const;
  void Start();
  void Measure(bool on);
  // What is in the air still lands, but is not answered.
  void Finish();
  bool landed() const;
  // After Finish: reads the conversation back and judges.
  Result Judge();

 private:
  struct Ball {
    // The message in the air, or, if none is, the next.
    uint32_t number = 0;
    bool in_the_air = false;
    std::chrono::steady_clock::time_point sent;
    // By number: the seq the peer received it with, and the one that the sender was told (0: not).
    std::vector<int64_t> received;
    std::vector<int64_t> stored;
  };
  // One of the two.
  class Side : public LeanClient::Listener {
   public:
    Side(Pair* pair, int index, const Person& person)
        : pair_(pair), index_(index), person_(person) {}
    void OnFrame(const gateway::v1::ServerFrame& frame) override;
    void OnClosed(const absl::Status& status) override;

    Pair* const pair_;
    const int index_;
    const Person& person_;
    // All below guarded by the pair's mutex, but the client's own calls.
    bool caught_up_ = false;
    NewestSeq newest_received_;
    std::unique_ptr<LeanClient> client_;
  };

  // Who sends this message of a ball.
  int SenderOf(uint32_t ball, uint32_t number) const { return (ball + number) % 2; }
  // The ball and the number of a request of ours.
  bool ParseRequestId(const std::string& id, uint32_t* ball, uint32_t* number) const;

  void Throw(uint32_t ball, uint32_t number);
  void Received(Side* side, const chat::v1::Entry& entry);
  void Stored(const gateway::v1::Answer& answer);
  void Fail(const absl::Status& status) IM_REQUIRES(mu_);
  void Compare(const StoredMessages& stored) IM_REQUIRES(mu_);

  const uint32_t number_;
  const Crowd* const crowd_;
  int64_t conversation_id_ = 0;

  mutable Mutex mu_;
  std::vector<Ball> balls_ IM_GUARDED_BY(mu_);
  bool measuring_ IM_GUARDED_BY(mu_) = false;
  bool finishing_ IM_GUARDED_BY(mu_) = false;
  bool closing_ IM_GUARDED_BY(mu_) = false;
  Result result_ IM_GUARDED_BY(mu_);

  // Last: their streams call back until they are gone.
  Side one_;
  Side other_;
};

}  // namespace im::bench
