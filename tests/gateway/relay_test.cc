// Streams that are passed on: each side at the other's pace, and every way in which they end.
#include "gateway/relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>

#include "common/rpc/bytes.h"
#include "common/rpc/channel.h"
#include "tests/gateway/any_service.h"

namespace im::gateway {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

// A client as the relay sees it: the test says whether it has room, and what it says.
class Client : public Sink {
 public:
  bool Write(const Frame& frame) override {
    MutexLock lock(&mu_);
    frames_.emplace_back(frame.slice().begin(), frame.slice().end());
    changed_.NotifyAll();
    return room_;
  }
  void End(const grpc::Status& status) override {
    MutexLock lock(&mu_);
    EXPECT_FALSE(end_.has_value()) << "ended twice";
    end_ = status;
    changed_.NotifyAll();
  }
  void Read() override {
    MutexLock lock(&mu_);
    ++reads_;
    changed_.NotifyAll();
  }
  void Cut() override {}

  void SetRoom(bool room) {
    MutexLock lock(&mu_);
    room_ = room;
  }
  bool AwaitFrames(size_t count) {
    return Await([&]() IM_REQUIRES(mu_) { return frames_.size() >= count; });
  }
  bool AwaitRead(int count, std::chrono::milliseconds patience = 20s) {
    return Await([&]() IM_REQUIRES(mu_) { return reads_ >= count; }, patience);
  }
  grpc::Status AwaitEnd() {
    EXPECT_TRUE(Await([&]() IM_REQUIRES(mu_) { return end_.has_value(); }));
    MutexLock lock(&mu_);
    return end_.value_or(grpc::Status(grpc::StatusCode::UNKNOWN, "it never ended"));
  }
  std::vector<std::string> frames() {
    MutexLock lock(&mu_);
    return frames_;
  }
  int reads() {
    MutexLock lock(&mu_);
    return reads_;
  }

 private:
  template <typename Condition>
  bool Await(const Condition& condition, std::chrono::milliseconds patience = 20s) {
    const auto until = steady_clock::now() + patience;
    MutexLock lock(&mu_);
    while (!condition()) {
      if (!changed_.WaitUntil(&mu_, until)) return condition();
    }
    return true;
  }

  Mutex mu_;
  CondVar changed_;
  bool room_ IM_GUARDED_BY(mu_) = true;
  std::vector<std::string> frames_ IM_GUARDED_BY(mu_);
  int reads_ IM_GUARDED_BY(mu_) = 0;
  std::optional<grpc::Status> end_ IM_GUARDED_BY(mu_);
};

class RelayTest : public ::testing::Test {
 protected:
  RelayTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "im-relay-XXXXXX").string();
    dir_ = mkdtemp(pattern.data());
    service_ = std::make_unique<AnyService>("unix:" + dir_ + "/any");
    stub_ = std::make_unique<grpc::GenericStub>(rpc::Connect(service_->address(), {}));
  }
  ~RelayTest() override {
    service_.reset();
    std::filesystem::remove_all(dir_);
  }
  void Open(const char* method) {
    CallInfo call;
    call.path = std::string("/any.v1.Service/") + method;
    call.request_id = "r";
    call.deadline = deadline_;
    events_ = Relay(call, stub_.get(), client_);
  }
  // Says messages as long as they are taken; returns how many bytes were.
  size_t Fill() {
    size_t said = 0;
    const std::string message(kFloodBytes, 'x');
    while (said < (size_t{64} << 20)) {
      awaited_ = client_->reads() + 1;
      said += message.size();
      if (!events_->OnFrame(message) && !client_->AwaitRead(awaited_, 300ms)) break;
    }
    return said;
  }
  static void Await(const std::function<bool()>& condition) {
    const auto until = steady_clock::now() + 20s;
    Mutex mu;
    CondVar nobody;
    MutexLock lock(&mu);
    while (!condition() && steady_clock::now() < until) {
      nobody.WaitUntil(&mu, steady_clock::now() + 2ms);
    }
    EXPECT_TRUE(condition());
  }
  // Neither door nor gRPC hold on to it.
  void ExpectLetGo() {
    const std::weak_ptr<Client> client = client_;
    const std::weak_ptr<SessionEvents> events = events_;
    client_.reset();
    events_.reset();
    Await([&] { return client.expired() && events.expired(); });
  }

  std::string dir_;
  std::unique_ptr<AnyService> service_;
  std::unique_ptr<grpc::GenericStub> stub_;
  std::shared_ptr<Client> client_ = std::make_shared<Client>();
  // The read that Fill gave up waiting for.
  int awaited_ = 0;
  std::shared_ptr<SessionEvents> events_;
  std::chrono::system_clock::time_point deadline_ = std::chrono::system_clock::time_point::max();
};

TEST_F(RelayTest, PassesMessagesOnBothWays) {
  Open("Echo");
  for (int i = 1; i <= 100; ++i) {
    EXPECT_FALSE(events_->OnFrame("message " + std::to_string(i)));
    ASSERT_TRUE(client_->AwaitRead(i));
  }
  events_->OnHalfClosed();
  EXPECT_TRUE(client_->AwaitEnd().ok());
  const auto frames = client_->frames();
  ASSERT_EQ(frames.size(), 100u);
  EXPECT_EQ(frames.front(), "message 1");
  EXPECT_EQ(frames.back(), "message 100");
  ExpectLetGo();
}

TEST_F(RelayTest, TheLastWordComesAfterTheMessageUnderWay) {
  for (int i = 0; i < 50; ++i) {
    client_ = std::make_shared<Client>();
    Open("Echo");
    EXPECT_FALSE(events_->OnFrame("last"));
    events_->OnHalfClosed();
    EXPECT_TRUE(client_->AwaitEnd().ok());
    EXPECT_THAT(client_->frames(), ::testing::ElementsAre("last"));
  }
}

TEST_F(RelayTest, TakesFromTheServiceWhatTheClientHasRoomFor) {
  client_->SetRoom(false);
  Open("Flood");
  for (size_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(client_->AwaitFrames(i));
    EXPECT_EQ(client_->frames().size(), i);
    if (i < 20) events_->OnRoom();
  }
  // One message here, and what gRPC takes in advance; the service waits.
  Await([&] { return service_->bytes_written > kFloodBytes * 20; });
  EXPECT_LT(service_->bytes_written, size_t{8} << 20);
  EXPECT_EQ(client_->frames().size(), 20u);
  events_->OnClosed();
  client_->AwaitEnd();
  ExpectLetGo();
}

TEST_F(RelayTest, TakesFromTheClientWhatTheServiceTakes) {
  Open("Deaf");
  const size_t said = Fill();
  EXPECT_LT(said, size_t{8} << 20);
  EXPECT_EQ(service_->bytes_read, 0u);
  service_->Hear();
  EXPECT_TRUE(client_->AwaitRead(awaited_));
  events_->OnHalfClosed();
  EXPECT_TRUE(client_->AwaitEnd().ok());
  EXPECT_EQ(service_->bytes_read, said);
}

// There is no read under way then that could fail, and never room for another.
TEST_F(RelayTest, ACutWhileThereIsNoRoom) {
  client_->SetRoom(false);
  Open("Flood");
  ASSERT_TRUE(client_->AwaitFrames(1));
  events_->OnClosed();
  EXPECT_EQ(client_->AwaitEnd().error_code(), grpc::StatusCode::CANCELLED);
  Await([&] { return service_->cancelled == 1; });
  // The door gives back what was under way, maybe only now.
  events_->OnRoom();
  ExpectLetGo();
}

TEST_F(RelayTest, ACutWhileTheServiceTakesNothing) {
  Open("Deaf");
  Fill();
  events_->OnHalfClosed();
  events_->OnClosed();
  EXPECT_EQ(client_->AwaitEnd().error_code(), grpc::StatusCode::CANCELLED);
  Await([&] { return service_->cancelled == 1; });
  ExpectLetGo();
}

TEST_F(RelayTest, AServiceThatEndsWhileMessagesAreUnderWay) {
  Open("Deaf");
  Fill();
  events_->OnHalfClosed();
  service_->CancelAll();
  EXPECT_EQ(client_->AwaitEnd().error_code(), grpc::StatusCode::CANCELLED);
  // What the door still had.
  EXPECT_TRUE(events_->OnFrame("late"));
  events_->OnHalfClosed();
  ExpectLetGo();
}

TEST_F(RelayTest, PassesTheStatusOnAsItIs) {
  Open("Refuse");
  const grpc::Status status = client_->AwaitEnd();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "50 % of \n\xc3\xa9");
  EXPECT_EQ(status.error_details(), "\x01\xff");
  ExpectLetGo();
}

TEST_F(RelayTest, KeepsTheDeadline) {
  deadline_ = std::chrono::system_clock::now() + 300ms;
  Open("Deaf");
  EXPECT_EQ(client_->AwaitEnd().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_LT(service_->last_deadline(), std::chrono::system_clock::now() + 20s);
}

TEST_F(RelayTest, NobodyIsThere) {
  service_.reset();
  Open("Echo");
  EXPECT_EQ(client_->AwaitEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  ExpectLetGo();
}

}  // namespace
}  // namespace im::gateway
