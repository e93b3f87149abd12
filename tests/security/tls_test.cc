// TLS: what the public port speaks, certificates that are replaced while it runs, and who may call
// a service on TCP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "im/gateway/v1/gateway.grpc.pb.h"
#include "tests/e2e/person.h"
#include "tests/security/certificates.h"
#include "tests/security/stream.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Optional;

bool Await(const std::function<bool()>& condition, seconds patience = seconds(20)) {
  const auto until = steady_clock::now() + patience;
  while (!condition()) {
    if (steady_clock::now() > until) return false;
  }
  return true;
}

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "im-tls-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// The real gateway, with a TLS port.
class PublicTlsTest : public ::testing::Test {
 protected:
  PublicTlsTest() {
    Replace(ca_.Issue("localhost"));
    WriteFile(folder_ / "ca.crt", ca_.certificate());
    stack_ = std::make_unique<Stack>(
        StackOptions{.flags = {{"gateway",
                                {"--server.tls_listen=127.0.0.1:" + port_,
                                 "--server.tls_certificate=" + (folder_ / "server.crt"),
                                 "--server.tls_key=" + (folder_ / "server.key")}}}});
  }

  void Replace(const TestCa::Pair& pair) {
    WriteFile(folder_ / "server.crt", pair.certificate);
    WriteFile(folder_ / "server.key", pair.key);
  }
  Outcome Connects(std::vector<std::string> how) const {
    std::vector<std::string> command = {
        "openssl",  "s_client", "-connect",         "127.0.0.1:" + port_,   "-alpn",
        "h2",       "-CAfile",  folder_ / "ca.crt", "-verify_return_error", "-verify_hostname",
        "localhost"};
    command.insert(command.end(), how.begin(), how.end());
    return RunProgram(command);
  }
  // Whether a new connection is shown this certificate, and can be used.
  bool Shows(const TestCa::Pair& pair) const {
    const Outcome outcome = Connects({"-showcerts"});
    return outcome.status == 0 && absl::StrContains(outcome.out, pair.certificate);
  }
  std::shared_ptr<grpc::Channel> Channel() const {
    return rpc::Connect("localhost:" + port_, {.ca = folder_ / "ca.crt"});
  }

  const TestCa ca_;
  const Folder folder_;
  const std::string port_ = absl::StrCat(FreePort());
  std::unique_ptr<Stack> stack_;
};

TEST_F(PublicTlsTest, OldProtocolsAreRefused) {
  // The client would not even offer them without.
  constexpr char kAll[] = "ALL:@SECLEVEL=0";
  for (const char* old : {"-tls1", "-tls1_1"}) {
    const Outcome outcome = Connects({old, "-cipher", kAll});
    EXPECT_NE(outcome.status, 0) << old;
    // By the server, which hangs up, not by the client.
    EXPECT_THAT(outcome.err,
                AnyOf(HasSubstr("alert protocol version"), HasSubstr("unexpected eof")))
        << old;
  }
  for (const char* good : {"-tls1_2", "-tls1_3"}) {
    const Outcome outcome = Connects({good});
    EXPECT_EQ(outcome.status, 0) << good << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("ALPN protocol: h2")) << good;
  }
}

TEST_F(PublicTlsTest, OnlyAuthenticatedCiphersWithForwardSecrecy) {
  const Outcome list = RunProgram({"openssl", "ciphers", "-s", "-tls1_2", "ALL:@SECLEVEL=0"});
  ASSERT_EQ(list.status, 0);
  int accepted = 0, refused = 0;
  for (const absl::string_view name : absl::StrSplit(absl::StripAsciiWhitespace(list.out), ':')) {
    const std::string cipher(name);
    const Outcome outcome = Connects({"-tls1_2", "-cipher", cipher + ":@SECLEVEL=0"});
    if (outcome.status != 0) {
      ++refused;
      continue;
    }
    ++accepted;
    EXPECT_TRUE(absl::StartsWith(cipher, "ECDHE-")) << cipher;
    EXPECT_TRUE(absl::StrContains(cipher, "GCM") || absl::StrContains(cipher, "CHACHA20"))
        << cipher;
  }
  EXPECT_GT(accepted, 0);
  EXPECT_GT(refused, 20);
}

TEST_F(PublicTlsTest, ANewCertificateIsTakenAndOldStreamsStay) {
  Person ann(stack_->address(), "ann");
  gateway::v1::ConnectRequest hello;
  hello.mutable_hello()->mutable_have()->set_only_listed(true);
  const std::string connect = "/im.gateway.v1.GatewayService/Connect";
  Stream stream(Channel(), connect, ann.tokens().access_token(), hello.SerializeAsString());
  ASSERT_TRUE(stream.ToCaughtUp().ok());

  const TestCa::Pair fresh = ca_.Issue("localhost");
  EXPECT_FALSE(Shows(fresh));
  Replace(fresh);
  EXPECT_TRUE(Await([&] { return Shows(fresh); }, seconds(5)));
  EXPECT_THAT(stack_->Log("gateway"), HasSubstr("certificate_taken"));

  gateway::v1::ConnectRequest typing;
  typing.set_call_id(1);
  typing.mutable_set_typing()->set_conversation_id(4711);
  stream.Send(typing.SerializeAsString());
  EXPECT_THAT(ReasonOf(stream.ToAnswer(1).status()), Optional(Reason::CONVERSATION_NOT_FOUND));
  Stream later(Channel(), connect, ann.LogsIn().access_token(), hello.SerializeAsString());
  EXPECT_TRUE(later.ToCaughtUp().ok());
}

TEST_F(PublicTlsTest, ABrokenCertificateIsNotTaken) {
  const TestCa::Pair good = ca_.Issue("localhost"), better = ca_.Issue("localhost");
  Replace(good);
  ASSERT_TRUE(Await([&] { return Shows(good); }));
  const auto is_refused_as = [&](const char* what) {
    EXPECT_TRUE(Await([&] {
      const std::string log = stack_->Log("gateway");
      return absl::StrContains(log, "certificate_not_taken") && absl::StrContains(log, what);
    })) << what;
    EXPECT_TRUE(Shows(good)) << what;
  };
  WriteFile(folder_ / "server.crt", better.certificate.substr(0, better.certificate.size() / 2));
  is_refused_as("is no PEM file of certificates");
  // The second of a chain is cut off.
  WriteFile(folder_ / "server.crt", good.certificate + better.certificate.substr(0, 200));
  is_refused_as("is no PEM file of certificates");
  WriteFile(folder_ / "server.crt", better.certificate);
  is_refused_as("is not the key of");
  WriteFile(folder_ / "server.key", "-----BEGIN PRIVATE KEY-----\n");
  is_refused_as("is no PEM file of a private key");
  std::filesystem::remove(folder_ / "server.key");
  is_refused_as("cannot read");
  WriteFile(folder_ / "server.key", better.key);
  EXPECT_TRUE(Await([&] { return Shows(better); }, seconds(5)));
}

// A service on TCP, as all of ours listen.
class MutualTlsTest : public ::testing::Test {
 protected:
  MutualTlsTest() {
    Write("ca", ca_.certificate());
    Write("other-ca", other_ca_.certificate());
    WritePair("server", ca_.Issue("localhost"));
    WritePair("client", ca_.Issue("client"));
    WritePair("other", other_ca_.Issue("client"));
    WritePair("expired", ca_.Issue("client", -seconds(60)));
  }

  void Write(const std::string& name, const std::string& text) {
    WriteFile(folder_ / (name + ".crt"), text);
  }
  void WritePair(const std::string& name, const TestCa::Pair& pair) {
    Write(name, pair.certificate);
    WriteFile(folder_ / (name + ".key"), pair.key);
  }
  std::unique_ptr<rpc::Server> Serve(const std::string& certificate) {
    rpc::ServerConfig config;
    config.listen = {{.address = "localhost:0",
                      .tls_certificate = folder_ / (certificate + ".crt"),
                      .tls_key = folder_ / (certificate + ".key"),
                      .tls_client_ca = folder_ / "ca.crt"}};
    auto server = rpc::Server::Start(config);
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  // With which certificate, if any, and trusting which authority.
  bool Answers(const rpc::Server& server, const std::string& certificate,
               const std::string& ca = "ca") {
    rpc::ChannelTls tls{.ca = folder_ / (ca + ".crt")};
    if (!certificate.empty()) {
      tls.certificate = folder_ / (certificate + ".crt");
      tls.key = folder_ / (certificate + ".key");
    }
    const auto stub =
        grpc::health::v1::Health::NewStub(rpc::Connect(server.addresses().front(), tls));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(10));
    grpc::health::v1::HealthCheckResponse response;
    return stub->Check(&context, {}, &response).ok();
  }

  const TestCa ca_, other_ca_;
  const Folder folder_;
};

TEST_F(MutualTlsTest, OnlyCertificatesOfOurAuthority) {
  const auto server = Serve("server");
  EXPECT_TRUE(Answers(*server, "client"));
  EXPECT_FALSE(Answers(*server, ""));
  EXPECT_FALSE(Answers(*server, "other"));
  EXPECT_FALSE(Answers(*server, "expired"));
  const auto plaintext = rpc::Connect(server->addresses().front());
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_FALSE(grpc::health::v1::Health::NewStub(plaintext)->Check(&context, {}, &response).ok());
}

TEST_F(MutualTlsTest, CallersLookAtTheServersNameAndAuthority) {
  WritePair("elsewhere", ca_.Issue("elsewhere.example"));
  WritePair("old", ca_.Issue("localhost", -seconds(60)));
  EXPECT_TRUE(Answers(*Serve("server"), "client"));
  EXPECT_FALSE(Answers(*Serve("elsewhere"), "client"));
  EXPECT_FALSE(Answers(*Serve("old"), "client"));
  EXPECT_FALSE(Answers(*Serve("server"), "client", "other-ca"));
}

// The authority of the callers is read anew, too.
TEST_F(MutualTlsTest, ANewAuthorityIsTaken) {
  const auto server = Serve("server");
  EXPECT_FALSE(Answers(*server, "other"));
  Write("ca", other_ca_.certificate());
  Write("old-ca", ca_.certificate());
  EXPECT_TRUE(Await([&] { return Answers(*server, "other", "old-ca"); }));
  EXPECT_FALSE(Answers(*server, "client", "old-ca"));
}

TEST_F(MutualTlsTest, WhatCannotBeUsedIsRefusedAtTheStart) {
  WriteFile(folder_ / "server.key", other_ca_.Issue("localhost").key);
  rpc::ServerConfig config;
  config.listen = {{.address = "localhost:0",
                    .tls_certificate = folder_ / "server.crt",
                    .tls_key = folder_ / "server.key",
                    .tls_client_ca = folder_ / "ca.crt"}};
  const auto server = rpc::Server::Start(config);
  ASSERT_FALSE(server.ok());
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("is not the key of"));
}

}  // namespace
}  // namespace im::testing
