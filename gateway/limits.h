// How much anyone may do: token buckets by kind of action for devices, accounts and addresses.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "common/base/mutex.h"
#include "gateway/address.h"

namespace im::gateway {

enum class Action { kLogIn, kRegister, kRefresh, kSearch, kRequest, kSend, kConnect, kOther };
inline constexpr int kActions = 8;
enum class Scope { kDevice, kAccount, kAddress };
inline constexpr int kScopes = 3;

// As in the configuration: "log_in", "device".
std::string ActionName(Action action);
std::string ScopeName(Scope scope);

// Of a unary method ("/im.auth.v1.AccountService/LogIn") or a stream.
Action ActionOfMethod(const std::string& path);
// Of a frame of the stream, by its number.
Action ActionOfFrame(uint32_t number);

struct LimitOptions {
  LimitOptions();
  // By action and scope: so many at once, and as many again within each minute; 0: no limit.
  std::array<std::array<int, kScopes>, kActions> per_minute;
  // Who is not limited.
  std::string exempt = "127.0.0.0/8, ::1/128, unix";
  // Buckets that are remembered, about 100 bytes each.
  size_t max_buckets = 200'000;
};

// Thread-safe; a leaf.
class Limits {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Limits(const LimitOptions& options, AddressSet exempt);

  // Takes one of each that applies, or none and fails with RATE_LIMITED. First for the address,
  // before anything is spent on the call; then, once it is known who calls, for device and account.
  absl::Status TakeForAddress(Action action, const std::string& address, Time now);
  absl::Status TakeForDevice(Action action, const std::string& address, int64_t user_id,
                             int64_t device_id, Time now);

  // Forgets full buckets. Call now and then.
  void Tick(Time now);
  size_t buckets() const;

 private:
  struct Key {
    Action action;
    Scope scope;
    std::string who;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Bucket {
    double tokens;
    Time at;
  };

  int PerMinute(Action action, Scope scope) const;
  // Refills and returns it; null: no limit.
  Bucket* Find(const Key& key, Time now) IM_REQUIRES(mu_);
  void Sweep(Time now) IM_REQUIRES(mu_);
  absl::Status Refuse(const Key& key, const Bucket& bucket) const;

  const LimitOptions options_;
  const AddressSet exempt_;
  mutable Mutex mu_;
  std::unordered_map<Key, Bucket, KeyHash> buckets_ IM_GUARDED_BY(mu_);
  Time swept_ IM_GUARDED_BY(mu_){};
};

}  // namespace im::gateway
