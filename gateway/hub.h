// Where links and sessions meet: what an instance says goes to the sessions that it concerns.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/base/mutex.h"
#include "gateway/links.h"
#include "gateway/options.h"
#include "gateway/passed_on.h"
#include "gateway/session_table.h"

namespace im::gateway {

// Thread-safe. Its lock is never held while a session is called.
class Hub : public LinkEvents {
 public:
  Hub(const Upstreams& upstreams, const rpc::ChannelTls& tls, const std::string& gateway_id,
      const LinkOptions& options, SessionTable* table);
  ~Hub() override;

  const Links& links() const { return *links_; }
  // Of the data; 0: not known yet.
  int64_t epoch() const { return epoch_.load(); }

  // The session is no longer waited for. Call when it leaves the table.
  void Forget(uint64_t session);
  // Call several times a second, from one thread.
  void Tick(std::chrono::steady_clock::time_point now);

  void OnLinkUp(Link* link, uint64_t generation, const pb::ServiceHello& hello) override;
  void OnLinkItem(Link* link, uint64_t generation, const pb::ServiceItem& item) override;
  void OnLinkDown(Link* link, uint64_t generation,
                  std::chrono::system_clock::time_point last_heard) override;

 private:
  using Steady = std::chrono::steady_clock::time_point;
  using Wall = std::chrono::system_clock::time_point;

  // What the hub knows of a link. A catch-up is asked once all sessions that were announced on it
  // are registered there.
  struct LinkState {
    uint64_t generation = 0;
    bool up = false;
    Wall last_heard;
    // Of the catch-up that was asked last.
    Wall asked_since;
    std::unordered_set<uint64_t> awaited;
    Steady awaited_until;
    bool announcing = false;
  };
  struct CatchUp {
    int link;
    Wall since;
    Steady due;
  };

  void LearnEpoch(const pb::ServiceHello& hello);
  void Publish(const Link& link, const pb::Publication& publication);
  void Answered(int link, uint64_t session);
  // The announced sessions are registered: schedules what the link missed.
  void Announced(LinkState* state, int link) IM_REQUIRES(mu_);
  void Schedule(int link, Wall since) IM_REQUIRES(mu_);

  const LinkOptions options_;
  SessionTable* const table_;
  std::atomic<int64_t> epoch_{0};
  PassedOn passed_on_;

  Mutex mu_;
  std::vector<LinkState> states_ IM_GUARDED_BY(mu_);
  std::vector<CatchUp> catch_ups_ IM_GUARDED_BY(mu_);

  // Last, so that the links end before what they call.
  std::unique_ptr<Links> links_;
};

}  // namespace im::gateway
