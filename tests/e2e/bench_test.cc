// Seeded accounts are the services' own: same rows, same behaviour.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "bench/accounts.h"
#include "bench/fanout.h"
#include "bench/history.h"
#include "bench/login.h"
#include "bench/online.h"
#include "bench/pairs.h"
#include "bench/parts.h"
#include "bench/rate.h"
#include "client/channel.h"
#include "im/auth/v1/accounts.grpc.pb.h"
#include "im/chat/v1/contacts.grpc.pb.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using auth::v1::AccountService;
using bench::Account;

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
