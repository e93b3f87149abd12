#include "client/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"

namespace im::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest() : outbox_([] { return Backoff({}, [] { return 0.5; }); }) {}

  void Add(int64_t conversation_id, const std::string& id) {
    chat::v1::SendMessageRequest request;
    request.set_conversation_id(conversation_id);
    request.set_request_id(id);
    outbox_.Add(request, [this, id](const absl::StatusOr<chat::v1::SendMessageResponse>& answer) {
      settled_.push_back(id + (answer.ok() ? " " + std::to_string(answer->seq()) : " failed"));
    });
  }
  std::vector<std::string> Ready() {
    std::vector<std::string> ids;
    for (const auto& request : outbox_.TakeReady()) {
      ids.push_back(request.request_id());
      last_[request.request_id()] = request;
    }
    return ids;
  }
  std::optional<std::chrono::milliseconds> Fail(const std::string& id, const absl::Status& status) {
    return outbox_.Answered(last_[id], status);
  }
  void Succeed(const std::string& id, int64_t seq) {
    chat::v1::SendMessageResponse response;
    response.set_seq(seq);
    outbox_.Answered(last_[id], response);
  }

  Outbox outbox_;
  std::map<std::string, chat::v1::SendMessageRequest> last_;
  std::vector<std::string> settled_;
};

TEST_F(OutboxTest, SendsOneAtATimeInEachConversation) {
  Add(1, "a");
  Add(1, "b");
  Add(2, "c");
  EXPECT_THAT(Ready(), ElementsAre("a", "c"));
  EXPECT_THAT(Ready(), IsEmpty());
  Succeed("a", 10);
  EXPECT_THAT(Ready(), ElementsAre("b"));
  Succeed("c", 3);
  EXPECT_THAT(settled_, ElementsAre("a 10", "c 3"));
}

TEST_F(OutboxTest, KeepsTheOrderOverFailuresThatPass) {
  Add(1, "a");
  Add(1, "b");
  Ready();
  EXPECT_TRUE(Fail("a", Error(Reason::OUTCOME_UNKNOWN)).has_value());
  EXPECT_THAT(Ready(), IsEmpty());
  outbox_.Ready(1);
  EXPECT_THAT(Ready(), ElementsAre("a"));
  EXPECT_THAT(settled_, IsEmpty());
}

TEST_F(OutboxTest, WaitsAtLeastAsLongAsItIsTold) {
  Add(1, "a");
  Ready();
  const auto delay =
      Fail("a", Error(Reason::RATE_LIMITED, "", {.retry_after = std::chrono::milliseconds(7000)}));
  EXPECT_GE(*delay, std::chrono::milliseconds(7000));
}

TEST_F(OutboxTest, TellsWhatIsRefusedForGoodAndGoesOn) {
  Add(1, "a");
  Add(1, "b");
  Ready();
  EXPECT_FALSE(Fail("a", Error(Reason::RECIPIENT_REFUSES)).has_value());
  EXPECT_THAT(settled_, ElementsAre("a failed"));
  EXPECT_THAT(Ready(), ElementsAre("b"));
}

TEST_F(OutboxTest, AnEntryThatComesAnotherWaySettles) {
  Add(1, "a");
  Add(1, "b");
  Ready();
  outbox_.ConnectionLost();
  chat::v1::Entry entry;
  entry.set_conversation_id(1);
  entry.set_request_id("a");
  entry.set_seq(4);
  outbox_.Seen(entry);
  EXPECT_THAT(settled_, ElementsAre("a 4"));
  EXPECT_THAT(Ready(), ElementsAre("b"));
  // The answer, if it still comes, changes nothing.
  Succeed("a", 4);
  EXPECT_THAT(settled_, ElementsAre("a 4"));
}

TEST_F(OutboxTest, SendsAgainWhatTheConnectionTook) {
  Add(1, "a");
  Add(1, "b");
  Ready();
  outbox_.ConnectionLost();
  EXPECT_THAT(Ready(), ElementsAre("a"));
}

TEST(RetryableTest, TellsWhatMayPassFromWhatWillNot) {
  EXPECT_TRUE(IsRetryable(Error(Reason::DATABASE_UNAVAILABLE)));
  EXPECT_TRUE(IsRetryable(Error(Reason::OVERLOADED)));
  EXPECT_TRUE(IsRetryable(absl::UnavailableError("")));
  EXPECT_FALSE(IsRetryable(Error(Reason::REQUEST_TOO_LARGE)));
  EXPECT_FALSE(IsRetryable(Error(Reason::REQUEST_ID_REUSED)));
  EXPECT_FALSE(IsRetryable(Error(Reason::DEVICE_REVOKED)));
}

TEST(BackoffTest, DoublesUpToTheLimitWithFullJitter) {
  double uniform = 0.999999;
  Backoff backoff({std::chrono::milliseconds(100), std::chrono::milliseconds(1000)},
                  [&] { return uniform; });
  EXPECT_EQ(backoff.Next().count(), 99);
  EXPECT_EQ(backoff.Next().count(), 199);
  EXPECT_EQ(backoff.Next().count(), 399);
  for (int i = 0; i < 50; ++i) backoff.Next();
  EXPECT_EQ(backoff.Next().count(), 999);
  uniform = 0;
  EXPECT_EQ(backoff.Next().count(), 0);
  backoff.Reset();
  uniform = 0.999999;
  EXPECT_EQ(backoff.Next().count(), 99);
}

}  // namespace
}  // namespace im::client
