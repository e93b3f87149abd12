// A service's side of the links to the gateways: the direct bus.
//
// Each gateway keeps one stream to each instance. On it the gateway opens its sessions and passes
// their frames; the service answers and publishes events, for users, to all gateways that hold
// them. A link's state lives and dies with it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/flush_scope.h"
#include "common/base/mutex.h"
#include "common/base/workers.h"
#include "common/rpc/call.h"
#include "im/internal/v1/link.grpc.pb.h"

namespace im::bus {

// A device's stream at a gateway.
struct Session {
  uint64_t number = 0;
  rpc::Identity identity;
  presence::v1::Status status = presence::v1::STATUS_UNSPECIFIED;
  bool primary = false;
};

class LinkServer;
class LinkHandler;

// One gateway's stream. Thread-safe. Kept by shared_ptr; Send on a link that is down does nothing.
class Link
    : public grpc::ServerBidiReactor<internal::v1::AttachRequest, internal::v1::AttachResponse>,
      public std::enable_shared_from_this<Link>,
      private Flushable {
 public:
  Link(LinkServer* server, grpc::CallbackServerContext* context);

  // A random name of the gateway's run; empty until its hello.
  std::string gateway_id() const;
  // Puts an item behind those that wait. A full queue cuts the link: the gateway comes back and
  // catches up. Inside of a FlushScope it is written at the scope's end.
  void Send(internal::v1::ServiceItem item);
  void Answer(const Session& session, const internal::v1::SessionCall& call,
              absl::StatusOr<std::string> response);
  // Those of `users` (any order) who have a session here; each once.
  std::vector<int64_t> Held(const std::vector<int64_t>& users) const;
  // All users who have a session here.
  std::vector<int64_t> Users() const;
  // Ends the link; the gateway will come back.
  void Cut();
  // Whether the gateway is behind: what is to be written next has waited for longer than
  // LinkServerOptions.late, and an answer would wait as long.
  bool IsLate() const;
  // Of what waits to be written: all, or what resumes deliver.
  enum class Part { kAll, kDeliveries };
  // Blocks, so never on a reaction thread: until no more than `bytes` of it wait. False if the link
  // is down, or the time is over.
  bool WaitForRoom(Part part, size_t bytes, std::chrono::milliseconds timeout);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  friend class LinkServer;
  struct Waiting {
    internal::v1::ServiceItem item;
    size_t bytes;
    std::chrono::steady_clock::time_point since;
  };

  void Begin();
  void Handle(internal::v1::GatewayItem* item);
  void Open(const internal::v1::OpenSession& open);
  void Renew(const internal::v1::RenewSession& renew);
  void Close(uint64_t number, bool returning);
  void FlushNow() override;
  void WriteLocked() IM_REQUIRES(mu_);
  void FinishLocked(const grpc::Status& status) IM_REQUIRES(mu_);

  LinkServer* const server_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<Link> self_;  // until OnDone
  internal::v1::AttachRequest in_;

  mutable Mutex mu_;
  CondVar drained_;
  std::string gateway_id_ IM_GUARDED_BY(mu_);
  bool greeted_ IM_GUARDED_BY(mu_) = false;
  bool finished_ IM_GUARDED_BY(mu_) = false;
  // context_ may be gone: others hold a link for longer than its stream.
  bool done_ IM_GUARDED_BY(mu_) = false;
  // Its queue was full: it is being cut, and takes nothing more.
  bool overflowed_ IM_GUARDED_BY(mu_) = false;
  bool writing_ IM_GUARDED_BY(mu_) = false;
  std::deque<Waiting> waiting_ IM_GUARDED_BY(mu_);
  size_t waiting_bytes_ IM_GUARDED_BY(mu_) = 0;
  size_t delivery_bytes_ IM_GUARDED_BY(mu_) = 0;  // among them
  std::chrono::steady_clock::time_point last_write_ IM_GUARDED_BY(mu_);
  std::chrono::steady_clock::time_point last_read_ IM_GUARDED_BY(mu_);
  internal::v1::AttachResponse out_;  // while writing_
  std::unordered_map<uint64_t, Session> sessions_ IM_GUARDED_BY(mu_);
  std::unordered_map<int64_t, int> user_sessions_ IM_GUARDED_BY(mu_);
};

// What a service does with what gateways say. Called on reaction threads, for one link in order and
// one at a time: must not block.
class LinkHandler {
 public:
  virtual ~LinkHandler() = default;
  virtual void OnLinkUp(const std::shared_ptr<Link>&) {}
  // Its sessions are gone without OnSessionClosed.
  virtual void OnLinkDown(const std::shared_ptr<Link>& link) = 0;
  // Published events reach the session already; SessionOpened is sent after this returns.
  virtual void OnSessionOpened(const std::shared_ptr<Link>& link, const Session& session) = 0;
  virtual void OnSessionClosed(const std::shared_ptr<Link>& link, const Session& session,
                               bool returning) = 0;
  // Answer by link->Answer, from any thread.
  virtual void OnCall(const std::shared_ptr<Link>& link, const Session& session,
                      internal::v1::SessionCall call) = 0;
  virtual void OnResumeMore(const std::shared_ptr<Link>&, const Session&) {}
  // `since` in microseconds since 1970.
  virtual void OnCatchUp(const std::shared_ptr<Link>&, int64_t /*since*/) {}
  virtual void OnAnnounced(const std::shared_ptr<Link>&) {}
};

struct LinkServerOptions {
  rpc::Authenticate authenticate;
  // Links are taken only while this holds, so that no session is refused since the keys are not
  // known yet.
  std::function<bool()> ready;
  LinkHandler* handler = nullptr;
  // Bytes that may wait on one link, or it is cut.
  size_t max_queue_bytes = 64 << 20;
  // How long what is next may have waited before the gateway counts as behind.
  std::chrono::milliseconds late{300};
};

// Register with the server (rpc::ServerConfig.services). Thread-safe.
class LinkServer : public internal::v1::LinkService::CallbackService {
 public:
  explicit LinkServer(LinkServerOptions options);
  ~LinkServer() override;

  grpc::ServerBidiReactor<internal::v1::AttachRequest, internal::v1::AttachResponse>* Attach(
      grpc::CallbackServerContext* context) override;

  // What each link hears first, and, when it changes, again.
  void SetHello(const internal::v1::ServiceHello& hello);

  // Sends the publication to every link that holds users of the audience, with user_ids filled in.
  // `sender`, with except_session, is the link whose session is left out; null: none.
  void Publish(const std::vector<int64_t>& audience, const internal::v1::Publication& publication,
               const Link* sender = nullptr);

  std::vector<std::shared_ptr<Link>> Links() const;

  // Ends all links and takes no more.
  void Shutdown();

 private:
  friend class Link;
  void Add(const std::shared_ptr<Link>& link);
  void Remove(const std::shared_ptr<Link>& link);
  void Beat();

  const LinkServerOptions options_;
  mutable Mutex mu_;
  internal::v1::ServiceHello hello_ IM_GUARDED_BY(mu_);
  std::set<std::shared_ptr<Link>> links_ IM_GUARDED_BY(mu_);
  bool closing_ IM_GUARDED_BY(mu_) = false;
  std::unique_ptr<Ticker> beat_;
};

}  // namespace im::bus
