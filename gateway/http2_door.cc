#include "gateway/http2_door.h"

#include <unistd.h>

#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/metrics.h"
#include "common/rpc/server.h"

namespace im::gateway {
namespace {

// why: all (too many there are), address (too many of one address).
prometheus::Counter& RefusedCounter(const char* why) {
  static auto& family = CounterFamily("im_gateway_connections_refused_total",
                                      "Connections closed at once because there were too many.");
  return family.Add({{"why", why}});
}

struct Descriptor {
  explicit Descriptor(int open) : fd(open) {}
  ~Descriptor() { Close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  void Close() {
    if (fd >= 0) close(std::exchange(fd, -1));
  }
  int Release() { return std::exchange(fd, -1); }

  int fd;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Http2Door>> Http2Door::Open(const DoorOptions& options,
                                                           Front* front) {
  if (options.listen.empty() && options.tls_listen.empty()) {
    return absl::InvalidArgumentError("set server.listen, server.tls_listen or both");
  }
  std::unique_ptr<Http2Door> door(new Http2Door(options, front));
  if (!options.listen.empty()) {
    if (!rpc::IsLocal(options.listen)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "refusing to listen on ", options.listen,
          " without TLS: plaintext is for unix sockets and loopback only. Use server.tls_listen, "
          "or listen on 127.0.0.1."));
    }
    IM_RETURN_IF_ERROR(door->Listen(options.listen, nullptr));
  }
  if (!options.tls_listen.empty()) {
    if (options.tls_certificate.empty() || options.tls_key.empty()) {
      return absl::InvalidArgumentError(
          "server.tls_listen needs server.tls_certificate and server.tls_key");
    }
    IM_ASSIGN_OR_RETURN(door->tls_,
                        http2::TlsContext::Load(options.tls_certificate, options.tls_key));
    IM_RETURN_IF_ERROR(door->Listen(options.tls_listen, door->tls_.get()));
  }
  return door;
}

Http2Door::Http2Door(const DoorOptions& options, Front* front)
    : options_(options), front_(front), uses_(options.exempt) {
  for (int i = 0; i < options_.loops; ++i) loops_.push_back(std::make_shared<http2::Loop>());
}

Http2Door::~Http2Door() { Shutdown(std::chrono::milliseconds(0)); }

absl::Status Http2Door::Listen(const std::string& address, http2::TlsContext* tls) {
  IM_ASSIGN_OR_RETURN(auto listener, http2::Listener::Open(address));
  addresses_.push_back(listener->address());
  http2::Listener* const raw = listener.get();
  listeners_.push_back(std::move(listener));
  http2::Loop* const loop = loops_.front().get();
  loop->Run([this, loop, raw, tls] {
    raw->Start(loop, [this, tls](int fd, std::string peer) { Accept(fd, std::move(peer), tls); });
  });
  return absl::OkStatus();
}

void Http2Door::Accept(int fd, std::string address, http2::TlsContext* tls) {
  http2::Loop* const loop = loops_[next_loop_++ % loops_.size()].get();
  // A loop that stops throws away what it was to do: the descriptor must be closed with that.
  const auto accepted = std::make_shared<Descriptor>(fd);
  loop->Run([this, loop, accepted, address = std::move(address), tls] {
    auto use = uses_.Of(address);
    // Other loops may take one just now: a few too many do no harm.
    size_t held = 0;
    for (const auto& each : loops_) held += each->held();
    const bool too_many = held >= options_.max_connections;
    if (too_many || (!use->exempt && use->connections >= options_.max_connections_of_address)) {
      // Before the peer can notice.
      RefusedCounter(too_many ? "all" : "address").Increment();
      return accepted->Close();
    }
    SSL* const secured = tls == nullptr ? nullptr : tls->NewConnection();
    if (tls != nullptr && secured == nullptr) return accepted->Close();
    auto socket = secured == nullptr ? std::make_unique<http2::Socket>(accepted->Release())
                                     : http2::MakeTlsSocket(accepted->Release(), secured);
    loop->Adopt(std::make_unique<http2::Connection>(loop, front_, &options_.connection,
                                                    std::move(socket), address, std::move(use)));
  });
}

void Http2Door::Shutdown(std::chrono::milliseconds grace) {
  if (closed_.exchange(true)) return;
  const auto until = http2::Loop::Clock::now() + grace;
  std::vector<std::shared_ptr<std::promise<void>>> empty;
  for (size_t i = 0; i < loops_.size(); ++i) {
    http2::Loop* const loop = loops_[i].get();
    auto done = std::make_shared<std::promise<void>>();
    const bool runs = loop->Run([this, i, loop, done] {
      if (i == 0) {
        for (const auto& listener : listeners_) listener->Stop();
      }
      std::vector<http2::Connection*> all;
      for (const auto& [connection, owner] : loop->connections()) all.push_back(connection);
      for (http2::Connection* connection : all) connection->GoAway();
      loop->WhenEmpty([done] { done->set_value(); });
    });
    if (runs) empty.push_back(std::move(done));
  }
  for (const auto& done : empty) done->get_future().wait_until(until);
  for (const auto& loop : loops_) loop->Stop();
}

}  // namespace im::gateway
