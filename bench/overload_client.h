// One client of the overload scenario: sends when it is told to, whatever became of the last.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bench/histogram.h"
#include "bench/lean_client.h"
#include "common/base/mutex.h"

namespace im::bench {

// Thread-safe.
class OverloadClient : private LeanClient::Listener {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Counts {
    int64_t sent = 0;
    int64_t acknowledged = 0;
    int64_t refused = 0;
    int64_t untyped = 0;
    Histogram accepted_latency;
    Histogram refused_latency;
    absl::Status failure;
  };

  // `number` must differ between the clients of a run.
  OverloadClient(uint32_t number, ClientLoop* loop, const std::string& token,
                 int64_t conversation_id);
  ~OverloadClient() override;

  bool ready() const;
  // Sends a message that was due then.
  void Send(Time due);
  // Sends the next one whenever an answer comes, so many at once; 0: no more.
  void Loop(int window);
  // Messages without an answer.
  size_t waiting() const;
  // Takes what was counted since the last call.
  Counts Take();
  // The request ids of all messages that were acknowledged so far, with their seqs.
  std::vector<std::pair<std::string, int64_t>> Acknowledged() const;
  int64_t conversation_id() const { return conversation_id_; }

 private:
  void OnFrame(const gateway::v1::ServerFrame& frame) override;
  void OnClosed(const absl::Status& status) override;
  std::string RequestId(uint64_t call_id) const;

  const uint32_t number_;
  const int64_t conversation_id_;
  const std::string run_;

  mutable Mutex mu_;
  bool ready_ IM_GUARDED_BY(mu_) = false;
  bool closing_ IM_GUARDED_BY(mu_) = false;
  int window_ IM_GUARDED_BY(mu_) = 0;
  uint64_t last_call_ IM_GUARDED_BY(mu_) = 0;
  std::unordered_map<uint64_t, Time> waiting_ IM_GUARDED_BY(mu_);
  std::vector<std::pair<uint64_t, int64_t>> acknowledged_ IM_GUARDED_BY(mu_);
  Counts counts_ IM_GUARDED_BY(mu_);

  // Last: calls back until it is gone.
  std::unique_ptr<LeanClient> client_;
};

}  // namespace im::bench
