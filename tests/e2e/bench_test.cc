// Seeded accounts are the services' own: same rows, same behaviour.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "bench/accounts.h"
#include "bench/fanout.h"
#include "bench/growth.h"
#include "bench/history.h"
#include "bench/login.h"
#include "bench/online.h"
#include "bench/pairs.h"
#include "bench/parts.h"
#include "bench/population.h"
#include "bench/rate.h"
#include "client/channel.h"
#include "common/base/random.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "im/chat/v1/conversations.grpc.pb.h"
#include "im/chat/v1/messages.grpc.pb.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using auth::v1::AccountService;
using bench::Account;
using chat::v1::ConversationService;
using chat::v1::MessageService;

class BenchSeedTest : public ::testing::Test {
 protected:
  BenchSeedTest() : channel_(*client::Channel::Open({.server = stack_.address()})) {}

  bench::Target Target() { return {stack_.address(), stack_.database().UrlOf("owner")}; }

  Account Seeded(const std::string& name) {
    const auto accounts = bench::MakeAccounts(Target(), {{name, "Display"}});
    EXPECT_TRUE(accounts.ok()) << accounts.status().ToString();
    return accounts->front();
  }
  Account Registered(const std::string& name) {
    const auto accounts = bench::MakeAccounts({stack_.address(), ""}, {{name, "Display"}});
    EXPECT_TRUE(accounts.ok()) << accounts.status().ToString();
    return accounts->front();
  }

  // By every rule of the data that there is.
  void ExpectSound() {
    const testing::Outcome check = RunProgram(
        {IM_BINARY_DIR "/bin/im-check", "--database.url=" + stack_.database().UrlOf("owner")});
    EXPECT_EQ(check.status, 0) << check.out << check.err;
  }

  // The rows of a table that belong to an account, without what differs between any two: ids,
  // names, random values; of times and hashes the form remains.
  std::string Rows(const std::string& table, int64_t user_id) {
    return stack_.database().Value(
        "SELECT coalesce(jsonb_agg(row ORDER BY row::text), '[]')::text FROM ("
        "  SELECT (SELECT jsonb_object_agg(key, CASE"
        "    WHEN key IN ('user_id', 'device_id', 'user_name', 'request_id', 'request_hash') THEN "
        "      to_jsonb(jsonb_typeof(value))"
        "    WHEN key = 'password_hash' THEN "
        "      to_jsonb(regexp_replace(value #>> '{}', 'm=.*', ''))"
        "    WHEN jsonb_typeof(value) = 'string' THEN "
        "      to_jsonb(regexp_replace(value #>> '{}', '[0-9a-f]', '0', 'g')) ELSE value END)"
        "    FROM jsonb_each(to_jsonb(t))) - '{created_at,logged_in_at,last_used_at,since,at,"
        "changed_at,refresh_expires_at}'::text[] AS row"
        "  FROM " +
        table + " t WHERE user_id = " + std::to_string(user_id) + ") AS rows");
  }

  std::string AccessToken(const Account& account) {
    auth::v1::RefreshRequest request;
    request.set_refresh_token(account.tokens.refresh_token());
    const auto refreshed = channel_->Call(&AccountService::Stub::Refresh, request);
    EXPECT_TRUE(refreshed.ok()) << refreshed.status().ToString();
    return refreshed->tokens().access_token();
  }

  template <typename Method, typename Request>
  auto Called(Method method, const Request& request, const std::string& token) {
    const auto response = channel_->Call(method, request, token);
    EXPECT_TRUE(response.ok()) << response.status().ToString();
    return *response;
  }

  int64_t Say(int64_t conversation_id, const std::string& text, const std::string& token) {
    chat::v1::SendMessageRequest request;
    request.set_conversation_id(conversation_id);
    request.set_request_id(RandomBytes(16));
    request.mutable_content()->mutable_text()->set_body(text);
    return Called(&MessageService::Stub::SendMessage, request, token).seq();
  }

  // All of a conversation: its row, its members' and its entries', with people by their place among
  // `people`, and without ids, hashes and times. What a group's making says names people: its
  // length.
  std::string RowsOf(int64_t conversation_id, const std::vector<int64_t>& people) {
    std::string places = "ARRAY[";
    for (const int64_t one : people) {
      places += (places.back() == '[' ? "" : ",") + std::to_string(one);
    }
    places += "]::bigint[]";
    std::string rows;
    for (const char* table : {"chat.conversations", "chat.members", "chat.entries"}) {
      const bool whole = table == std::string("chat.conversations");
      rows += stack_.database().Value(
          "SELECT jsonb_agg(row ORDER BY row::text)::text FROM (SELECT ("
          "  SELECT jsonb_object_agg(key, CASE"
          "    WHEN value <> 'null' AND key LIKE '%user_id' THEN "
          "      to_jsonb(array_position(" +
          places +
          ", (value #>> '{}')::bigint))"
          "    WHEN key = 'content' AND to_jsonb(t) ->> 'kind' <> '10' THEN "
          "      to_jsonb(length(value #>> '{}')) ELSE value END)"
          "  FROM jsonb_each(to_jsonb(t)) WHERE key NOT IN ('id', 'conversation_id', 'at',"
          "    'last_at', 'request_id', 'request_hash')) AS row FROM " +
          table + " t WHERE " + (whole ? "id" : "conversation_id") + " = " +
          std::to_string(conversation_id) + ") AS rows");
      rows += '\n';
    }
    return rows;
  }

  // Of a scenario during which one stored message was taken away behind everybody's back.
  bench::Outcome WithoutOne(const std::function<bench::Outcome()>& measure) {
    std::atomic<bool> over{false};
    std::thread thief([&] {
      const auto take = [this] {
        return stack_.database().Value(
            "WITH taken AS (DELETE FROM chat.entries WHERE seq = 20 AND kind = 10 RETURNING 1) "
            "SELECT count(*) FROM taken");
      };
      while (!over && take() == "0") std::this_thread::sleep_for(std::chrono::milliseconds(5));
    });
    const bench::Outcome outcome = measure();
    over = true;
    thief.join();
    EXPECT_TRUE(outcome.failure.ok()) << outcome.failure;
    return outcome;
  }

  Stack stack_;
  std::shared_ptr<client::Channel> channel_;
};

TEST_F(BenchSeedTest, RowsAreThoseOfTheServices) {
  const Account seeded = Seeded("seeded"), registered = Registered("registered");
  for (const char* table : {"auth.accounts", "auth.devices", "chat.users", "chat.own_log"}) {
    const std::string rows = Rows(table, seeded.user_id);
    EXPECT_NE(rows, "[]") << table;
    EXPECT_EQ(rows, Rows(table, registered.user_id)) << table;
  }
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM chat.answers WHERE user_id IN (" +
                                    std::to_string(seeded.user_id) + ")"),
            "1");
  // Times are now, and a refresh token lives as long as the service's.
  EXPECT_EQ(stack_.database().Value(
                "SELECT count(*) FROM auth.accounts a JOIN auth.devices d USING (user_id)"
                " WHERE a.created_at > now() - interval '1 minute'"
                " AND d.refresh_expires_at BETWEEN now() + interval '59 days'"
                " AND now() + interval '61 days'"),
            "2");
}

TEST_F(BenchSeedTest, TheRefreshTokenWorks) {
  const Account seeded = Seeded("seeded");
  auth::v1::RefreshRequest request;
  request.set_refresh_token(seeded.tokens.refresh_token());
  const auto refreshed = channel_->Call(&AccountService::Stub::Refresh, request);
  ASSERT_TRUE(refreshed.ok()) << refreshed.status().ToString();
  const std::string token = refreshed->tokens().access_token();
  const auto profile =
      channel_->Call(&AccountService::Stub::GetProfile, auth::v1::GetProfileRequest(), token);
  ASSERT_TRUE(profile.ok()) << profile.status().ToString();
  EXPECT_EQ(profile->profile().user_id(), seeded.user_id);
  EXPECT_EQ(profile->profile().user_name(), "seeded");
  EXPECT_EQ(profile->profile().display_name(), "Display");
  const auto settings = channel_->Call(&chat::v1::ContactService::Stub::GetSettings,
                                       chat::v1::GetSettingsRequest(), token);
  ASSERT_TRUE(settings.ok()) << settings.status().ToString();
  EXPECT_EQ(settings->settings().reachability(), chat::v1::REACHABILITY_ANYONE);
}

TEST_F(BenchSeedTest, ATakenNameSeedsNobody) {
  Seeded("taken");
  const auto accounts = bench::MakeAccounts(Target(), {{"somebody", ""}, {"taken", ""}});
  EXPECT_EQ(accounts.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM auth.accounts"), "1");
}

TEST_F(BenchSeedTest, PairsMeasureAndAreComplete) {
  const bench::Outcome outcome =
      bench::MeasurePairs(Target(), {.pairs = 3, .window = 4, .seconds = 1});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  EXPECT_GT(outcome.per_second, 0);
  EXPECT_GE(outcome.seconds, 1);
  EXPECT_GT(outcome.processes.at("bench").rss_bytes, 0);
  // What it counted is what is stored.
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM chat.entries"),
            std::to_string(outcome.messages));
}

TEST_F(BenchSeedTest, NoScenarioPassesThatLostAMessage) {
  const std::vector<std::pair<std::string, std::function<bench::Outcome()>>> scenarios = {
      {"pairs", [this] { return bench::MeasurePairs(Target(), {.pairs = 1, .seconds = 1}); }},
      {"append", [this] { return bench::MeasureAppend(Target(), {.pairs = 1, .seconds = 1}); }},
      {"fanout", [this] { return bench::MeasureFanout(Target(), {.members = 3, .seconds = 1}); }},
      {"rate",
       [this] {
         return bench::MeasureRate(Target(),
                                   {.rate = 200, .conversations = 2, .clients = 4, .seconds = 1});
       }},
  };
  for (const auto& [name, measure] : scenarios) {
    const bench::Outcome outcome = WithoutOne(measure);
    EXPECT_GT(outcome.lost, 0) << name;
    EXPECT_FALSE(outcome.Passed()) << name;
  }
}

TEST_F(BenchSeedTest, TheAppendAloneStoresWhatTheServiceAccepts) {
  const bench::Outcome outcome =
      bench::MeasureAppend(Target(), {.pairs = 3, .window = 4, .seconds = 1});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  EXPECT_GT(outcome.per_second, 0);
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM chat.entries"),
            std::to_string(outcome.messages));
  // Both of each pair, in turn.
  EXPECT_EQ(stack_.database().Value("SELECT count(DISTINCT sender_user_id) FROM chat.entries"),
            "6");
  ExpectSound();
}

TEST_F(BenchSeedTest, TheEchoGoesNoFurtherThanTheGateway) {
  const bench::Outcome outcome =
      bench::MeasureEcho(Target(), {.pairs = 3, .window = 4, .seconds = 1});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  EXPECT_GT(outcome.per_second, 0);
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM chat.entries"), "0");
}

TEST_F(BenchSeedTest, FanoutMeasuresAndIsComplete) {
  const bench::Outcome outcome =
      bench::MeasureFanout(Target(), {.members = 20, .window = 4, .seconds = 1});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  EXPECT_GT(outcome.latency.count(), 0);
  // Each of those measured went to everybody; some are in the air at both ends.
  EXPECT_GE(outcome.per_second * outcome.seconds,
            20.0 * static_cast<double>(outcome.latency.count() - 4));
  EXPECT_EQ(stack_.database().Value(
                "SELECT count(*) FROM chat.entries WHERE request_id::text LIKE '62616c6c%'"),
            std::to_string(outcome.messages));
}

TEST_F(BenchSeedTest, ARateIsKeptAndComplete) {
  const bench::Outcome outcome =
      bench::MeasureRate(Target(), {.rate = 50, .conversations = 20, .clients = 30, .seconds = 2});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  EXPECT_GT(outcome.per_second, 10);
  EXPECT_EQ(stack_.database().Value(
                "SELECT count(*) FROM chat.entries WHERE request_id::text LIKE '62616c6c%'"),
            std::to_string(outcome.messages));
}

TEST_F(BenchSeedTest, LogInsAreCounted) {
  const bench::Outcome outcome = bench::MeasureLogin(Target(), {.clients = 2, .seconds = 1});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  EXPECT_GT(outcome.latency.count(), 0);
  EXPECT_GT(std::stoi(stack_.database().Value("SELECT count(*) FROM auth.devices")),
            outcome.latency.count());
}

TEST_F(BenchSeedTest, SeededMessagesAreLikeSentOnes) {
  const bench::Outcome outcome =
      bench::MeasureHistory(Target(), {.messages = {200, 300}, .seconds = 0.2});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  EXPECT_GT(outcome.latency.count(), 0);
  ExpectSound();
}

// The same direct conversation and the same group, once by the services and once by SQL.
TEST_F(BenchSeedTest, SeededConversationsAreThoseOfTheServices) {
  constexpr int kPeople = 3;
  constexpr int64_t kMessages = 4;
  const std::string text(100, '.');
  std::vector<std::vector<std::string>> told;
  for (const bool seeds : {false, true}) {
    std::vector<int64_t> people;
    std::vector<std::string> tokens;
    for (int i = 0; i < kPeople; ++i) {
      const Account one = Seeded("person-" + std::to_string(i) + (seeds ? "-seeded" : ""));
      people.push_back(one.user_id);
      tokens.push_back(AccessToken(one));
    }
    std::vector<int64_t> ids;
    if (seeds) {
      const auto made = bench::SeedConversations(
          Target().database_url, {{{people[0], people[1]}}, {people, /*group=*/true}});
      ASSERT_TRUE(made.ok()) << made.status().ToString();
      ids = *made;
      // In two calls, as what grows is filled.
      for (int64_t each : {kMessages - 1, int64_t{1}}) {
        const absl::Status filled =
            bench::SeedMessages(Target().database_url, ids, each, [](int64_t) {});
        ASSERT_TRUE(filled.ok()) << filled.ToString();
      }
      ASSERT_TRUE(bench::Vacuum(Target().database_url).ok());
    } else {
      chat::v1::OpenDirectRequest open;
      open.set_user_id(people[1]);
      ids.push_back(Called(&ConversationService::Stub::OpenDirect, open, tokens[0])
                        .conversation()
                        .conversation_id());
      chat::v1::CreateGroupRequest create;
      create.set_request_id(RandomBytes(16));
      create.set_title("Seeded");
      create.add_user_ids(people[1]);
      create.add_user_ids(people[2]);
      ids.push_back(Called(&ConversationService::Stub::CreateGroup, create, tokens[0])
                        .conversation()
                        .conversation_id());
      // The members in turn; a group's making is its first entry.
      for (int64_t i = 0; i < kMessages; ++i) {
        Say(ids[0], text, tokens[static_cast<size_t>((i + 1) % 2)]);
        Say(ids[1], text, tokens[static_cast<size_t>((i + 2) % kPeople)]);
      }
    }
    told.emplace_back();
    for (const int64_t id : ids) told.back().push_back(RowsOf(id, people));
    if (!seeds) continue;
    // To the service they are its own: the same request again is none.
    const std::string seq = "SELECT seq FROM chat.entries WHERE kind = 10 AND conversation_id = " +
                            std::to_string(ids[1]) + " ORDER BY seq LIMIT 1";
    const std::string entry =
        " FROM chat.entries WHERE conversation_id = " + std::to_string(ids[1]) + " AND seq = (" +
        seq + ")";
    chat::v1::SendMessageRequest again;
    again.set_conversation_id(ids[1]);
    again.set_request_id(absl::HexStringToBytes(
        stack_.database().Value("SELECT encode(uuid_send(request_id), 'hex')" + entry)));
    again.mutable_content()->mutable_text()->set_body(text);
    const int64_t sender = std::stoll(stack_.database().Value("SELECT sender_user_id" + entry));
    const auto whose = std::find(people.begin(), people.end(), sender) - people.begin();
    EXPECT_EQ(std::to_string(Called(&MessageService::Stub::SendMessage, again,
                                    tokens[static_cast<size_t>(whose)])
                                 .seq()),
              stack_.database().Value(seq));
    // And the next one comes behind them.
    EXPECT_EQ(Say(ids[0], "next", tokens[0]), kMessages + 1);
  }
  EXPECT_NE(told[0][0].find("sent_seq"), std::string::npos);
  EXPECT_EQ(told[0][0], told[1][0]);
  EXPECT_EQ(told[0][1], told[1][1]);
  ExpectSound();
}

TEST_F(BenchSeedTest, AWholePopulationIsSound) {
  const bench::Outcome outcome =
      bench::Seed(Target(), {.users = 150, .conversations = 100, .messages = 1'000});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM auth.accounts"), "150");
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM chat.conversations"), "100");
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM chat.entries WHERE kind = 10"), "1000");
  ExpectSound();
}

TEST_F(BenchSeedTest, GrowthIsCompleteAtEveryStep) {
  ASSERT_TRUE(bench::Seed(Target(), {.users = 10, .conversations = 0, .messages = 0}).Passed());
  const bench::Outcome outcome = bench::MeasureGrowth(
      Target(),
      {.max_messages = 10'000, .max_users = 1'000, .max_members = 10, .rate = 50, .seconds = 0.5});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  const std::string json = bench::ToJson(outcome);
  for (const char* step : {"\"messages\": {\"10000\": {", "\"users\": {\"1000\": {",
                           "\"members\": {\"2\": {", "\"10\": {"}) {
    EXPECT_NE(json.find(step), std::string::npos) << step << " in " << json;
  }
  // What is there is counted: beside the messages 150 groups were made, or somewhat more.
  EXPECT_THAT(json, ::testing::ContainsRegex(
                        R"("messages": \{"10000": \{"entries": 101[0-9]{2}, "accounts": 1010,)"));
  ExpectSound();
}

TEST_F(BenchSeedTest, IdleClientsStay) {
  const bench::Outcome outcome = bench::MeasureIdle(Target(), {.clients = 30, .seconds = 1});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
}

TEST_F(BenchSeedTest, AStormEndsWithEveryoneCaughtUp) {
  const bench::Outcome outcome =
      bench::MeasureStorm(Target(), {.clients = 30, .jitter_seconds = 0.5});
  EXPECT_TRUE(outcome.Passed()) << bench::ToText(outcome);
  EXPECT_EQ(outcome.latency.count(), 30);
  EXPECT_EQ(stack_.database().Value("SELECT count(*) FROM chat.entries"), "30");
}

TEST_F(BenchSeedTest, PairsFailWhenTheirStreamsBreak) {
  std::thread fault([this] {
    while (stack_.database().Value("SELECT count(*) FROM chat.entries") == "0") {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    stack_.Kill("gateway");
  });
  const bench::Outcome outcome = bench::MeasurePairs(Target(), {.pairs = 1, .seconds = 30});
  fault.join();
  EXPECT_FALSE(outcome.Passed());
}

}  // namespace
}  // namespace im::testing
