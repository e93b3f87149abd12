// One client's connection: HTTP/2 by nghttp2 over a socket, with the calls on it.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "gateway/http2/call.h"
#include "gateway/http2/loop.h"
#include "gateway/http2/session_memory.h"
#include "gateway/http2/socket.h"

namespace im::gateway::http2 {

struct ConnectionOptions {
  CallOptions call;
  // Streams and calls under way; the client keeps back what is more.
  uint32_t max_calls = 100;
  // Without a call, or without a word of HTTP/2, it ends after this.
  std::chrono::milliseconds idle{60'000};
  // Silent for so long, it is asked for a sign of life, and so much later it ends. So does one that
  // takes nothing of what it is sent for both together.
  std::chrono::milliseconds keepalive{60'000};
  std::chrono::milliseconds keepalive_patience{20'000};
};

// A client that has streams reset all the time, by itself or by breaking rules, gets so many at
// once and so many a second.
inline constexpr int kResetBurst = 500;
inline constexpr int kResetsPerSecond = 100;

// All on its loop, which owns it.
class Connection : public Loop::Waiter, public Stream {
 public:
  Connection(Loop* loop, Front* front, const ConnectionOptions* options,
             std::unique_ptr<Socket> socket, std::string address, std::shared_ptr<AddressUse> use);
  ~Connection() override;

  void OnReady(uint32_t events) override;
  void OnTick(Loop::Clock::time_point now);
  // Sends what there is to send, as far as the socket takes it.
  void Write();
  // Takes no new calls, and ends when those there are have ended.
  void GoAway();
  // Ends it now, with all its calls.
  void Close();
  bool closed() const { return closed_; }

  // For calls.
  void Respond(int32_t id, const grpc::Status* only, Metadata metadata) override;
  void ResumeData(int32_t id) override;
  void SendTrailers(int32_t id, const grpc::Status& status, Metadata metadata) override;
  void Consume(int32_t id, size_t bytes) override;
  void Reset(int32_t id) override;
  void RespondHttp(int32_t id, int http_status) override;

 private:
  struct Callbacks;

  bool Begin();
  bool Read();
  void Flush();
  // Whether the socket took all; false, too, when it is closed.
  bool WritePending();
  // It takes nothing of what it is sent, and asks for more and more.
  bool IsFlooded() const;
  // Ends the calls, and our side after what is ready for the socket (unless the client ends its own
  // before it has read that), and waits a moment for the client to end its own: TCP resets a
  // connection that is closed while something of the client's is unread, and what we said last may
  // be lost with that.
  void Finish();
  void WriteLast();
  void EndCalls();
  void WatchFor();
  void WriteSoon();
  void Misbehaved();
  // A stream was reset since the client broke the rules on it.
  void CountReset();
  void SubmitHeaders(int32_t id, const nghttp2_nv* headers, size_t count, bool data);

  Loop* const loop_;
  Front* const front_;
  const ConnectionOptions* const options_;
  const std::unique_ptr<Socket> socket_;
  const std::string address_;
  const std::shared_ptr<AddressUse> use_;
  SessionMemory memory_;
  nghttp2_session* session_ = nullptr;  // from the handshake on
  std::unordered_map<int32_t, std::shared_ptr<Call>> calls_;
  // What the socket did not take, from pending_first_ on.
  std::string pending_;
  size_t pending_first_ = 0;
  uint32_t watched_;
  bool dirty_ = false;
  bool closed_ = false;
  bool going_away_ = false;
  std::optional<Loop::Clock::time_point> finished_at_;
  size_t discarded_ = 0;  // since then
  Loop::Clock::time_point heard_at_;
  // While the socket takes nothing of pending_.
  std::optional<Loop::Clock::time_point> untaken_since_;
  Loop::Clock::time_point idle_since_;
  bool pinged_ = false;
  bool misbehaved_ = false;
  // How many more resets are allowed, then.
  double resets_left_ = kResetBurst;
  Loop::Clock::time_point resets_at_;
};

}  // namespace im::gateway::http2
