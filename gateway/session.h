// The stream of one device: its life, its resume, its calls and what waits to be written to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "common/rpc/call.h"
#include "gateway/door.h"
#include "gateway/fifo.h"
#include "gateway/hub.h"
#include "gateway/limits.h"
#include "gateway/options.h"
#include "gateway/outbox.h"

namespace im::gateway {

// What sessions share; outlives them.
struct SessionContext {
  std::string gateway_id;
  SessionOptions options;
  Hub* hub = nullptr;
  SessionTable* table = nullptr;
  Limits* limits = nullptr;
  rpc::Authenticate authenticate;
  // Whether a device was ended. Asked after a session is in the table, where who learns of a
  // revocation looks: so none falls between the two.
  std::function<bool(int64_t device_id)> is_revoked;
};

// Welcome.session_id.
std::string SessionId(const std::string& gateway_id, uint64_t number);

// Why and how a session ends.
struct SessionEnding {
  v1::SessionEndReason reason = v1::SESSION_END_REASON_UNSPECIFIED;
  // Whether the client is told to come back.
  bool come_back = false;
  // Whether others should not see the device as gone yet.
  bool returning = false;
  std::string message;
  // Of a stream that had no Welcome yet; and, for those who broke the rules, of any.
  absl::Status status;
};

// Thread-safe. Under its lock it calls only leaves (Link::Enqueue, Limits); all that follows from
// an event (flushing links, writing to the sink, leaving the table) is done in Settle, after it.
//
//   new -> waiting (for the epoch) -> joining (the table) -> opening (at every instance) -> live
//
// and from each of them to ended.
class Session : public SessionEvents, public std::enable_shared_from_this<Session> {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `subscribed`: its one frame is a SubscribeRequest.
  Session(const SessionContext* context, uint64_t number, bool subscribed, const CallInfo& call,
          const rpc::Identity& identity, std::string access_token, std::shared_ptr<Sink> sink);
  ~Session() override;

  uint64_t number() const { return number_; }
  const std::string& id() const { return id_; }
  int64_t user_id() const { return user_id_; }
  int64_t device_id() const { return device_id_; }

  // From the door.
  bool OnFrame(std::string bytes) override;
  void OnRoom() override;
  void OnHalfClosed() override { OnClosed(); }
  void OnClosed() override;

  // SyncDevice: the stream goes on with this token; `have` as the frame.
  absl::Status Sync(std::string access_token, const rpc::Identity& identity,
                    std::optional<std::string> have);
  // Its token's end, as far as this session has heard.
  std::chrono::system_clock::time_point expires_at() const;

  // From the links. Of a generation that is over: ignored.
  // Opens the session there. false: it did not, since it has ended or the link is gone again.
  bool OnLinkUp(Link* link, uint64_t generation);
  void OnLinkDown(const Link& link, uint64_t generation);
  void OnOpened(const Link& link, uint64_t generation);
  void OnRefused(const Link& link, uint64_t generation, const common::v1::Failure& failure);
  void OnAnswer(Link* link, uint64_t generation, const pb::CallAnswer& answer);
  void OnDelivery(const Link& link, uint64_t generation, const std::string& event);
  void OnStatusSet(const Link& link, uint64_t generation, int status);
  void OnResumePageEnd(const Link& link, uint64_t generation);
  void OnResumeEnd(const Link& link, uint64_t generation, const pb::ResumeEnd& end);
  void Publish(const Frame& frame, const std::string& replace_key, bool fleeting);

  // Ends it by a frame SessionEnd; only the first end counts.
  void End(const SessionEnding& ending);
  void EndForEpoch();
  void EndReplaced();
  void EndRevoked();
  void EndForRestart();

  // Call about four times a second.
  void Tick(Time now);
  bool done() const;
  // Bytes that wait to be written, or to be sent to an instance.
  size_t queued_bytes() const;

 private:
  enum class Phase { kNew, kWaiting, kJoining, kOpening, kLive, kEnded };
  enum class At { kNone, kOpening, kOpened, kRefused };

  // Where it stands at an instance.
  struct Place {
    uint64_t generation = 0;
    At at = At::kNone;
    Time retry_at;
    int refusals = 0;
  };
  // A frame that a service answers.
  struct Call {
    uint64_t call_id = 0;
    uint32_t number = 0;
    std::string body;
    Time until;
  };
  struct Pending {
    uint64_t call_id = 0;
    uint32_t number = 0;
    int link = 0;
    uint64_t generation = 0;
    int status = 0;           // of SetStatus
    int lane = Lanes::kNone;  // of SendMessage
  };
  struct Resume {
    int link = 0;
    uint64_t generation = 0;
    bool page_waits = false;
  };

  Place& PlaceOf(const Link& link) IM_REQUIRES(mu_) { return places_[link.index()]; }
  bool IsAt(const Link& link, uint64_t generation) const IM_REQUIRES(mu_);
  bool Alive() const IM_REQUIRES(mu_) { return phase_ != Phase::kEnded; }

  // Life; session.cc, session_out.cc.
  void Fail(const absl::Status& status);
  void Violate(const std::string& what);
  void OnHello(std::string_view hello);
  void TryWelcome();
  void Welcome() IM_REQUIRES(mu_);
  bool OpenAt(Link* link, uint64_t generation) IM_REQUIRES(mu_);
  bool SendOpen(Link* link, uint64_t generation) IM_REQUIRES(mu_);
  void RefreshPresence(Time now) IM_REQUIRES(mu_);
  // The device's status from now on, as `source` knows already.
  void TakeStatus(const Link& source, int status) IM_REQUIRES(mu_);
  // `add(Outbox*)` puts a live event into the queue that is to have it now; false: it was too full.
  template <typename Add>
  void AddLive(const Add& add) IM_REQUIRES(mu_);
  void TickLive(Time now) IM_REQUIRES(mu_);
  void CheckOpened() IM_REQUIRES(mu_);
  void EndLocked(const SessionEnding& ending) IM_REQUIRES(mu_);
  void Leave(bool returning) IM_REQUIRES(mu_);
  bool Enqueue(Link* link, uint64_t generation, pb::GatewayItem item) IM_REQUIRES(mu_);
  void Settle();
  void Pump();
  bool WriteNext();
  bool Full() const IM_REQUIRES(mu_);

  // Calls and resume; session_calls.cc, session_resume.cc.
  void OnCall(const ClientFrame& frame, Time now) IM_REQUIRES(mu_);
  bool TrySend(Call* call) IM_REQUIRES(mu_);
  void SendWaiting() IM_REQUIRES(mu_);
  void AnswerFailure(uint64_t call_id, const absl::Status& status) IM_REQUIRES(mu_);
  void OnRefreshToken(uint64_t call_id, std::string_view body);
  void Renew(std::string access_token, const rpc::Identity& identity) IM_REQUIRES(mu_);
  void OnKnownFrame(const ClientFrame& frame);
  absl::Status TakeFromLimits(uint32_t number);
  void AskResume(std::string have) IM_REQUIRES(mu_);
  void TryResume() IM_REQUIRES(mu_);
  void MoreResume() IM_REQUIRES(mu_);
  void Resync(const char* why) IM_REQUIRES(mu_);
  void StopHolding() IM_REQUIRES(mu_);
  Link* PickOpened(Link::Service service, uint64_t key) const IM_REQUIRES(mu_);

  const SessionContext* const context_;
  const uint64_t number_;
  const bool subscribed_;
  const std::string id_;
  const std::string request_id_;
  const std::string address_;
  const int64_t user_id_;
  const int64_t device_id_;

  mutable Mutex mu_;
  Phase phase_ IM_GUARDED_BY(mu_) = Phase::kNew;
  std::shared_ptr<Sink> sink_ IM_GUARDED_BY(mu_);  // until its End
  bool sink_busy_ IM_GUARDED_BY(mu_) = false;
  bool gone_ IM_GUARDED_BY(mu_) = false;
  bool paused_ IM_GUARDED_BY(mu_) = false;
  absl::Status end_status_ IM_GUARDED_BY(mu_);
  // Live events, from Welcome to CaughtUp and in each later resume, wait in held_.
  Outbox outbox_ IM_GUARDED_BY(mu_);
  Outbox held_ IM_GUARDED_BY(mu_);
  bool holding_ IM_GUARDED_BY(mu_) = true;
  bool hold_overflowed_ IM_GUARDED_BY(mu_) = false;
  // Presence events were dropped, which no resume mends.
  bool presence_lost_ IM_GUARDED_BY(mu_) = false;
  Time presence_refreshed_at_ IM_GUARDED_BY(mu_){};

  std::vector<Place> places_ IM_GUARDED_BY(mu_);  // by Link::index
  uint64_t touched_ IM_GUARDED_BY(mu_) = 0;       // links to flush, one bit each
  bool leaving_ IM_GUARDED_BY(mu_) = false;
  std::list<Call> waiting_ IM_GUARDED_BY(mu_);
  size_t waiting_bytes_ IM_GUARDED_BY(mu_) = 0;  // of their bodies
  Fifo<Pending> pending_ IM_GUARDED_BY(mu_);
  std::optional<Resume> resume_ IM_GUARDED_BY(mu_);
  std::optional<std::string> next_have_ IM_GUARDED_BY(mu_);
  std::optional<Time> resync_at_ IM_GUARDED_BY(mu_);

  std::string access_token_ IM_GUARDED_BY(mu_);
  std::chrono::system_clock::time_point expires_at_ IM_GUARDED_BY(mu_);
  int status_ IM_GUARDED_BY(mu_) = 0;
  Time started_ IM_GUARDED_BY(mu_);
  Time heard_at_ IM_GUARDED_BY(mu_);
  Time written_at_ IM_GUARDED_BY(mu_);
  Time ended_at_ IM_GUARDED_BY(mu_);
};

}  // namespace im::gateway
