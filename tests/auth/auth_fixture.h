// im-auth in the test's process, on a database of its own and a unix socket, spoken to through the
// stock generated stubs. Argon2 with the least there is.
#pragma once

#include <gmock/gmock.h>
#include <google/protobuf/util/time_util.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "common/base/error.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "common/token/issuer.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/internal/v1/services.grpc.pb.h"
#include "services/auth/server.h"
#include "tests/support/database.h"

namespace im::auth {

inline constexpr char kPassword[] = "correct horse battery";

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// A folder that goes with the test.
class TempFolder {
 public:
  TempFolder() {
    char path[] = "/tmp/im-auth-test-XXXXXX";
    if (mkdtemp(path) == nullptr) std::abort();
    path_ = path;
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A clock that the test moves; starts at the real time.
class TestClock {
 public:
  void Advance(std::chrono::milliseconds by) { offset_ms_ += by.count(); }
  Time Now() const {
    return std::chrono::system_clock::now() + std::chrono::milliseconds(offset_ms_.load());
  }
  token::Clock AsClock() {
    return [this] { return Now(); };
  }

 private:
  std::atomic<int64_t> offset_ms_{0};
};

// What a person with a program of their own sees of one im-auth.
class Client {
 public:
  explicit Client(const std::string& address)
      : channel_(rpc::Connect(address)),
        accounts(v1::AccountService::NewStub(channel_)),
        devices(v1::DeviceService::NewStub(channel_)),
        keys(v1::KeyService::NewStub(channel_)),
        directory(internal::v1::DirectoryService::NewStub(channel_)) {}

  template <typename Response, typename Stub, typename Request>
  absl::StatusOr<Response> Call(Stub* stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, const std::string& access_token = {}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    context.set_wait_for_ready(true);
    if (!access_token.empty()) context.AddMetadata("authorization", "Bearer " + access_token);
    Response response;
    const grpc::Status status = (stub->*method)(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    return response;
  }

  absl::StatusOr<v1::RegisterResponse> Register(const std::string& name,
                                                const std::string& password = kPassword) {
    v1::RegisterRequest request;
    request.set_user_name(name);
    request.set_password(password);
    request.mutable_device()->set_name(name + "'s laptop");
    request.mutable_device()->set_platform("test");
    return Register(request);
  }
  absl::StatusOr<v1::RegisterResponse> Register(const v1::RegisterRequest& request) {
    return Call(accounts.get(), &v1::AccountService::Stub::Register, request);
  }

  absl::StatusOr<v1::LogInResponse> LogIn(const std::string& name,
                                          const std::string& password = kPassword) {
    v1::LogInRequest request;
    request.set_user_name(name);
    request.set_password(password);
    return Call(accounts.get(), &v1::AccountService::Stub::LogIn, request);
  }

  absl::StatusOr<v1::Tokens> Refresh(const std::string& refresh_token) {
    v1::RefreshRequest request;
    request.set_refresh_token(refresh_token);
    const auto response = Call(accounts.get(), &v1::AccountService::Stub::Refresh, request);
    if (!response.ok()) return response.status();
    return response->tokens();
  }

  absl::Status LogOut(const std::string& access_token) {
    return Call(accounts.get(), &v1::AccountService::Stub::LogOut, v1::LogOutRequest(),
                access_token)
        .status();
  }

  absl::Status ChangePassword(const std::string& access_token, const std::string& from,
                              const std::string& to) {
    v1::ChangePasswordRequest request;
    request.set_current_password(from);
    request.set_new_password(to);
    return Call(accounts.get(), &v1::AccountService::Stub::ChangePassword, request, access_token)
        .status();
  }

  absl::StatusOr<v1::Profile> GetProfile(const std::string& access_token) {
    const auto response = Call(accounts.get(), &v1::AccountService::Stub::GetProfile,
                               v1::GetProfileRequest(), access_token);
    if (!response.ok()) return response.status();
    return response->profile();
  }

  absl::StatusOr<v1::ListDevicesResponse> ListDevices(const std::string& access_token,
                                                      int page_size = 0,
                                                      const std::string& page_token = {}) {
    v1::ListDevicesRequest request;
    request.set_page_size(page_size);
    request.set_page_token(page_token);
    return Call(devices.get(), &v1::DeviceService::Stub::ListDevices, request, access_token);
  }

  // 0: all others.
  absl::StatusOr<int> Revoke(const std::string& access_token, int64_t device_id) {
    v1::RevokeDevicesRequest request;
    if (device_id == 0) {
      request.set_all_others(true);
    } else {
      request.set_device_id(device_id);
    }
    const auto response =
        Call(devices.get(), &v1::DeviceService::Stub::RevokeDevices, request, access_token);
    if (!response.ok()) return response.status();
    return response->revoked();
  }

 private:
  const std::shared_ptr<grpc::Channel> channel_;

 public:
  const std::unique_ptr<v1::AccountService::Stub> accounts;
  const std::unique_ptr<v1::DeviceService::Stub> devices;
  const std::unique_ptr<v1::KeyService::Stub> keys;
  const std::unique_ptr<internal::v1::DirectoryService::Stub> directory;
};

class AuthTest : public ::testing::Test {
 protected:
  AuthTest() {
    Restart();
    AwaitReady(client());
  }

  // What the next Restart uses.
  ServerOptions options() {
    ServerOptions options;
    options.listen = {.address = "unix:" + folder_.File("auth.sock")};
    options.database_url = database_.UrlOf("auth");
    options.passwords.hashing = {.memory_kib = 8, .passes = 1};
    options.clock = clock_.AsClock();
    return options;
  }

  void Restart() { Restart(options()); }
  void Restart(const ServerOptions& options) {
    client_.reset();
    server_.reset();
    server_ = Start(options);
    client_ = std::make_unique<Client>(server_->addresses().front());
  }

  static std::unique_ptr<Server> Start(const ServerOptions& options) {
    auto server = Server::Start(options);
    if (!server.ok()) throw std::runtime_error(server.status().ToString());
    return *std::move(server);
  }

  // Until the keys are there calls fail with DATABASE_UNAVAILABLE.
  static void AwaitReady(Client& client) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      const auto keys =
          client.Call(client.keys.get(), &v1::KeyService::Stub::GetKeys, v1::GetKeysRequest());
      if (keys.ok()) return;
    }
    FAIL() << "im-auth does not get ready";
  }

  Client& client() { return *client_; }

  v1::Tokens Registered(const std::string& name) {
    const auto response = client().Register(name);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->tokens() : v1::Tokens();
  }
  v1::Tokens LoggedIn(const std::string& name, const std::string& password = kPassword) {
    const auto response = client().LogIn(name, password);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? response->tokens() : v1::Tokens();
  }

  TempFolder folder_;
  im::testing::TestDatabase database_;
  TestClock clock_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

MATCHER_P(FailsWith, reason, "fails with " + std::string(ReasonName(reason))) {
  const absl::Status& status = im::auth::StatusOf(arg);
  *result_listener << "which is " << status.ToString();
  return ReasonOf(status) == reason;
}

}  // namespace im::auth
