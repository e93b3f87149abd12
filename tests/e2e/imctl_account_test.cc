// imctl as people and scripts run it: accounts, devices, passwords, TLS.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <sstream>
#include <thread>

#include "common/base/error.h"
#include "common/rpc/status.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "tests/e2e/imctl_fixture.h"

namespace im::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ImctlAccountTest : public ImctlTest {};

TEST_F(ImctlAccountTest, DevicesAndPasswords) {
  Register("ann");
  Do("phone", {"login", "ann", "--password-stdin", "--device-name", "Ann's phone"},
     std::string(kPassword) + "\n");
  EXPECT_THAT(Do("ann", {"devices"}), AllOf(HasSubstr("Ann's phone"), HasSubstr("this one")));
  Do("ann", {"passwd", "--password-stdin"}, std::string(kPassword) + "\nanother long password\n");
  EXPECT_EQ(Run("phone", {"whoami"}).status, 3);
  Do("phone", {"login", "ann", "--password-stdin"}, "another long password\n");
  EXPECT_THAT(Do("phone", {"devices", "revoke", "--others"}), HasSubstr("1 logged out."));
  EXPECT_EQ(Run("ann", {"whoami"}).status, 3);
  EXPECT_THAT(Do("phone", {"profile", "set", "--display-name", "Ann B."}), HasSubstr("Ann B."));
  EXPECT_THAT(Do("phone", {"lookup", "ANN"}), HasSubstr("Ann B."));
  Do("phone", {"logout"});
  EXPECT_EQ(Run("phone", {"whoami"}).status, 3);
}

TEST_F(ImctlAccountTest, LogsInAgainWhereTheDeviceEnded) {
  Register("ann");
  Register("bob");
  Befriend("ann", "bob");
  Do("bob", {"send", "ann", "one"});
  Do("ann", {"listen", "--once"});
  const std::string password = std::string(kPassword) + "\n";
  Do("phone", {"login", "ann", "--password-stdin"}, password);
  const Outcome alive = Run("ann", {"login", "ann", "--password-stdin"}, password);
  EXPECT_EQ(alive.status, 2);
  EXPECT_THAT(alive.err, AllOf(HasSubstr("logged in as ann"), HasSubstr("another --profile")));
  Do("phone", {"devices", "revoke", "--others"});
  const Outcome ended = Run("ann", {"whoami"});
  EXPECT_EQ(ended.status, 3);
  EXPECT_THAT(ended.err, HasSubstr("imctl login NAME"));
  EXPECT_EQ(Run("ann", {"login", "bob", "--password-stdin"}, password).status, 2)
      << "somebody else's";
  Do("ann", {"login", "Ann", "--password-stdin"}, password);
  Do("bob", {"send", "ann", "two"});
  EXPECT_THAT(Do("ann", {"listen", "--once"}),
              AllOf(HasSubstr("bob: two"), Not(HasSubstr("bob: one"))));
}

TEST_F(ImctlAccountTest, TokensAreForTheirServer) {
  Register("ann");
  const std::string port = stack_.address().substr(stack_.address().rfind(':'));
  for (const std::string& server : {"localhost" + port, std::string("127.0.0.1:1")}) {
    const Outcome elsewhere = Run("ann", {"--server", server, "whoami"});
    EXPECT_EQ(elsewhere.status, 2);
    EXPECT_THAT(elsewhere.err,
                AllOf(HasSubstr("logged in on 127.0.0.1"),
                      HasSubstr("imctl --profile NAME --server " + server + " login ann")));
  }
}

// A server whose answers get lost on the way.
class LossyServer : public auth::v1::AccountService::Service {
 public:
  LossyServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  grpc::Status Register(grpc::ServerContext*, const auth::v1::RegisterRequest*,
                        auth::v1::RegisterResponse*) override {
    return Lost(&registered);
  }
  grpc::Status LogIn(grpc::ServerContext*, const auth::v1::LogInRequest* request,
                     auth::v1::LogInResponse* response) override {
    response->mutable_profile()->set_user_name(request->user_name());
    response->mutable_tokens()->set_access_token("access");
    response->mutable_tokens()->mutable_access_expires_at()->set_seconds(time(nullptr) + 3600);
    return grpc::Status::OK;
  }
  grpc::Status ChangePassword(grpc::ServerContext*, const auth::v1::ChangePasswordRequest*,
                              auth::v1::ChangePasswordResponse*) override {
    return Lost(&changed);
  }
  grpc::Status GetProfile(grpc::ServerContext*, const auth::v1::GetProfileRequest*,
                          auth::v1::GetProfileResponse*) override {
    return ++asked == 1 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed")
                        : rpc::ToGrpc(Error(Reason::INTERNAL));
  }

  std::atomic<int> registered = 0;
  std::atomic<int> changed = 0;
  std::atomic<int> asked = 0;

 private:
  static grpc::Status Lost(std::atomic<int>* done) {
    if (++*done == 1) return {grpc::StatusCode::UNAVAILABLE, "Socket closed"};
    return rpc::ToGrpc(Error(Reason::WRONG_CREDENTIALS));
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(ImctlLostAnswerTest, WhatCannotBeRepeatedIsSentOnce) {
  std::string home = (std::filesystem::temp_directory_path() / "im-lost-XXXXXX").string();
  ASSERT_NE(mkdtemp(home.data()), nullptr);
  LossyServer server;
  const auto run = [&](std::vector<std::string> words) {
    words.insert(words.begin(), IM_BINARY_DIR "/bin/imctl");
    return RunProgram(words, "one long password\nanother long password\n",
                      {"IMCTL_HOME=" + home, "IMCTL_SERVER=" + server.address()});
  };
  const Outcome registered = run({"register", "ann", "--password-stdin"});
  EXPECT_EQ(registered.status, 4);
  EXPECT_THAT(registered.err, AllOf(HasSubstr("not known whether"), HasSubstr("imctl login ann")));
  EXPECT_EQ(server.registered, 1);
  ASSERT_EQ(run({"login", "ann", "--password-stdin"}).status, 0);

  const Outcome changed = run({"passwd", "--password-stdin"});
  EXPECT_EQ(changed.status, 4);
  EXPECT_THAT(changed.err, AllOf(HasSubstr("not known whether"), HasSubstr("Socket closed"),
                                 HasSubstr("the new password")));
  EXPECT_EQ(server.changed, 1);

  const Outcome internal = run({"whoami"});
  EXPECT_EQ(server.asked, 2) << "reading may be repeated";
  EXPECT_EQ(internal.status, 4) << "the server does not work";
  EXPECT_THAT(internal.err, HasSubstr("[INTERNAL]"));
  std::filesystem::remove_all(home);
}

TEST_F(ImctlAccountTest, ManyProcessesShareOneRefresh) {
  Register("ann");
  // As if the access token were about to expire.
  const std::string path = home_ + "/ann/account.json";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  std::ofstream(path) << std::regex_replace(text.str(),
                                            std::regex("\"access_expires_at\":\"[^\"]*\""),
                                            "\"access_expires_at\":\"2020-01-01T00:00:00Z\"");
  std::vector<std::thread> processes;
  std::vector<int> codes(6, -1);
  for (size_t i = 0; i < codes.size(); ++i) {
    processes.emplace_back([&, i] { codes[i] = Run("ann", {"whoami"}).status; });
  }
  for (auto& process : processes) process.join();
  EXPECT_THAT(codes, ::testing::Each(0));
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM auth.devices"), "1");
  Do("ann", {"whoami"});
}

TEST_F(ImctlAccountTest, ARevokedDeviceIsTold) {
  Register("ann");
  Do("phone", {"login", "ann", "--password-stdin"}, std::string(kPassword) + "\n");
  PtyProgram phone(Command("phone", {"listen"}), Environment());
  ASSERT_TRUE(phone.Sees("# connected"));
  Do("ann", {"devices", "revoke", "--others"});
  ASSERT_TRUE(phone.Sees("[DEVICE_REVOKED]"));
  EXPECT_EQ(phone.Ends(), 3);
}

TEST_F(ImctlAccountTest, PasswordsAreAskedForWithoutEcho) {
  PtyProgram ann(Command("ann", {"register", "ann"}), Environment());
  ASSERT_TRUE(ann.Sees("New password: "));
  ann.Type(std::string(kPassword) + "\n");
  ASSERT_TRUE(ann.Sees("New password, again: "));
  ann.Type(std::string(kPassword) + "\n");
  ASSERT_TRUE(ann.Sees("Logged in as ann"));
  EXPECT_EQ(ann.Ends(), 0);
  EXPECT_THAT(ann.Screen(), Not(HasSubstr("dwarfs")));

  PtyProgram phone(Command("phone", {"login", "ann"}), Environment());
  ASSERT_TRUE(phone.Sees("Password: "));
  phone.Type("\x03");
  EXPECT_EQ(phone.Ends(), 2);

  PtyProgram bob(Command("bob", {"register", "bob"}), Environment());
  ASSERT_TRUE(bob.Sees("New password: "));
  bob.Type("one\n");
  ASSERT_TRUE(bob.Sees("again: "));
  bob.Type("two\n");
  ASSERT_TRUE(bob.Sees("not the same"));
  EXPECT_EQ(bob.Ends(), 2);
}

TEST(ImctlTlsTest, ChecksWhomItTalksTo) {
  std::string pattern = (std::filesystem::temp_directory_path() / "im-certs-XXXXXX").string();
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  const Outcome made = RunProgram({IM_SOURCE_DIR "/deploy/certificates.sh", pattern, "localhost"});
  ASSERT_EQ(made.status, 0) << made.err;
  const std::string address = "localhost:" + std::to_string(FreePort());
  StackOptions options;
  options.flags["gateway"] = {"--server.tls_listen=" + address,
                              "--server.tls_certificate=" + pattern + "/server.crt",
                              "--server.tls_key=" + pattern + "/server.key"};
  Stack stack(options);
  const auto run = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {IM_BINARY_DIR "/bin/imctl", "--server", address});
    return RunProgram(words, std::string(kPassword) + "\n",
                      {"IMCTL_HOME=" + stack.folder() + "/home"});
  };
  EXPECT_EQ(run({"--tls", "register", "ann", "--password-stdin"}).status, 4)
      << "an authority that nobody knows";
  EXPECT_EQ(run({"--ca", pattern + "/ca.crt", "register", "ann", "--password-stdin"}).status, 0);
  // The profile remembers.
  EXPECT_EQ(run({"whoami"}).status, 0);
  std::filesystem::remove_all(pattern);
}

}  // namespace
}  // namespace im::testing
