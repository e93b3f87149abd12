// One gRPC call on a connection: an HTTP/2 stream with messages both ways.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gateway/door.h"
#include "gateway/fifo.h"
#include "gateway/http2/address_use.h"
#include "gateway/http2/grpc_wire.h"
#include "gateway/http2/loop.h"

namespace im::gateway::http2 {

// What a call has its connection do for it. All on the loop.
class Stream {
 public:
  virtual ~Stream() = default;
  // Sends the response's headers; with a status, that is all there is to the response.
  virtual void Respond(int32_t id, const grpc::Status* only, Metadata metadata) = 0;
  // Has the call asked for bytes.
  virtual void ResumeData(int32_t id) = 0;
  // After the last byte.
  virtual void SendTrailers(int32_t id, const grpc::Status& status, Metadata metadata) = 0;
  // So many bytes of the request were used up: the client may send as many again.
  virtual void Consume(int32_t id, size_t bytes) = 0;
  virtual void Reset(int32_t id) = 0;
  // The headers of an answer that is not gRPC: to who does not speak it.
  virtual void RespondHttp(int32_t id, int http_status) = 0;
};

struct CallOptions {
  size_t max_message_bytes = 2 << 20;
  // A call whose client has not taken the end of its response so long after it was there is cut:
  // until then the response is held.
  std::chrono::milliseconds response_patience{30'000};
  // A unary call whose request has not come by then is ended; one whose headers have not, cut.
  std::chrono::milliseconds request_patience{30'000};
  // Of messages of which a part has come, of all calls of the process, and of one address.
  size_t max_partial_bytes = size_t{256} << 20;
  size_t max_partial_bytes_of_address = size_t{32} << 20;
  // Streams and calls of one address.
  size_t max_calls_of_address = 20'000;
};

// Lives until both the connection and who answers it have let go. Methods of Sink are thread-safe;
// all else is the loop's.
class Call : public Sink, public std::enable_shared_from_this<Call> {
 public:
  Call(Loop* loop, Stream* stream, int32_t id, std::string address, std::shared_ptr<AddressUse> use,
       const CallOptions* options);
  ~Call() override;

  // From the connection.
  void OnHeader(std::string_view name, std::string_view value);
  void OnHeadersEnd(Front* front);
  void OnData(std::string_view bytes);
  void OnHalfClosed();
  // The stream is gone; nothing of the connection is touched any more.
  void OnGone();
  bool half_closed() const { return half_closed_; }
  // kTrailers: they have been given to the connection. kEnd: there are none.
  enum class After { kMore, kTrailers, kEnd };
  // Puts what is to be sent into `bytes`; 0: nothing yet. `*after`: what comes then.
  size_t TakeData(uint8_t* bytes, size_t size, After* after);

  // From the loop.
  void Do(Errand* errand);
  void OnDeadline();
  // About once a second.
  void OnTick(Loop::Clock::time_point now);

  // Sink.
  bool Write(const Frame& frame) override;
  void SendHeaders(Metadata metadata) override;
  void SetTrailers(Metadata metadata) override { trailers_.Put(std::move(metadata)); }
  void End(const grpc::Status& status) override;
  void Read() override;
  void Cut() override;

 private:
  // What another thread leaves for the loop.
  class Left {
   public:
    Left() = default;
    ~Left() { delete left_.load(); }
    Left(const Left&) = delete;
    Left& operator=(const Left&) = delete;
    void Put(Metadata metadata) { delete left_.exchange(new Metadata(std::move(metadata))); }
    Metadata Take() {
      const std::unique_ptr<Metadata> left(left_.exchange(nullptr));
      return left == nullptr ? Metadata() : std::move(*left);
    }

   private:
    std::atomic<Metadata*> left_{nullptr};
  };

  void Respond();
  void Refuse(const absl::Status& status);
  void Finish(const grpc::Status& status);
  void AnswerInHttp(int http_status);
  absl::Status CheckHeaders();
  void ReadMessages();
  void AwaitRequest();
  void CountPartial();
  absl::Status CheckPartial() const;
  absl::Status Decompress(std::string* message) const;
  absl::Status OnMessage(std::string message);
  absl::Status OnRequestEnd();
  void StartUnary(const std::string& request);
  void StopDeadline();
  void GiveRoom();
  // A call that was refused goes later, too.
  void TellClosed();

  const std::shared_ptr<Loop> loop_;
  const int32_t id_;
  const CallOptions* const options_;
  const std::shared_ptr<AddressUse> use_;
  // Bytes given to Write and not yet sent.
  std::atomic<size_t> under_way_{0};
  // Metadata of the response.
  Left response_headers_;
  Left trailers_;

  // The loop's.
  Stream* stream_;  // null once it is gone
  Front* front_ = nullptr;
  Front::Kind kind_ = Front::Kind::kUnary;
  struct Headers {
    CallInfo call;
    std::string method;
    std::string content_type;
    std::string encoding;
    std::string timeout;
    size_t bytes = 0;
  };
  // Until the stream is opened or the unary call passed on.
  std::unique_ptr<Headers> headers_;
  bool headers_end_ = false;
  std::string encoding_;
  std::optional<Loop::Timers::iterator> deadline_;
  std::shared_ptr<SessionEvents> events_;
  std::shared_ptr<OngoingCall> ongoing_;
  MessageReader reader_;
  size_t unconsumed_ = 0;
  // Of reader_, as counted for the process.
  size_t partial_ = 0;
  // When it began, or last could go on; before, when the headers began.
  Loop::Clock::time_point partial_since_;
  bool paused_ = false;
  bool half_closed_ = false;
  bool half_close_told_ = false;
  bool closed_told_ = false;
  bool responded_ = false;
  bool finished_ = false;
  bool in_http_ = false;  // not in gRPC
  bool owes_room_ = false;
  Fifo<Frame> out_;
  // Of the first frame, its prefix counted.
  size_t out_offset_ = 0;
  std::unique_ptr<grpc::Status> end_;
};

}  // namespace im::gateway::http2
