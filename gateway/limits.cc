#include "gateway/limits.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/metrics.h"
#include "gateway/frame.h"

namespace im::gateway {
namespace {

constexpr const char* kActionNames[kActions] = {"log_in",  "register", "refresh", "search",
                                                "request", "send",     "connect", "other"};
constexpr const char* kScopeNames[kScopes] = {"device", "account", "address"};

prometheus::Family<prometheus::Counter>& LimitedFamily() {
  static auto& family =
      CounterFamily("im_gateway_rate_limited_total", "Actions refused by a rate limit.");
  return family;
}

}  // namespace

std::string ActionName(Action action) { return kActionNames[static_cast<int>(action)]; }
std::string ScopeName(Scope scope) { return kScopeNames[static_cast<int>(scope)]; }

Action ActionOfMethod(const std::string& path) {
  static const std::unordered_map<std::string, Action> kMethods = {
      {"/im.auth.v1.AccountService/LogIn", Action::kLogIn},
      {"/im.auth.v1.AccountService/ChangePassword", Action::kLogIn},
      {"/im.auth.v1.AccountService/Register", Action::kRegister},
      {"/im.auth.v1.AccountService/Refresh", Action::kRefresh},
      {"/im.auth.v1.AccountService/LookUpProfiles", Action::kSearch},
      {"/im.chat.v1.ContactService/SearchContacts", Action::kSearch},
      {"/im.chat.v1.ContactService/RequestContact", Action::kRequest},
      {"/im.chat.v1.MessageService/SendMessage", Action::kSend},
      {"/im.gateway.v1.GatewayService/Connect", Action::kConnect},
      {"/im.gateway.v1.GatewayService/Subscribe", Action::kConnect},
  };
  const auto found = kMethods.find(path);
  return found == kMethods.end() ? Action::kOther : found->second;
}

Action ActionOfFrame(uint32_t number) {
  return number == kSendMessageFrame ? Action::kSend : Action::kOther;
}

// Of a device: more than a person does, less than hurts. Accounts have several devices, addresses
// (an office, a carrier's gateway) many accounts. Log-ins cost 90 ms of CPU each.
LimitOptions::LimitOptions() {
  const auto set = [this](Action action, int device, int account, int address) {
    per_minute[static_cast<int>(action)] = {device, account, address};
  };
  set(Action::kLogIn, 10, 20, 60);
  set(Action::kRegister, 0, 0, 20);
  set(Action::kRefresh, 0, 0, 600);
  set(Action::kSearch, 60, 120, 1'200);
  set(Action::kRequest, 30, 30, 300);
  set(Action::kSend, 600, 1'200, 12'000);
  set(Action::kConnect, 60, 120, 1'200);
  set(Action::kOther, 1'200, 2'400, 24'000);
}

size_t Limits::KeyHash::operator()(const Key& key) const {
  return std::hash<std::string>()(key.who) * 31 + static_cast<size_t>(key.action) * kScopes +
         static_cast<size_t>(key.scope);
}

Limits::Limits(const LimitOptions& options, AddressSet exempt)
    : options_(options), exempt_(std::move(exempt)) {}

int Limits::PerMinute(Action action, Scope scope) const {
  return options_.per_minute[static_cast<int>(action)][static_cast<int>(scope)];
}

Limits::Bucket* Limits::Find(const Key& key, Time now) {
  const double capacity = PerMinute(key.action, key.scope);
  if (capacity <= 0) return nullptr;
  if (buckets_.size() >= options_.max_buckets && buckets_.count(key) == 0) {
    // Once a second at most: it goes through all of them.
    if (now - swept_ >= std::chrono::seconds(1)) Sweep(now);
    // All of them in use: better to forget somebody's count than to grow or to refuse everybody.
    if (buckets_.size() >= options_.max_buckets) buckets_.erase(buckets_.begin());
  }
  Bucket& bucket = buckets_.try_emplace(key, Bucket{capacity, now}).first->second;
  const std::chrono::duration<double> elapsed = now - bucket.at;
  if (elapsed.count() > 0) {
    bucket.tokens = std::min(capacity, bucket.tokens + elapsed.count() * capacity / 60);
    bucket.at = now;
  }
  return &bucket;
}

absl::Status Limits::Refuse(const Key& key, const Bucket& bucket) const {
  const double seconds = (1 - bucket.tokens) * 60 / PerMinute(key.action, key.scope);
  LimitedFamily()
      .Add({{"action", ActionName(key.action)}, {"scope", ScopeName(key.scope)}})
      .Increment();
  return Error(
      Reason::RATE_LIMITED,
      absl::StrCat("too many actions of kind ", ActionName(key.action), " of this ",
                   ScopeName(key.scope)),
      {.retry_after = std::chrono::milliseconds(static_cast<int64_t>(std::ceil(seconds * 1000)))});
}

absl::Status Limits::TakeForAddress(Action action, const std::string& address, Time now) {
  if (exempt_.Contains(address)) return absl::OkStatus();
  const Key key{action, Scope::kAddress, AddressKey(address)};
  MutexLock lock(&mu_);
  Bucket* const bucket = Find(key, now);
  if (bucket == nullptr) return absl::OkStatus();
  if (bucket->tokens < 1) return Refuse(key, *bucket);
  bucket->tokens -= 1;
  return absl::OkStatus();
}

absl::Status Limits::TakeForDevice(Action action, const std::string& address, int64_t user_id,
                                   int64_t device_id, Time now) {
  if (exempt_.Contains(address)) return absl::OkStatus();
  const Key device_key{action, Scope::kDevice, absl::StrCat(device_id)};
  const Key account_key{action, Scope::kAccount, absl::StrCat(user_id)};
  MutexLock lock(&mu_);
  if (Bucket* const bucket = Find(device_key, now)) {
    if (bucket->tokens < 1) return Refuse(device_key, *bucket);
  }
  if (Bucket* const bucket = Find(account_key, now)) {
    if (bucket->tokens < 1) return Refuse(account_key, *bucket);
    bucket->tokens -= 1;
  }
  // Looked up again, since finding the account's may have made room.
  if (Bucket* const bucket = Find(device_key, now)) bucket->tokens -= 1;
  return absl::OkStatus();
}

void Limits::Sweep(Time now) {
  swept_ = now;
  for (auto it = buckets_.begin(); it != buckets_.end();) {
    const double capacity = PerMinute(it->first.action, it->first.scope);
    const std::chrono::duration<double> elapsed = now - it->second.at;
    const bool full = it->second.tokens + elapsed.count() * capacity / 60 >= capacity;
    it = full ? buckets_.erase(it) : std::next(it);
  }
}

void Limits::Tick(Time now) {
  MutexLock lock(&mu_);
  Sweep(now);
}

size_t Limits::buckets() const {
  MutexLock lock(&mu_);
  return buckets_.size();
}

}  // namespace im::gateway
