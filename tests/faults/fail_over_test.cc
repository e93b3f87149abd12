// The primary is lost for good and a standby takes its place, under the whole set-up with people
// online and away. See docs/operations.md, "A standby".
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "tests/e2e/person.h"
#include "tests/support/private_cluster.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSubsetOf;

class FailOverTest : public ::testing::Test {
 protected:
  FailOverTest() {
    ann_.Befriends(bob_);
    chat_ = ann_.OpensDirect(bob_);
  }

  // Until the services have found the new primary, and the clients them.
  static constexpr std::chrono::seconds kPatience{60};

  // Waits until the device was told that what it had is void.
  static void ExpectForgets(Device* device) {
    EXPECT_TRUE(device->WaitFor(
        [](const Device& told) {
          return told.forgotten == 1 && told.state == client::ConnectionState::kLive;
        },
        kPatience));
  }
  // Waits for a text; returns what was heard since the device has forgotten, in rising seq. What
  // was said before may be among it: an instance that catches up tells its last entries again.
  static std::vector<std::string> HearsUpTo(Device* device, const std::string& last) {
    std::vector<std::string> texts;
    int64_t seq = 0;
    bool rises = true;
    EXPECT_TRUE(device->WaitFor([&](const Device& told) {
      texts.clear();
      seq = 0;
      for (const chat::v1::Entry& entry : told.entries) {
        texts.push_back(entry.message().text().body());
        rises = rises && entry.seq() > seq;
        seq = entry.seq();
      }
      return !texts.empty() && texts.back() == last;
    })) << "did not hear "
        << last;
    EXPECT_TRUE(rises);
    return texts;
  }
  // Its seq; 0: it failed.
  int64_t Sends(Device* device, const std::string& text) const {
    const auto sent = device->Sends(chat_, text, kPatience);
    EXPECT_TRUE(sent.ok()) << sent.status();
    return sent.ok() ? sent->seq() : 0;
  }

  PrivateCluster cluster_{{.standby = true}};
  Stack stack_{{.instances = {{"chat", 2}, {"gateway", 2}}, .cluster_url = cluster_.url()}};
  Person ann_{stack_.address(), "ann"};
  Person bob_{stack_.address("gateway-2"), "bob"};
  int64_t chat_ = 0;
};

TEST_F(FailOverTest, NothingIsLostIfCommitsWaitForTheStandby) {
  cluster_.StartStandby();
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  ASSERT_EQ(Sends(anns.get(), "one"), 1);
  ASSERT_EQ(bobs->Hears(chat_, 1).size(), 1U);
  cluster_.FailOver();
  EXPECT_EQ(Sends(anns.get(), "two"), 2);
  ExpectForgets(anns.get());
  ExpectForgets(bobs.get());
  EXPECT_THAT(ann_.ReadsHistory(chat_), ElementsAre("one", "two"));
  EXPECT_EQ(Sends(bobs.get(), "three"), 3);
  HearsUpTo(anns.get(), "three");
}

// What the standby had not got is gone, and its numbers are given again: to nobody's confusion.
TEST_F(FailOverTest, WhatIsLostIfCommitsDoNotWaitIsForgottenByClients) {
  cluster_.StartStandby(/*commits_wait=*/false);
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  ASSERT_EQ(Sends(anns.get(), "kept"), 1);
  cluster_.CutOffStandby();
  ASSERT_EQ(Sends(anns.get(), "lost"), 2);
  ASSERT_EQ(Sends(anns.get(), "lost, too"), 3);
  ASSERT_EQ(bobs->Hears(chat_, 3).size(), 3U);
  // A device of Bob's that has them is away meanwhile.
  client::SessionOptions had;
  had.snapshot = bobs->session().GetSnapshot();
  cluster_.FailOver();
  ExpectForgets(anns.get());
  ExpectForgets(bobs.get());
  EXPECT_THAT(bob_.ReadsHistory(chat_), ElementsAre("kept"));
  EXPECT_EQ(Sends(anns.get(), "another"), 2);
  EXPECT_THAT(HearsUpTo(bobs.get(), "another"), IsSubsetOf({"kept", "another"}));
  Device away(stack_.address(), bob_.LogsIn(), had);
  ExpectForgets(&away);
  EXPECT_EQ(Sends(bobs.get(), "heard"), 3);
  EXPECT_THAT(HearsUpTo(anns.get(), "heard"), IsSubsetOf({"kept", "another", "heard"}));
  EXPECT_THAT(HearsUpTo(&away, "heard"), IsSubsetOf({"kept", "another", "heard"}));
  for (Person* const person : {&ann_, &bob_}) {
    EXPECT_THAT(person->ReadsHistory(chat_), ElementsAre("kept", "another", "heard"));
  }
}

// As docs/operations.md tells whoever lets commits go on without the standby.
TEST_F(FailOverTest, IdsOfTheLostMomentsAreNotGivenOutAgainAfterRestored) {
  cluster_.StartStandby(/*commits_wait=*/false);
  cluster_.CutOffStandby();
  Person lost(stack_.address(), "lost");
  const std::vector<std::string> services = stack_.names();
  for (const std::string& name : services) EXPECT_EQ(stack_.Terminate(name), 0) << name;
  cluster_.FailOver();
  const Outcome restored = RunProgram({IM_BINARY_DIR "/bin/im-migrate", "--restored",
                                       "--database.url=" + stack_.database().UrlOf("owner")});
  ASSERT_EQ(restored.status, 0) << restored.err;
  for (const std::string& name : services) stack_.Launch(name);
  for (const std::string& name : services) stack_.WaitHealthy(name);
  Person next(stack_.address(), "next");
  EXPECT_GT(next.id(), lost.id() + 100'000);
  EXPECT_TRUE(absl::IsUnauthenticated(
      lost.Call(&auth::v1::AccountService::Stub::GetProfile, auth::v1::GetProfileRequest())
          .status()));
}

}  // namespace
}  // namespace im::testing
