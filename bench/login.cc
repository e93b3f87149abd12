#include "bench/login.h"

#include <sodium.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/traffic.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "services/auth/password_hasher.h"

namespace im::bench {

using auth::v1::AccountService;
using std::chrono::steady_clock;

namespace {

// Accounts that log in, each with a password that was hashed as the server is set to.
constexpr int kAccounts = 4;

struct Credentials {
  std::string user_name;
  std::string password;
};

absl::StatusOr<std::vector<Credentials>> Register(client::Channel& channel) {
  std::vector<Credentials> accounts;
  const std::string run = RandomHex(4);
  for (int i = 0; i < kAccounts; ++i) {
    accounts.push_back({absl::StrCat("login-", run, "-", i), RandomHex(16)});
    auth::v1::RegisterRequest request;
    request.set_user_name(accounts.back().user_name);
    request.set_password(accounts.back().password);
    request.mutable_device()->set_name("bench");
    const auto registered = channel.Call(&AccountService::Stub::Register, request);
    if (!registered.ok()) return registered.status();
  }
  return accounts;
}

// Calls `one` from so many threads until told to stop. What is refused for now is no failure: the
// next attempt comes when the server said.
class Callers {
 public:
  using One = std::function<absl::Status(size_t thread)>;

  Callers(int threads, const One& one) {
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, one, i] { Run(one, static_cast<size_t>(i)); });
    }
  }
  ~Callers() { Stop(); }

  void Measure(bool on) { measuring_.store(on); }
  void Stop() {
    over_.store(true);
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  bool failed() const { return failed_.load(); }
  // After Stop.
  const Histogram& latency() const { return latency_; }
  const absl::Status& failure() const { return failure_; }
  int64_t put_off() const { return put_off_.load(); }

 private:
  void Run(const One& one, size_t thread) {
    while (!over_.load()) {
      const auto begun = steady_clock::now();
      const absl::Status status = one(thread);
      const auto took =
          std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - begun);
      if (const auto wait = DetailsOf(status).retry_after) {
        ++put_off_;
        std::this_thread::sleep_for(*wait);
        continue;
      }
      MutexLock lock(&mu_);
      if (!status.ok()) {
        failure_ = status;
        failed_.store(true);
        return;
      }
      if (measuring_.load()) latency_.Record(took.count());
    }
  }

  std::atomic<bool> over_{false};
  std::atomic<bool> measuring_{false};
  std::atomic<bool> failed_{false};
  std::atomic<int64_t> put_off_{0};
  Mutex mu_;
  // Read without the lock once the threads are gone.
  Histogram latency_;
  absl::Status failure_;
  std::vector<std::thread> threads_;
};

// What all cores of this machine hash in a second while they do nothing else.
absl::StatusOr<double> HashesPerSecond(double seconds) {
  if (sodium_init() < 0) return absl::InternalError("libsodium does not start");
  IM_ASSIGN_OR_RETURN(const auto hasher, auth::PasswordHasher::Create({}));
  std::atomic<bool> over{false};
  std::atomic<bool> failed{false};
  Mutex mu;
  double per_second = 0;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back([&] {
      const auto begun = steady_clock::now();
      int hashes = 0;
      for (; hashes == 0 || !over; ++hashes) {
        if (!hasher->Hash("what is hashed does not matter").ok()) {
          failed = true;
          return;
        }
      }
      const std::chrono::duration<double> took = steady_clock::now() - begun;
      MutexLock lock(&mu);
      per_second += hashes / took.count();
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  over = true;
  for (std::thread& thread : threads) thread.join();
  if (failed) return absl::ResourceExhaustedError("no memory to hash passwords");
  return per_second;
}

absl::Status Run(const Target& target, const LoginOptions& options, Outcome* outcome) {
  Progress progress;
  IM_ASSIGN_OR_RETURN(const auto crowd,
                      Crowd::Gather(target, "login", 2 + options.clients, &progress));
  client::Channel& channel = crowd->channel();
  IM_ASSIGN_OR_RETURN(const std::vector<Credentials> accounts, Register(channel));
  IM_ASSIGN_OR_RETURN(const double hashes_per_second, HashesPerSecond(options.seconds / 4));
  Traffic traffic(crowd.get(), &progress);
  IM_ASSIGN_OR_RETURN(const size_t pair, traffic.AddGroup({0, 1}));
  IM_RETURN_IF_ERROR(traffic.Connect());
  size_t sender = 0;
  bool chatting = false;
  const auto send = [&] { traffic.Send(pair, sender = 1 - sender, steady_clock::now()); };
  traffic.OnLanded([&](size_t) {
    if (chatting) send();
  });
  const auto chat = [&](bool on) {
    crowd->loop()->Do([&] {
      chatting = on;
      if (on) send();
    });
    if (!on) traffic.Drain();
  };
  const auto measure = [&](double seconds, Callers* callers, Histogram* messages) {
    Measure(
        target, seconds, &progress,
        [&](bool on) {
          if (callers != nullptr) callers->Measure(on);
          crowd->loop()->Do([&, on] {
            traffic.Measure(on);
            if (!on) *messages = traffic.latency();
          });
        },
        [&] { return !traffic.failed() && (callers == nullptr || !callers->failed()); }, outcome);
  };

  Histogram none, alone, beside_refreshes, beside_logins;
  chat(true);
  measure(options.seconds / 4, nullptr, &alone);
  std::vector<std::string> refresh_tokens;
  for (size_t i = 0; i < crowd->size(); ++i) {
    refresh_tokens.push_back((*crowd)[i].refresh_token);
  }
  Callers refreshes(options.clients, [&](size_t thread) -> absl::Status {
    std::string& token = refresh_tokens[2 + thread];
    auth::v1::RefreshRequest request;
    request.set_refresh_token(token);
    const auto refreshed = channel.Call(&AccountService::Stub::Refresh, request);
    if (refreshed.ok()) token = refreshed->tokens().refresh_token();
    return refreshed.status();
  });
  measure(options.seconds / 4, &refreshes, &beside_refreshes);
  refreshes.Stop();
  const double refreshes_per_second =
      static_cast<double>(refreshes.latency().count()) / outcome->seconds;

  const auto log_in = [&](size_t thread) -> absl::Status {
    const Credentials& account = accounts[thread % accounts.size()];
    auth::v1::LogInRequest request;
    request.set_user_name(account.user_name);
    request.set_password(account.password);
    request.mutable_device()->set_name("bench");
    return channel.Call(&AccountService::Stub::LogIn, request).status();
  };
  Callers busy_logins(options.clients, log_in);
  measure(options.seconds / 2, &busy_logins, &beside_logins);
  busy_logins.Stop();
  const double beside_messages =
      static_cast<double>(busy_logins.latency().count()) / outcome->seconds;
  chat(false);
  Callers logins(options.clients, log_in);
  measure(options.seconds, &logins, &none);
  logins.Stop();
  IM_RETURN_IF_ERROR(traffic.Judge(outcome));
  outcome->latency = logins.latency();
  outcome->per_second = static_cast<double>(logins.latency().count()) / outcome->seconds;
  const auto ms = [](const Histogram& latency) {
    return static_cast<double>(latency.Quantile(0.5)) / 1000;
  };
  outcome->more.Add("clients", options.clients)
      .Add("refreshes_per_second", refreshes_per_second)
      .Add("put_off", logins.put_off() + busy_logins.put_off())
      .Add("per_second_beside_messages", beside_messages)
      .Add("hashes_per_second", hashes_per_second)
      .Add("message_ms_alone", ms(alone))
      .Add("message_ms_beside_refreshes", ms(beside_refreshes))
      .Add("message_ms_beside_logins", ms(beside_logins));
  outcome->more_text = absl::StrFormat(
      "%d at once, %d put off; the cores alone hash %.1f passwords a second; %.1f log-ins/s while "
      "two people chat; %.0f refreshes/s\n"
      "a message, ms, median: %.2f alone, %.2f beside refreshes, %.2f beside log-ins\n",
      options.clients, logins.put_off() + busy_logins.put_off(), hashes_per_second, beside_messages,
      refreshes_per_second, ms(alone), ms(beside_refreshes), ms(beside_logins));
  if (!refreshes.failure().ok()) return refreshes.failure();
  if (!busy_logins.failure().ok()) return busy_logins.failure();
  return logins.failure();
}

}  // namespace

Outcome MeasureLogin(const Target& target, const LoginOptions& options) {
  Outcome outcome{.scenario = "login", .counted = "log-ins"};
  outcome.failure = Run(target, options, &outcome);
  return outcome;
}

}  // namespace im::bench
