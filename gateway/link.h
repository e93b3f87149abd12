// The gateway's side of a link: its standing stream to one instance of chat or presence.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "common/base/flush_scope.h"
#include "common/base/mutex.h"
#include "common/rpc/channel.h"
#include "gateway/lanes.h"
#include "gateway/options.h"
#include "im/internal/v1/link.grpc.pb.h"

namespace im::gateway {

namespace pb = im::internal::v1;

class Link;

// What is heard on a link. For one link Up comes first, then the items in their order, from one
// thread at a time; Down once, maybe from another thread while an item is handled: what belongs to
// an older generation is to be ignored. Never blocks.
class LinkEvents {
 public:
  virtual ~LinkEvents() = default;
  virtual void OnLinkUp(Link* link, uint64_t generation, const pb::ServiceHello& hello) = 0;
  virtual void OnLinkItem(Link* link, uint64_t generation, const pb::ServiceItem& item) = 0;
  // `last_heard`: when the instance last gave a sign of life.
  virtual void OnLinkDown(Link* link, uint64_t generation,
                          std::chrono::system_clock::time_point last_heard) = 0;
};

// Thread-safe. Comes back by itself; each time it is up has its own generation, 1, 2, 3, ... What
// is queued goes out in order, all that waits in one message, one message under way. Its lock is a
// leaf: Enqueue may be called under any other.
class Link : private Flushable {
 public:
  enum class Service { kChat, kPresence };

  Link(Service service, int index, std::string address, const rpc::ChannelTls& tls,
       std::string gateway_id, const LinkOptions* options, LinkEvents* events);
  ~Link() override;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  Service service() const { return service_; }
  // Its place among all links, from 0.
  int index() const { return index_; }
  const std::string& address() const { return address_; }

  // 0: not up.
  uint64_t generation() const { return up_generation_.load(); }
  // Bytes that wait.
  size_t backlog() const { return backlog_.load(); }
  Lanes& lanes() { return lanes_; }

  // false, and nothing done: that generation is over. Call Flush soon, without a lock; inside of a
  // FlushScope that happens at the scope's end.
  bool Enqueue(uint64_t generation, pb::GatewayItem item);
  void Flush();

  // Starts, beats and cuts. Call several times a second, from one thread.
  void Tick(std::chrono::steady_clock::time_point now);
  // Ends the stream and waits until its last event has been handled. Nothing starts it again.
  void Stop();

 private:
  class Stream;

  void Start();
  void FlushNow() override;
  void Heard(const std::shared_ptr<Stream>& stream, const pb::AttachResponse& response);
  void Written(const std::shared_ptr<Stream>& stream, bool ok);
  void Broken(const std::shared_ptr<Stream>& stream, const char* why);
  void Done();

  const Service service_;
  const int index_;
  const std::string address_;
  const std::string gateway_id_;
  const LinkOptions* const options_;
  LinkEvents* const events_;
  Lanes lanes_;
  const std::unique_ptr<pb::LinkService::Stub> stub_;

  std::atomic<uint64_t> up_generation_{0};
  std::atomic<size_t> backlog_{0};

  Mutex mu_;
  CondVar ended_;
  std::shared_ptr<Stream> stream_ IM_GUARDED_BY(mu_);
  int streams_ IM_GUARDED_BY(mu_) = 0;  // until their OnDone
  bool closing_ IM_GUARDED_BY(mu_) = false;
  bool overflowed_ IM_GUARDED_BY(mu_) = false;
  uint64_t generations_ IM_GUARDED_BY(mu_) = 0;
  std::deque<pb::GatewayItem> queue_ IM_GUARDED_BY(mu_);
  std::chrono::steady_clock::time_point last_heard_ IM_GUARDED_BY(mu_);
  std::chrono::steady_clock::time_point last_tick_ IM_GUARDED_BY(mu_);
  std::chrono::steady_clock::time_point last_sent_ IM_GUARDED_BY(mu_);
  std::chrono::steady_clock::time_point next_start_ IM_GUARDED_BY(mu_);
  std::chrono::system_clock::time_point last_life_ IM_GUARDED_BY(mu_);
};

}  // namespace im::gateway
