// Presence from end to end: how fast changes arrive, and that nobody flickers when something is
// killed or restarted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>

#include "im/presence/v1/presence.grpc.pb.h"
#include "tests/e2e/person.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using presence::v1::Status;
using std::chrono::steady_clock;

class PresenceTest : public ::testing::Test {
 protected:
  PresenceTest() { ann_.Befriends(bob_); }

  static bool Shows(Device* device, const Person& other, Status status) {
    return device->WaitFor([&](const Device& told) {
      const auto shown = told.screen.find(other.id());
      return (shown == told.screen.end() ? presence::v1::STATUS_OFFLINE : shown->second) == status;
    });
  }
  static int WentOffline(Device* device) {
    int count = 0;
    device->WaitFor([&](const Device& told) {
      count = told.went_offline;
      return true;
    });
    return count;
  }
  static absl::Status Set(Person* person, Status status) {
    presence::v1::SetStatusRequest request;
    request.set_status(status);
    return person->Call(&presence::v1::PresenceService::Stub::SetStatus, request).status();
  }
  // A call that was on its way to what was stopped fails, and is made again.
  static void Becomes(Device* device, Status status) {
    const auto deadline = steady_clock::now() + std::chrono::seconds(20);
    absl::Status outcome;
    do {
      auto done = std::make_shared<std::promise<absl::Status>>();
      std::future<absl::Status> set = done->get_future();
      device->session().SetStatus(status, [done](const absl::Status& s) { done->set_value(s); });
      ASSERT_EQ(set.wait_until(deadline), std::future_status::ready);
      outcome = set.get();
    } while (absl::IsUnavailable(outcome) && steady_clock::now() < deadline);
    EXPECT_TRUE(outcome.ok()) << outcome;
  }
  // Both are live again, and changes reach them.
  void WorkAgain(Device* ann, Device* bob) {
    ann->WaitLive();
    bob->WaitLive();
    for (const Status status : {presence::v1::STATUS_BUSY, presence::v1::STATUS_ONLINE}) {
      Becomes(ann, status);
      Becomes(bob, status);
      EXPECT_TRUE(Shows(bob, ann_, status));
      EXPECT_TRUE(Shows(ann, bob_, status));
    }
  }

  Stack stack_;
  Person ann_{stack_.address(), "ann"};
  Person bob_{stack_.address(), "bob"};
};

TEST_F(PresenceTest, ChangesArriveWithinTwoSeconds) {
  auto bob = bob_.Connects();
  bob->WaitLive();
  auto ann = ann_.Connects();
  ann->WaitLive();
  EXPECT_TRUE(Shows(bob.get(), ann_, presence::v1::STATUS_ONLINE));
  EXPECT_TRUE(Shows(ann.get(), bob_, presence::v1::STATUS_ONLINE)) << "by its first picture";
  for (const Status status : {presence::v1::STATUS_AWAY, presence::v1::STATUS_BUSY,
                              presence::v1::STATUS_INVISIBLE, presence::v1::STATUS_ONLINE}) {
    const auto started = steady_clock::now();
    ann->session().SetStatus(status, [](absl::Status) {});
    const bool hidden = status == presence::v1::STATUS_INVISIBLE;
    EXPECT_TRUE(Shows(bob.get(), ann_, hidden ? presence::v1::STATUS_OFFLINE : status));
    EXPECT_LT(steady_clock::now() - started, std::chrono::seconds(2));
  }
  const auto started = steady_clock::now();
  ann.reset();
  EXPECT_TRUE(Shows(bob.get(), ann_, presence::v1::STATUS_OFFLINE));
  EXPECT_LT(steady_clock::now() - started, std::chrono::seconds(2));
}

TEST_F(PresenceTest, NobodyFlickersWhateverIsRestarted) {
  auto ann = ann_.Connects(), bob = bob_.Connects();
  WorkAgain(ann.get(), bob.get());
  const int before = WentOffline(ann.get()) + WentOffline(bob.get());
  for (const char* service : {"presence", "chat", "auth", "gateway"}) {
    stack_.Kill(service);
    stack_.Start(service);
    WorkAgain(ann.get(), bob.get());
    EXPECT_EQ(WentOffline(ann.get()) + WentOffline(bob.get()), before) << "killed: " << service;
    EXPECT_EQ(stack_.Terminate(service), 0) << service;
    stack_.Start(service);
    WorkAgain(ann.get(), bob.get());
    EXPECT_EQ(WentOffline(ann.get()) + WentOffline(bob.get()), before) << "restarted: " << service;
  }
}

TEST_F(PresenceTest, NobodyFlickersWhenSomethingStandsStillForTenSeconds) {
  auto ann = ann_.Connects(), bob = bob_.Connects();
  WorkAgain(ann.get(), bob.get());
  const int before = WentOffline(ann.get()) + WentOffline(bob.get());
  for (const char* service : {"presence", "gateway"}) {
    stack_.Pause(service);
    EXPECT_EQ(stack_.database().Value("SELECT 'waited' FROM pg_sleep(11)"), "waited");
    stack_.Resume(service);
    WorkAgain(ann.get(), bob.get());
    EXPECT_EQ(WentOffline(ann.get()) + WentOffline(bob.get()), before) << "stopped: " << service;
  }
}

TEST_F(PresenceTest, WhoHidByAUnaryCallStaysHiddenWhenPresenceIsKilled) {
  auto bob = bob_.Connects();
  bob->WaitLive();
  auto ann = std::make_unique<Device>(stack_.address(), ann_.tokens());
  ann->WaitLive();
  ASSERT_TRUE(Shows(bob.get(), ann_, presence::v1::STATUS_ONLINE));
  ASSERT_TRUE(Set(&ann_, presence::v1::STATUS_INVISIBLE).ok());
  ASSERT_TRUE(Shows(bob.get(), ann_, presence::v1::STATUS_OFFLINE));
  stack_.Kill("presence");
  stack_.Start("presence");
  // A word that comes after the picture of the new run: she is not in it.
  auto carl = std::make_unique<Person>(stack_.address(), "carl");
  carl->Befriends(bob_);
  auto device = carl->Connects();
  ASSERT_TRUE(Shows(bob.get(), *carl, presence::v1::STATUS_ONLINE));
  EXPECT_TRUE(Shows(bob.get(), ann_, presence::v1::STATUS_OFFLINE));
  EXPECT_EQ(WentOffline(bob.get()), 1);
}

}  // namespace
}  // namespace im::testing
