// A client's connection: any bytes, cut into any pieces, through a socket to a connection on its
// loop. Whatever they are, the connection becomes quiet, and ends when its client has hung up; who
// answers a call is told of its end, once; and what the server says is HTTP/2.
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/rpc/bytes.h"
#include "gateway/http2/connection.h"
#include "tests/fuzz/check.h"

namespace im::gateway::http2 {
namespace {

using fuzz::Check;

// A loop that hangs is a finding, too.
constexpr std::chrono::seconds kPatience{20};
// Rounds of a loop until all of an input has been done: far more than any needs.
constexpr int kRounds = 10'000;
// The preface and empty SETTINGS.
constexpr std::string_view kPreface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);

// Who answers calls, by the first byte of a message: E ends the call, P takes no more for a moment,
// H leaves a unary call unanswered; all else is sent back.
std::atomic<int> answering{0};
// Streams whose clients are gone, to be ended a while later; the loop's.
std::vector<std::shared_ptr<Sink>> left;

class Echo : public SessionEvents {
 public:
  explicit Echo(std::shared_ptr<Sink> sink) : sink_(std::move(sink)) { ++answering; }
  ~Echo() override {
    Check(ended_, "a stream that was opened is told of its end");
    --answering;
  }

  bool OnFrame(std::string bytes) override {
    Check(!closed_ && !half_closed_, "nothing comes after the end");
    const char first = bytes.empty() ? 0 : bytes.front();
    if (first == 'E' && has_room_) End();
    if (!ended_ && has_room_) has_room_ = sink_->Write(Frame(bytes));
    if (first == 'P') sink_->Read();
    return first != 'P';
  }
  void OnRoom() override {
    Check(!std::exchange(has_room_, true), "there is room once");
    if (half_closed_) End();
  }
  void OnHalfClosed() override {
    Check(!closed_ && !std::exchange(half_closed_, true), "a client's last word is told once");
    if (has_room_) End();
  }
  void OnClosed() override {
    Check(!std::exchange(closed_, true), "the end is told once");
    if (!std::exchange(ended_, true)) left.push_back(sink_);
  }

 private:
  void End() {
    if (!std::exchange(ended_, true)) sink_->End(grpc::Status::OK);
  }

  const std::shared_ptr<Sink> sink_;
  bool has_room_ = true;
  bool half_closed_ = false;
  bool closed_ = false;
  bool ended_ = false;
};

class Unanswered : public OngoingCall {
 public:
  explicit Unanswered(Front::Done done) : done_(std::move(done)) { ++answering; }
  ~Unanswered() override {
    Check(done_ == nullptr, "who answers is told that nobody waits any more");
    --answering;
  }
  void Cancel() override {
    Check(done_ != nullptr, "a call is cancelled once");
    std::exchange(done_, nullptr)(grpc::Status::CANCELLED, {});
  }

 private:
  Front::Done done_;
};

// By the last byte of the path: S is a stream, R one with metadata, N refused; else unary.
class EchoFront : public Front {
 public:
  Kind KindOf(const std::string& path) const override {
    const char last = path.empty() ? 0 : path.back();
    if (last == 'R') return Kind::kRelay;
    return last == 'S' || last == 'N' ? Kind::kConnect : Kind::kUnary;
  }
  absl::StatusOr<std::shared_ptr<SessionEvents>> Open(const CallInfo& call, Kind kind,
                                                      std::shared_ptr<Sink> sink) override {
    if (call.path.back() == 'N') return Error(Reason::TOKEN_INVALID);
    if (kind == Kind::kRelay) {
      sink->SetTrailers(call.metadata);
      sink->SendHeaders(call.metadata);
    }
    return std::make_shared<Echo>(std::move(sink));
  }
  std::shared_ptr<OngoingCall> Call(const CallInfo&, const grpc::ByteBuffer& request,
                                    Done done) override {
    if (rpc::ToString(request).starts_with("H")) {
      return std::make_shared<Unanswered>(std::move(done));
    }
    done(grpc::Status::OK, request);
    return nullptr;
  }
};

// What the server says, frame by frame.
class ServerBytes {
 public:
  ServerBytes() { nghttp2_hd_inflate_new(&inflater_); }
  ~ServerBytes() { nghttp2_hd_inflate_del(inflater_); }
  ServerBytes(const ServerBytes&) = delete;
  ServerBytes& operator=(const ServerBytes&) = delete;

  void Take(std::string_view bytes) {
    bytes_.append(bytes);
    while (bytes_.size() >= kHeadBytes) {
      const size_t size = Number(0, 3);
      Check(size <= 16'384, "a frame is no larger than every client takes");
      if (bytes_.size() < kHeadBytes + size) return;
      const std::string payload = bytes_.substr(kHeadBytes, size);
      TakeFrame(static_cast<uint8_t>(bytes_[3]), static_cast<uint8_t>(bytes_[4]),
                static_cast<uint32_t>(Number(5, 4)), payload);
      bytes_.erase(0, kHeadBytes + size);
    }
  }
  bool is_whole() const { return bytes_.empty() && open_headers_ == 0; }

 private:
  static constexpr size_t kHeadBytes = 9;

  size_t Number(size_t from, size_t count) const {
    size_t number = 0;
    for (size_t i = from; i < from + count; ++i) number = number << 8 | uint8_t(bytes_[i]);
    return number;
  }

  void TakeFrame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
    Check(std::exchange(begun_, true) || type == NGHTTP2_SETTINGS, "SETTINGS come first");
    Check((type == NGHTTP2_CONTINUATION) == (open_headers_ != 0), "headers are not interrupted");
    switch (type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_CONTINUATION:
        Check(open_headers_ == 0 || open_headers_ == stream, "headers are of one stream");
        TakeHeaders(payload, (flags & NGHTTP2_FLAG_END_HEADERS) != 0);
        open_headers_ = (flags & NGHTTP2_FLAG_END_HEADERS) == 0 ? stream : 0;
        if (type == NGHTTP2_CONTINUATION) return;
        [[fallthrough]];
      case NGHTTP2_DATA:
        Check(stream % 2 == 1 && ended_.count(stream) == 0, "a stream's end is its end");
        if (flags & NGHTTP2_FLAG_END_STREAM) ended_.insert(stream);
        return;
      case NGHTTP2_RST_STREAM:
        ended_.insert(stream);
        return Check(stream % 2 == 1 && payload.size() == 4, "RST_STREAM");
      case NGHTTP2_WINDOW_UPDATE:
        return Check(payload.size() == 4, "WINDOW_UPDATE");
      case NGHTTP2_SETTINGS:
        return Check(stream == 0 && payload.size() % 6 == 0, "SETTINGS");
      case NGHTTP2_PING:
        return Check(stream == 0 && payload.size() == 8, "PING");
      case NGHTTP2_GOAWAY:
        return Check(stream == 0 && payload.size() >= 8, "GOAWAY");
      default:
        Check(false, "only what a server says is said");
    }
  }

  void TakeHeaders(const std::string& payload, bool last) {
    const auto* at = reinterpret_cast<const uint8_t*>(payload.data());
    const uint8_t* const end = at + payload.size();
    for (int flags = NGHTTP2_HD_INFLATE_EMIT; flags & NGHTTP2_HD_INFLATE_EMIT;) {
      nghttp2_nv header;
      flags = 0;
      const ssize_t taken = nghttp2_hd_inflate_hd2(inflater_, &header, &flags, at,
                                                   static_cast<size_t>(end - at), last);
      Check(taken >= 0, "headers can be unpacked");
      at += taken;
    }
    if (last) nghttp2_hd_inflate_end_headers(inflater_);
  }

  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string bytes_;
  bool begun_ = false;
  uint32_t open_headers_ = 0;
  std::set<uint32_t> ended_;
};

// One for all inputs.
class World {
 public:
  World() {
    InitLog({.level = LogLevel::kError});
    options_.call.max_message_bytes = 64 << 10;
  }
  ~World() { loop_->Stop(); }

  // `fd` is the server's end.
  void Serve(int fd) {
    OnLoop([&] {
      loop_->Adopt(std::make_unique<Connection>(loop_.get(), &front_, &options_,
                                                std::make_unique<Socket>(fd), "unix",
                                                std::make_shared<AddressUse>()));
    });
  }
  void GoAway() {
    OnLoop([&] {
      if (loop_->held() > 0) loop_->connections().begin()->first->GoAway();
    });
  }
  bool IsEmpty() {
    bool empty = false;
    OnLoop([&] { empty = loop_->connections().empty(); });
    return empty;
  }
  // Until what was sent before has been done: the first round may have begun before, and what the
  // second leaves to be written goes out at its end.
  void Settle() {
    const auto end_left = [] {
      for (const auto& sink : std::exchange(left, {})) sink->End(grpc::Status::OK);
    };
    OnLoop(end_left, 3);
  }

 private:
  void OnLoop(const std::function<void()>& work, int rounds = 1) {
    std::promise<void> done;
    std::function<void()> round = [&] {
      if (--rounds > 0) {
        loop_->Run(round);
      } else {
        work();
        done.set_value();
      }
    };
    loop_->Run(round);
    Check(done.get_future().wait_for(kPatience) == std::future_status::ready, "no loop hangs");
  }

  const std::shared_ptr<Loop> loop_ = std::make_shared<Loop>();
  EchoFront front_;
  ConnectionOptions options_;
};

// Of all there is; how much that was.
size_t Read(int fd, ServerBytes* said) {
  static char bytes[64 << 10];
  size_t all = 0;
  for (ssize_t count = 0; (count = recv(fd, bytes, sizeof bytes, 0)) > 0;) {
    said->Take({bytes, static_cast<size_t>(count)});
    all += static_cast<size_t>(count);
  }
  return all;
}

void AwaitQuiet(World* world, int fd, ServerBytes* said) {
  for (int i = 0;; ++i) {
    Check(i < kRounds, "a connection becomes quiet");
    world->Settle();
    if (Read(fd, said) == 0) return;
  }
}

void Run(fuzz::Input* input) {
  static World world;
  static auto& partial = GaugeFamily("im_gateway_partial_request_bytes", "").Add({});
  const uint8_t kind = input->Byte();
  const bool begins = kind & 1, slow = kind & 2, goes_away = kind & 4;
  int ends[2];
  Check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0, "a socket");
  const int fd = ends[1];
  // As little as the kernel lets it: what is not read must wait in the connection.
  const int little = 1;
  if (slow) setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
  world.Serve(ends[0]);
  ServerBytes said;
  const auto say = [&](std::string_view bytes) {
    if (!bytes.empty()) send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    slow ? world.Settle() : AwaitQuiet(&world, fd, &said);
  };
  if (begins) say(kPreface);
  while (!input->empty()) say(input->Piece());
  if (goes_away) world.GoAway();
  // At the latest now it reads.
  AwaitQuiet(&world, fd, &said);
  Check(said.is_whole(), "what is said is said to its end");
  shutdown(fd, SHUT_WR);
  for (int i = 0; !world.IsEmpty() || answering > 0; ++i) {
    Check(i < kRounds, "a connection ends with its client, and its calls with it");
    world.Settle();
  }
  // What has ended is destroyed at the end of a round.
  world.Settle();
  Check(partial.Value() == 0, "nothing is held of who is gone");
  close(fd);
}

}  // namespace
}  // namespace im::gateway::http2

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  im::fuzz::Input input(data, size);
  im::gateway::http2::Run(&input);
  return 0;
}
