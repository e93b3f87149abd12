#include "common/token/watcher.h"

#include <algorithm>

#include "common/base/log.h"
#include "common/base/random.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/internal/v1/services.grpc.pb.h"

namespace im::token {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// After a stream or a fetch that failed: between half and all of it. The channel itself waits for
// im-auth to listen, so this is for one that answers with errors.
constexpr milliseconds kFirstBackOff{100};
constexpr milliseconds kLongestBackOff{1000};
// Whoever makes up key ids causes one fetch in this time.
constexpr seconds kUnknownKeyInterval{5};
constexpr seconds kKeyFetchTimeout{5};
// Bounds for what the server says of caching.
constexpr seconds kLeastKeyAge{10};
constexpr seconds kMostKeyAge{300};

milliseconds Jittered(milliseconds delay) {
  const auto half = static_cast<uint32_t>(delay.count() / 2);
  return milliseconds(half + RandomBelow(half + 1));
}

}  // namespace

struct Watcher::Upstream {
  explicit Upstream(std::shared_ptr<grpc::Channel> to)
      : channel(std::move(to)),
        keys(auth::v1::KeyService::NewStub(channel)),
        directory(internal::v1::DirectoryService::NewStub(channel)) {}

  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<auth::v1::KeyService::Stub> keys;
  const std::unique_ptr<internal::v1::DirectoryService::Stub> directory;
  // Guarded by the watcher's mu_. Null: no stream, the next is due at due.
  Stream* stream = nullptr;
  Time due;
  milliseconds back_off = kFirstBackOff;
};

struct Watcher::KeyFetch {
  grpc::ClientContext context;
  auth::v1::GetKeysRequest request;
  auth::v1::GetKeysResponse response;
};

// One WatchRevocations call. Deletes itself in OnDone.
class Watcher::Stream : public grpc::ClientReadReactor<internal::v1::WatchRevocationsResponse> {
 public:
  Stream(Watcher* watcher, Upstream* upstream) : watcher_(watcher), upstream_(upstream) {}

  void Start() {
    context_.set_wait_for_ready(true);
    upstream_->directory->async()->WatchRevocations(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    had_answers_ = true;
    watcher_->OnRevocations(response_);
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    Log(LogLevel::kDebug, "revocation_stream_ended",
        {{"code", static_cast<int>(status.error_code())}});
    // The watcher may be gone as soon as it knows.
    watcher_->OnStreamEnded(upstream_, had_answers_);
    delete this;
  }

 private:
  Watcher* const watcher_;
  Upstream* const upstream_;
  grpc::ClientContext context_;
  internal::v1::WatchRevocationsRequest request_;
  internal::v1::WatchRevocationsResponse response_;
  bool had_answers_ = false;
};

Watcher::Watcher(WatcherOptions options, Verifier* verifier)
    : options_(std::move(options)), verifier_(verifier) {
  for (const std::string& address : options_.addresses) {
    upstreams_.push_back(std::make_unique<Upstream>(rpc::Connect(address, options_.tls)));
  }
  verifier_->SetUnknownKeyHandler([this] {
    MutexLock lock(&mu_);
    keys_due_ = std::min(keys_due_, keys_asked_at_ + kUnknownKeyInterval);
    changed_.NotifyAll();
  });
  thread_ = std::thread([this] { Run(); });
}

Watcher::~Watcher() {
  verifier_->SetUnknownKeyHandler(nullptr);
  {
    MutexLock lock(&mu_);
    closing_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
  MutexLock lock(&mu_);
  for (const auto& upstream : upstreams_) {
    if (upstream->stream != nullptr) upstream->stream->Cancel();
  }
  if (key_fetch_ != nullptr) key_fetch_->context.TryCancel();
  const auto quiet = [this]() IM_REQUIRES(mu_) {
    return key_fetch_ == nullptr &&
           std::all_of(upstreams_.begin(), upstreams_.end(),
                       [](const auto& upstream) { return upstream->stream == nullptr; });
  };
  while (!quiet()) changed_.Wait(&mu_);
}

Watcher::Time Watcher::NextDue() {
  Time next = key_fetch_ == nullptr ? keys_due_ : Time::max();
  for (const auto& upstream : upstreams_) {
    if (upstream->stream == nullptr) next = std::min(next, upstream->due);
  }
  return next;
}

// Calls are started without the lock, for gRPC may run their reactions on this thread.
void Watcher::Run() {
  while (true) {
    std::vector<Upstream*> due;
    bool keys = false;
    {
      MutexLock lock(&mu_);
      while (!closing_ && NextDue() > steady_clock::now()) {
        if (NextDue() == Time::max()) {
          changed_.Wait(&mu_);
        } else {
          changed_.WaitUntil(&mu_, NextDue());
        }
      }
      if (closing_) return;
      const Time now = steady_clock::now();
      for (const auto& upstream : upstreams_) {
        if (upstream->stream == nullptr && upstream->due <= now) due.push_back(upstream.get());
      }
      keys = key_fetch_ == nullptr && keys_due_ <= now;
    }
    for (Upstream* upstream : due) StartStream(upstream);
    if (keys) StartKeyFetch();
  }
}

void Watcher::StartStream(Upstream* upstream) {
  auto* stream = new Stream(this, upstream);
  {
    MutexLock lock(&mu_);
    upstream->stream = stream;
  }
  stream->Start();
}

void Watcher::StartKeyFetch() {
  KeyFetch* fetch = nullptr;
  Upstream* upstream = nullptr;
  {
    MutexLock lock(&mu_);
    keys_asked_at_ = steady_clock::now();
    if (upstreams_.empty()) {
      keys_due_ = Time::max();
      return;
    }
    upstream = upstreams_[next_key_upstream_ % upstreams_.size()].get();
    key_fetch_ = std::make_unique<KeyFetch>();
    fetch = key_fetch_.get();
  }
  fetch->context.set_deadline(std::chrono::system_clock::now() + kKeyFetchTimeout);
  upstream->keys->async()->GetKeys(
      &fetch->context, &fetch->request, &fetch->response,
      [this, fetch, upstream](const grpc::Status& status) { OnKeys(upstream, fetch, status); });
}

void Watcher::OnKeys(Upstream* upstream, KeyFetch* fetch, const grpc::Status& status) {
  std::vector<PublicKey> keys;
  if (status.ok()) {
    const auto parsed = ParseJwks(fetch->response.jwks_json());
    if (parsed.ok()) {
      keys = *parsed;
    } else {
      Log(LogLevel::kError, "keys_not_understood", {{"what", Describe(parsed.status())}});
    }
  } else {
    Log(LogLevel::kDebug, "keys_not_fetched", {{"code", static_cast<int>(status.error_code())}});
    // The next fetch is not to fail because the channel still waits: nobody comes in without keys.
    grpc::experimental::ChannelResetConnectionBackoff(upstream->channel.get());
  }
  const seconds age =
      std::clamp(seconds(fetch->response.max_age_seconds()), kLeastKeyAge, kMostKeyAge);
  if (!keys.empty()) GiveKeys(keys);

  MutexLock lock(&mu_);
  if (keys.empty()) {
    ++next_key_upstream_;
    keys_due_ = steady_clock::now() + Jittered(kFirstBackOff * 2);
  } else {
    keys_due_ = steady_clock::now() + age;
  }
  key_fetch_.reset();
  changed_.NotifyAll();
}

void Watcher::GiveKeys(const std::vector<PublicKey>& keys) {
  {
    MutexLock lock(&mu_);
    if (!revocations_known_) {
      waiting_keys_ = keys;
      return;
    }
  }
  verifier_->SetKeys(keys);
}

void Watcher::OnRevocations(const internal::v1::WatchRevocationsResponse& response) {
  for (const auto& revocation : response.revocations()) {
    const auto at = std::chrono::system_clock::time_point(
        seconds(revocation.at().seconds()) +
        std::chrono::microseconds(revocation.at().nanos() / 1000));
    if (verifier_->Revoke(revocation.device_id(), at) && options_.on_revoked) {
      options_.on_revoked(revocation.device_id());
    }
  }
  if (!response.snapshot()) return;
  std::vector<PublicKey> keys;
  {
    MutexLock lock(&mu_);
    if (revocations_known_) return;
    revocations_known_ = true;
    keys.swap(waiting_keys_);
  }
  if (!keys.empty()) verifier_->SetKeys(keys);
}

void Watcher::OnStreamEnded(Upstream* upstream, bool had_answers) {
  MutexLock lock(&mu_);
  upstream->stream = nullptr;
  if (had_answers) upstream->back_off = kFirstBackOff;
  upstream->due = steady_clock::now() + Jittered(upstream->back_off);
  upstream->back_off = std::min(upstream->back_off * 2, kLongestBackOff);
  changed_.NotifyAll();
}

}  // namespace im::token
