#include "gateway/link.h"

#include <utility>

#include "common/base/log.h"
#include "common/base/metrics.h"

namespace im::gateway {
namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

prometheus::Gauge& UpGauge(const std::string& address) {
  static auto& family = GaugeFamily("im_gateway_link_up", "1 while the link to an instance is up.");
  return family.Add({{"instance", address}});
}

}  // namespace

// One attempt. Lives until OnDone. A hold keeps OnDone away for as long as writes may come from
// outside of its reactions; it is given back when the stream is broken and no write is under way.
class Link::Stream : public grpc::ClientBidiReactor<pb::AttachRequest, pb::AttachResponse>,
                     public std::enable_shared_from_this<Stream> {
 public:
  explicit Stream(Link* link) : link_(link) {}

  void Start() {
    self_ = shared_from_this();
    // Until the service is there, rather than failing again and again.
    context_.set_wait_for_ready(true);
    link_->stub_->async()->Attach(&context_, this);
    request_.add_items()->mutable_hello()->set_gateway_id(link_->gateway_id_);
    AddHold();
    StartRead(&response_);
    StartWrite(&request_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return link_->Broken(shared_from_this(), "the stream ended");
    link_->Heard(shared_from_this(), response_);
    StartRead(&response_);
  }
  void OnWriteDone(bool ok) override { link_->Written(shared_from_this(), ok); }
  void OnDone(const grpc::Status& status) override {
    if (!status.ok()) {
      Log(LogLevel::kDebug, "link_stream_ended",
          {{"instance", link_->address_}, {"why", status.error_message()}});
    }
    const std::shared_ptr<Stream> self = std::move(self_);
    link_->Broken(self, "the stream ended");
    link_->Done();
  }

  Link* const link_;
  grpc::ClientContext context_;
  std::shared_ptr<Stream> self_;
  pb::AttachRequest request_;  // while writing
  pb::AttachResponse response_;
  // Guarded by the link's mutex.
  bool writing_ = true;
  bool broken_ = false;
  uint64_t generation_ = 0;  // 0: no hello yet
};

Link::Link(Service service, int index, std::string address, const rpc::ChannelTls& tls,
           std::string gateway_id, const LinkOptions* options, LinkEvents* events)
    : service_(service),
      index_(index),
      address_(std::move(address)),
      gateway_id_(std::move(gateway_id)),
      options_(options),
      events_(events),
      lanes_(options->lane_full),
      stub_(pb::LinkService::NewStub(rpc::Connect(address_, tls))),
      last_life_(system_clock::now()) {
  UpGauge(address_).Set(0);
}

Link::~Link() { Stop(); }

void Link::Stop() {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(&mu_);
    closing_ = true;
    stream = stream_;
  }
  if (stream != nullptr) Broken(stream, "closing");
  stream.reset();
  MutexLock lock(&mu_);
  while (streams_ > 0) ended_.Wait(&mu_);
}

void Link::Start() {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(&mu_);
    if (closing_) return;
    stream = std::make_shared<Stream>(this);
    stream_ = stream;
    ++streams_;
    last_heard_ = last_sent_ = steady_clock::now();
  }
  stream->Start();
}

bool Link::Enqueue(uint64_t generation, pb::GatewayItem item) {
  const size_t bytes = item.ByteSizeLong();
  MutexLock lock(&mu_);
  if (generation == 0 || generation != up_generation_.load()) return false;
  queue_.push_back(std::move(item));
  if (backlog_.fetch_add(bytes) + bytes > options_->queue_bytes) overflowed_ = true;
  return true;
}

void Link::Flush() {
  if (!FlushScope::Defer(this)) FlushNow();
}

void Link::FlushNow() {
  std::shared_ptr<Stream> stream;
  bool overflowed = false;
  {
    MutexLock lock(&mu_);
    stream = stream_;
    if (stream == nullptr || stream->broken_) return;
    overflowed = overflowed_;
    if (!overflowed) {
      if (stream->writing_ || queue_.empty()) return;
      stream->writing_ = true;
      stream->request_.Clear();
      size_t bytes = 0;
      while (!queue_.empty() && bytes < options_->message_bytes) {
        const size_t size = queue_.front().ByteSizeLong();
        bytes += size;
        backlog_.fetch_sub(size);
        *stream->request_.add_items() = std::move(queue_.front());
        queue_.pop_front();
      }
      last_sent_ = steady_clock::now();
    }
  }
  if (overflowed) return Broken(stream, "its queue overflowed");
  stream->StartWrite(&stream->request_);
}

void Link::Written(const std::shared_ptr<Stream>& stream, bool ok) {
  bool release = false;
  {
    MutexLock lock(&mu_);
    stream->writing_ = false;
    release = stream->broken_;
  }
  if (release) return stream->RemoveHold();
  if (!ok) return Broken(stream, "a write failed");
  FlushNow();
}

void Link::Heard(const std::shared_ptr<Stream>& stream, const pb::AttachResponse& response) {
  {
    MutexLock lock(&mu_);
    if (stream->broken_) return;
    last_heard_ = steady_clock::now();
    last_life_ = system_clock::now();
  }
  FlushScope scope;
  for (const pb::ServiceItem& item : response.items()) {
    uint64_t generation = 0;
    bool up = false;
    {
      MutexLock lock(&mu_);
      if (stream->broken_) return;
      if (stream->generation_ == 0) {
        if (!item.has_hello()) continue;
        stream->generation_ = ++generations_;
        up_generation_.store(stream->generation_);
        up = true;
      }
      generation = stream->generation_;
    }
    if (item.has_hello()) lanes_.SetCount(item.hello().lanes());
    if (up) {
      UpGauge(address_).Set(1);
      Log(LogLevel::kInfo, "link_up", {{"instance", address_}, {"generation", generation}});
      events_->OnLinkUp(this, generation, item.hello());
    } else {
      events_->OnLinkItem(this, generation, item);
    }
  }
}

void Link::Broken(const std::shared_ptr<Stream>& stream, const char* why) {
  uint64_t generation = 0;
  bool release = false;
  system_clock::time_point last_life;
  {
    MutexLock lock(&mu_);
    if (stream->broken_) return;
    stream->broken_ = true;
    release = !stream->writing_;
    generation = stream->generation_;
    last_life = last_life_;
    up_generation_.store(0);
    queue_.clear();
    backlog_.store(0);
    overflowed_ = false;
  }
  stream->context_.TryCancel();
  if (release) stream->RemoveHold();
  if (generation != 0) {
    UpGauge(address_).Set(0);
    Log(LogLevel::kWarning, "link_down", {{"instance", address_}, {"why", why}});
    events_->OnLinkDown(this, generation, last_life);
  }
  // Only now, so that the next generation begins after this one has ended for everybody.
  MutexLock lock(&mu_);
  stream_.reset();
  next_start_ = steady_clock::now() + options_->retry;
}

void Link::Done() {
  MutexLock lock(&mu_);
  --streams_;
  ended_.NotifyAll();
}

void Link::Tick(steady_clock::time_point now) {
  std::shared_ptr<Stream> stream;
  bool start = false;
  bool silent = false;
  {
    MutexLock lock(&mu_);
    stream = stream_;
    start = stream_ == nullptr && now >= next_start_;
    // A process that was itself asleep (stopped, starved) has not listened: what came waits to be
    // read, and silence is counted anew.
    if (now - last_tick_ >= options_->silence / 4) last_heard_ = now;
    last_tick_ = now;
    if (stream_ != nullptr) {
      silent = now - last_heard_ >= options_->silence;
      const bool up = up_generation_.load() != 0;
      if (up && queue_.empty() && !stream_->writing_ && now - last_sent_ >= options_->heartbeat) {
        queue_.emplace_back().mutable_heartbeat();
        backlog_.fetch_add(queue_.back().ByteSizeLong());
      }
    }
  }
  if (start) return Start();
  if (stream == nullptr) return;
  if (silent) return Broken(stream, "nothing was heard of it");
  Flush();
}

}  // namespace im::gateway
