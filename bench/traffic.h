// Messages in conversations of any size, followed to their last receiver.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bench/crowd.h"
#include "bench/lean_client.h"
#include "bench/messages.h"
#include "bench/outcome.h"
#include "common/base/random.h"

namespace im::bench {

// Everyone of a crowd online, and what is sent among them. A message is in flight until the last
// member but its sender's device has it. First AddGroup or Adopt, then Connect, then Send.
//
// Send, Measure and latency belong to the loop's thread (ClientLoop::Do); the rest to one other.
class Traffic {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Traffic(Crowd* crowd, Progress* progress) : crowd_(crowd), progress_(progress) {}
  ~Traffic();

  // By their places in the crowd; the first one owns it. Returns the conversation's place.
  absl::StatusOr<size_t> AddGroup(const std::vector<size_t>& members);
  // One that is there, and holds entries up to `last_seq`.
  void Adopt(int64_t conversation_id, int64_t last_seq, const std::vector<size_t>& members);
  size_t groups() const { return groups_.size(); }
  const std::vector<size_t>& members(size_t group) const { return groups_[group].members; }
  // Opens everybody's stream.
  absl::Status Connect();

  // Called on the loop whenever a message has landed; set before the first Send.
  void OnLanded(std::function<void(size_t group)> landed) { landed_ = std::move(landed); }
  // `due`: from when the latency counts.
  void Send(size_t group, size_t sender, Time due);
  // Counts and times what lands from now on, beginning anew, or no more.
  void Measure(bool on);
  const Histogram& latency() const { return latency_; }

  // Waits until nothing is in flight any more, or for ten seconds.
  void Drain();
  // Reads everything back, and fills in what was lost and the like, messages and latency.
  absl::Status Judge(Outcome* outcome);

  bool failed() const { return failed_.load(); }
  absl::Status failure();
  // While measuring: messages that landed, and receivers who got one. After Drain.
  int64_t landed() const { return landed_count_; }
  int64_t deliveries() const { return deliveries_; }

 private:
  struct Group {
    int64_t id = 0;
    // What it held before.
    int64_t first_seq = 0;
    std::vector<size_t> members;
    // The seqs at which its messages landed, by number.
    std::unordered_map<uint32_t, int64_t> seqs;
  };
  struct Flight {
    size_t group = 0;
    Time due;
    int64_t seq = 0;
    size_t missing = 0;
  };
  class Device : public LeanClient::Listener {
   public:
    Device(Traffic* traffic, ClientLoop* loop, const std::string& token)
        : traffic_(traffic), stream_(loop, token, this) {}
    bool OnBytes(std::string_view message) override { return traffic_->OnBytes(this, message); }
    void OnFrame(const gateway::v1::ServerFrame& frame) override { traffic_->OnFrame(frame); }
    void OnClosed(const absl::Status& status) override { traffic_->Fail(status); }
    void Send(const gateway::v1::ConnectRequest& frame) { stream_.Send(frame); }

    // By group.
    std::unordered_map<size_t, NewestSeq> newest;

   private:
    Traffic* const traffic_;
    LeanClient stream_;
  };
  struct Seen {
    std::string bytes;
    size_t group;
    uint32_t number;
    int64_t seq;
  };

  bool OnBytes(Device* device, std::string_view message);
  void OnFrame(const gateway::v1::ServerFrame& frame);
  void Delivered(Device* device, size_t group, uint32_t number, int64_t seq);
  void Fail(const absl::Status& status);

  Crowd* const crowd_;
  Progress* const progress_;
  // Conversations that others have played in hold their requests.
  const uint32_t run_ = static_cast<uint32_t>(RandomBelow(UINT32_MAX));
  std::vector<Group> groups_;
  std::unordered_map<int64_t, size_t> group_of_;
  std::atomic<size_t> ready_{0};
  std::atomic<bool> failed_{false};

  // The loop's.
  std::function<void(size_t group)> landed_;
  // What came last: the same bytes come to every receiver, and are read once.
  std::deque<Seen> seen_;
  std::unordered_map<uint32_t, Flight> flights_;
  uint32_t next_ = 0;
  bool measuring_ = false;
  bool closing_ = false;
  int64_t landed_count_ = 0;
  int64_t deliveries_ = 0;
  int64_t duplicated_ = 0;
  int64_t reordered_ = 0;
  int64_t corrupted_ = 0;
  Histogram latency_;
  absl::Status failure_;

  // Last: they call back until they are gone.
  std::vector<std::unique_ptr<Device>> devices_;
};

}  // namespace im::bench
