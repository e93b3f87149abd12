// How the daemons start, refuse to start, and end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "common/base/workers.h"
#include "tests/e2e/person.h"
#include "tests/support/private_cluster.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kServices[] = {"auth", "chat", "presence"};

Outcome RunService(const std::string& name, std::vector<std::string> more) {
  more.insert(more.begin(), {IM_BINARY_DIR "/bin/im-" + name, "--database.url=postgresql:///none"});
  if (name != "auth") more.push_back("--upstreams.auth=unix:/nowhere");
  if (name == "presence") more.push_back("--upstreams.chat=unix:/nowhere");
  return RunProgram(more);
}

TEST(StartTest, AnAddressInUseIsSaid) {
  Stack stack({.tls = true});
  const std::string& folder = stack.folder();
  for (const char* name : kServices) {
    const Outcome outcome = RunService(name, {"--server.listen=" + stack.address(),
                                              "--server.tls_certificate=" + folder + "/server.crt",
                                              "--server.tls_key=" + folder + "/server.key",
                                              "--server.tls_client_ca=" + folder + "/ca.crt"});
    EXPECT_EQ(outcome.status, 1) << name;
    EXPECT_THAT(outcome.err, HasSubstr("cannot listen on")) << name;
  }
}

// Sanitizers bring their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(StartTest, ProgramsOnAMessagesWayAllocateByMimalloc) {
  for (const char* name : {"gateway", "chat"}) {
    const Outcome outcome = RunProgram({IM_BINARY_DIR "/bin/im-" + std::string(name), "--help"}, "",
                                       {"MIMALLOC_SHOW_STATS=1"});
    EXPECT_THAT(outcome.err, HasSubstr("heap stats")) << name;
  }
}
#endif

// Some calls between services need no token.
TEST(StartTest, ServicesDoNotServeAnybodyOnTheNetwork) {
  Stack stack({.tls = true});
  const std::string& folder = stack.folder();
  for (const char* name : kServices) {
    for (const char* address : {"0.0.0.0:0", "127.0.0.1:0"}) {
      const std::string listen = std::string("--server.listen=") + address;
      for (const std::vector<std::string>& flags :
           {std::vector<std::string>{listen},
            std::vector<std::string>{listen, "--server.tls_certificate=" + folder + "/server.crt",
                                     "--server.tls_key=" + folder + "/server.key"}}) {
        const Outcome outcome = RunService(name, flags);
        EXPECT_EQ(outcome.status, 1) << name << address;
        EXPECT_THAT(outcome.err, HasSubstr("tls_client_ca")) << name << address;
      }
    }
  }
}

TEST(StartTest, ServicesOnTcpTalkWithMutualTls) {
  Stack stack({.tls = true});
  Person ann(stack.address(), "ann"), bob(stack.address(), "bob");
  ann.Befriends(bob);
  const int64_t chat = ann.OpensDirect(bob);
  auto anns = ann.Connects(), bobs = bob.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  const auto sent = anns->Sends(chat, "hi");
  ASSERT_TRUE(sent.ok()) << sent.status();
  EXPECT_THAT(bobs->Hears(chat, 1), ElementsAre("hi"));
}

TEST(StopTest, ADatabaseThatHangsKeepsNobody) {
  PrivateCluster cluster;
  Stack stack({.cluster_url = cluster.url()});
  cluster.Pause();
  // Long enough for every thread that asks the database to wait for it.
  std::this_thread::sleep_for(seconds(3));
  {
    const auto begin = steady_clock::now();
    // So that a test which fails does end.
    Ticker resume(seconds(50), [&] {
      if (steady_clock::now() - begin > seconds(49)) cluster.Resume();
    });
    for (const char* name : {"gateway", "auth", "chat", "presence"}) {
      const auto told = steady_clock::now();
      stack.Terminate(name);
      EXPECT_LT(steady_clock::now() - told, seconds(15)) << name;
    }
  }
  cluster.Resume();
}

}  // namespace
}  // namespace im::testing
