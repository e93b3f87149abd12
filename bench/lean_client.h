// A device reduced to its stream, for scenarios whose receivers must not be what is measured.
#pragma once

#include <nghttp2/nghttp2.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bench/client_loop.h"
#include "gateway/http2/grpc_wire.h"
#include "im/gateway/v1/gateway.pb.h"

namespace im::bench {

// One Connect stream on a connection of its own, in gRPC over HTTP/2 as nghttp2 speaks it: no queue
// of events, no resume. Where client::Session mends what breaks, this reports it. Sends heartbeats
// as Welcome asks for them.
class LeanClient : private ClientLoop::Connection {
 public:
  // Called on the loop's thread; must not block. May call Send.
  class Listener {
   public:
    virtual ~Listener() = default;
    // A message of the stream as it came. True: it is dealt with, and OnFrame is not called.
    virtual bool OnBytes(std::string_view /*message*/) { return false; }
    virtual void OnFrame(const gateway::v1::ServerFrame& frame) = 0;
    // Once, last.
    virtual void OnClosed(const absl::Status& status) = 0;
  };

  // Opens the stream with `hello`, by default that of a device that has nothing. The listener must
  // outlive the client.
  LeanClient(ClientLoop* loop, const std::string& token, Listener* listener,
             gateway::v1::Hello hello = Nothing());
  // Ends the connection, without OnClosed if that has not come yet; from any thread, the loop's
  // too, but not from inside of the listener.
  ~LeanClient() override;
  LeanClient(const LeanClient&) = delete;
  LeanClient& operator=(const LeanClient&) = delete;

  static gateway::v1::Hello Nothing();

  // From any thread: sent in the order of the calls; dropped once the stream is over.
  void Send(const gateway::v1::ConnectRequest& frame);
  // Ends the connection without a word, as a network does. OnClosed comes on the loop.
  void Cut();

 private:
  struct Callbacks;

  void Begin(const std::string& token);
  void Append(const gateway::v1::ConnectRequest& frame);
  void OnReady(uint32_t events) override;
  void Flush() override;
  void OnTick(ClientLoop::Clock::time_point now) override;
  bool Shake();
  void Receive();
  void TakeMessages();
  void Take(std::string_view message);
  void Close(const absl::Status& status);

  ClientLoop* const loop_;
  Listener* const listener_;

  // The loop's own from here on.
  std::unique_ptr<gateway::http2::Socket> socket_;
  nghttp2_session* session_ = nullptr;
  int32_t stream_ = 0;
  bool connected_ = false;
  bool dirty_ = false;
  bool closed_ = false;
  bool watches_room_ = true;
  // Messages with their prefixes, not yet taken by nghttp2; and where it stopped.
  std::string out_;
  size_t out_taken_ = 0;
  bool out_deferred_ = false;
  // What nghttp2 made and the socket had no room for.
  std::string unsent_;
  gateway::http2::MessageReader in_;
  gateway::v1::ConnectResponse response_;
  // What the server said last of all.
  absl::StatusCode status_ = absl::StatusCode::kUnavailable;
  std::string status_message_ = "the connection was lost";
  ClientLoop::Clock::duration heartbeat_{};
  ClientLoop::Clock::time_point last_sent_;
};

}  // namespace im::bench
