// More than the machine can take: who is accepted is served in time, who is not is told at once,
// nothing acknowledged is missing, memory stays where it was, and afterwards all is as before.
// im-bench overload is the same at length; figures are in docs/operations.md.
#include "bench/overload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "bench/accounts.h"
#include "client/tokens.h"
#include "common/base/error.h"
#include "common/base/random.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/gateway/v1/gateway.grpc.pb.h"
#include "tests/e2e/person.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using std::chrono::steady_clock;

constexpr size_t kMiB = 1 << 20;

// Figures of memory and of single calls say nothing about a program that a sanitizer makes large
// and slow.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kFigures = false;
#else
constexpr bool kFigures = true;
#endif

class OverloadTest : public ::testing::Test {
 protected:
  // Each call that stores messages takes this much longer, so that PostgreSQL is the bottleneck on
  // any machine.
  static void SlowStores(Stack* stack, const std::string& seconds) {
    stack->database().Exec(
        "CREATE FUNCTION public.take_time() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_sleep(" +
        seconds +
        "); RETURN NULL; END $$; CREATE TRIGGER take_time AFTER INSERT ON chat.entries "
        "FOR EACH STATEMENT EXECUTE FUNCTION public.take_time()");
  }
  static std::map<std::string, size_t> PeakMemory(const Stack& stack) {
    std::map<std::string, size_t> memory;
    for (const std::string& name : stack.names()) memory[name] = stack.PeakMemory(name);
    return memory;
  }
  // Three times what is possible. Memory stays where it was.
  static bench::OverloadResult Overload(Stack* stack, double seconds) {
    std::map<std::string, size_t> before;
    bench::OverloadOptions options;
    options.clients = 60;
    options.seconds = seconds;
    options.on_overload = [&](bool begins) {
      if (begins) before = PeakMemory(*stack);
    };
    bench::OverloadResult result =
        bench::MeasureOverload({stack->address(), stack->database().url()}, options);
    for (const auto& [name, peak] : PeakMemory(*stack)) {
      if (kFigures) {
        EXPECT_LT(peak, before[name] + 200 * kMiB) << name;
      }
    }
    return result;
  }
  // Within so many microseconds, or refused at once; and all is as before soon.
  static void ExpectServed(const bench::OverloadResult& result, int64_t bound) {
    ASSERT_TRUE(result.failure.ok()) << bench::ToText(result);
    std::printf("%s", bench::ToText(result).c_str());
    EXPECT_GT(result.messages, 0);
    EXPECT_GT(result.refused, 0);
    EXPECT_EQ(result.untyped, 0);
    EXPECT_EQ(result.unanswered, 0);
    EXPECT_LT(result.latency.max(), bound);
    EXPECT_LT(result.unary_latency.max(), bound);
    if (kFigures) {
      EXPECT_LT(result.refused_latency.Quantile(0.5), 500'000);
    }
    for (const auto& [what, count] : result.unary) {
      EXPECT_THAT(what,
                  ::testing::AnyOf(::testing::EndsWith(" OK"), ::testing::EndsWith(" OVERLOADED")));
    }
    EXPECT_EQ(result.lost, 0);
    EXPECT_EQ(result.duplicated, 0);
    EXPECT_LT(result.recovery_ms, 10'000);
  }
};

TEST_F(OverloadTest, ThreeTimesWhatPostgresqlCanTake) {
  Stack stack;
  SlowStores(&stack, "0.3");
  const bench::OverloadResult result = Overload(&stack, 6);
  // The writers' two seconds, a batch, and as much again for a machine with other things to do.
  ExpectServed(result, 6'000'000);
  // The last stores take their time after the load, too.
  EXPECT_GT(result.seconds, 6.1);
}

// A refusal must cost so little that all that is sent is read: else it waits at the client, for as
// long as the overload lasts.
TEST_F(OverloadTest, ThreeTimesWhatTheCoresCanTake) {
  Stack stack;
  // What has waited five seconds is not begun any more; and a batch, on cores that are all busy.
  ExpectServed(Overload(&stack, 8), 8'000'000);
}

// Hashing takes a core for a while, so that log-ins are what is soonest too much.
TEST_F(OverloadTest, MoreLogInsThanCanBeHashed) {
  Stack stack({.flags = {{"auth",
                          {"--passwords.threads=1", "--passwords.memory_kib=65536",
                           "--passwords.passes=3"}}}});
  Person ann(stack.address(), "ann");
  constexpr int kAtOnce = 100;
  std::vector<std::future<std::pair<absl::Status, steady_clock::duration>>> attempts;
  std::vector<std::shared_ptr<client::Channel>> channels;
  for (int i = 0; i < 4; ++i) {
    channels.push_back(*client::Channel::Open({.server = stack.address()}));
  }
  // Until the first in the queue has waited for two seconds no one is refused; so, more and more.
  for (int i = 0; i < kAtOnce; ++i) {
    attempts.push_back(std::async(std::launch::async, [&, i] {
      std::this_thread::sleep_for(std::chrono::milliseconds(40) * i);
      auth::v1::LogInRequest request;
      request.set_user_name("ann");
      request.set_password("correct horse 4711");
      const auto from = steady_clock::now();
      const auto response = channels[static_cast<size_t>(i) % channels.size()]->Call(
          &auth::v1::AccountService::Stub::LogIn, request);
      return std::pair(response.status(), steady_clock::now() - from);
    }));
  }
  int accepted = 0, refused = 0;
  steady_clock::duration soonest = std::chrono::hours(1);
  for (auto& attempt : attempts) {
    const auto [status, took] = attempt.get();
    // Two seconds as a rule, five at most, and one's own.
    EXPECT_LT(took, std::chrono::seconds(10));
    if (status.ok()) {
      ++accepted;
      continue;
    }
    ++refused;
    soonest = std::min(soonest, took);
    EXPECT_EQ(ReasonOf(status), Reason::OVERLOADED) << status;
    EXPECT_TRUE(DetailsOf(status).retry_after.has_value());
  }
  EXPECT_LT(soonest, std::chrono::milliseconds(500));
  EXPECT_GT(accepted, 3);
  EXPECT_GT(refused, 0);
  // At once again.
  const auto from = steady_clock::now();
  ann.LogsIn();
  EXPECT_LT(steady_clock::now() - from, std::chrono::seconds(5));
}

// A device that reads nothing at all, not even what it asked for; and goes on asking if it `calls`.
class NeverReads
    : public grpc::ClientBidiReactor<gateway::v1::ConnectRequest, gateway::v1::ConnectResponse> {
 public:
  NeverReads(const std::string& server, const std::string& token, bool calls) : calls_(calls) {
    // Its transport takes no more by itself than it must.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 64 << 10);
    stub_ = gateway::v1::GatewayService::NewStub(
        grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments));
    client::AddToken(&context_, token);
    stub_->async()->Connect(&context_, this);
    frame_.mutable_hello()->mutable_have()->set_only_listed(true);
    StartWrite(&frame_);
    AddHold();
    StartCall();
  }
  ~NeverReads() override {
    context_.TryCancel();
    RemoveHold();
    done_.get_future().wait();
  }
  // Until it is not read from any more. The gateway answers these by itself.
  void OnWriteDone(bool ok) override {
    if (!ok || !calls_) return;
    const uint64_t call_id = frame_.call_id() + 1;
    frame_.Clear();
    frame_.set_call_id(call_id);
    StartWrite(&frame_);
  }
  void OnDone(const grpc::Status&) override { done_.set_value(); }

 private:
  const bool calls_;
  std::unique_ptr<gateway::v1::GatewayService::Stub> stub_;
  grpc::ClientContext context_;
  gateway::v1::ConnectRequest frame_;
  std::promise<void> done_;
};

// Whether its clients call, and what each may cost.
class NeverReadsTest : public OverloadTest,
                       public ::testing::WithParamInterface<std::pair<bool, size_t>> {};
INSTANTIATE_TEST_SUITE_P(
    , NeverReadsTest,
    // Its queue of 256 KB, a frame under way, and what the allocator needs; and 1,024 answers.
    ::testing::Values(std::pair(false, 400U << 10), std::pair(true, 700U << 10)),
    [](const auto& of) { return of.param.first ? "AndCalls" : "AndIsSilent"; });

TEST_P(NeverReadsTest, CostsAtMostItsQueue) {
  const auto [calls, most] = GetParam();
  constexpr int kClients = 300;
  // More than a queue of 256 KB and what the client's transport takes by itself.
  constexpr int kMessages = 24;
  // They give no sign of life either, so that otherwise their time would be up.
  Stack stack({.flags = {{"gateway", {"--session.heartbeat_seconds=600"}}}});
  std::vector<bench::NewAccount> wanted = {{"ann", ""}};
  for (int i = 0; i < kClients; ++i) wanted.push_back({"deaf-" + std::to_string(i), ""});
  const auto accounts = bench::MakeAccounts({stack.address(), stack.database().url()}, wanted);
  ASSERT_TRUE(accounts.ok()) << accounts.status();
  const auto token_of = [&](const bench::Account& account,
                            const std::shared_ptr<client::Channel>& channel) {
    client::MemoryTokens tokens(channel, account.tokens);
    std::promise<absl::StatusOr<std::string>> promise;
    tokens.GetToken("", [&](absl::StatusOr<std::string> got) { promise.set_value(got); });
    return *promise.get_future().get();
  };
  const auto anns = *client::Channel::Open({.server = stack.address()});
  const std::string ann = token_of(accounts->front(), anns);
  const size_t before = stack.PeakMemory("gateway");
  std::vector<std::unique_ptr<NeverReads>> deaf;
  std::vector<int64_t> chats;
  for (int i = 1; i <= kClients; ++i) {
    const std::string token = token_of((*accounts)[static_cast<size_t>(i)], anns);
    deaf.push_back(std::make_unique<NeverReads>(stack.address(), token, calls));
    chat::v1::OpenDirectRequest open;
    open.set_user_id((*accounts)[static_cast<size_t>(i)].user_id);
    const auto opened = anns->Call(&chat::v1::ConversationService::Stub::OpenDirect, open, ann);
    ASSERT_TRUE(opened.ok()) << opened.status();
    chats.push_back(opened->conversation().conversation_id());
  }
  const size_t chat_before = stack.PeakMemory("chat");
  // Each gets its own, so that no bytes are shared.
  std::vector<std::thread> senders;
  std::atomic<int> next{0};
  for (int i = 0; i < 8; ++i) {
    senders.emplace_back([&] {
      for (int number; (number = next++) < kClients * kMessages;) {
        chat::v1::SendMessageRequest request;
        request.set_conversation_id(chats[static_cast<size_t>(number % kClients)]);
        request.set_request_id(RandomBytes(16));
        request.mutable_content()->mutable_text()->set_body(std::string(16'000, 'x'));
        const auto sent = anns->Call(&chat::v1::MessageService::Stub::SendMessage, request, ann);
        EXPECT_TRUE(sent.ok()) << sent.status();
      }
    });
  }
  for (std::thread& sender : senders) sender.join();
  const size_t each = (stack.PeakMemory("gateway") - before) / kClients;
  RecordProperty("gateway_kib_each", static_cast<int>(each >> 10));
  std::printf("%d clients that never read%s: gateway %zu KiB each, chat %zu MiB\n", kClients,
              calls ? " and call" : "", each >> 10,
              (stack.PeakMemory("chat") - chat_before) / kMiB);
  EXPECT_EQ(stack.Log("gateway").find("session_ended"), std::string::npos);
  if (kFigures) {
    EXPECT_LT(each, most);
  }
  EXPECT_GT(each, 100U << 10) << "their queues were not filled";
  if (kFigures) {
    EXPECT_LT(stack.PeakMemory("chat"), chat_before + 100 * kMiB);
  }
  // Nobody else notices.
  const auto from = steady_clock::now();
  EXPECT_TRUE(anns->Call(&chat::v1::ConversationService::Stub::ListConversations,
                         chat::v1::ListConversationsRequest(), ann)
                  .ok());
  EXPECT_LT(steady_clock::now() - from, std::chrono::seconds(2));
}

}  // namespace
}  // namespace im::testing
