#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "common/base/error.h"
#include "common/pg/pool.h"
#include "tests/support/database.h"

namespace im::pg {
namespace {

using ::testing::Optional;

class PgTest : public ::testing::Test {
 protected:
  im::testing::TestDatabase database_;
  Pool pool_{{.url = database_.url(), .connections = 2}};
};

TEST_F(PgTest, ReturnsValuesAndStatuses) {
  const absl::StatusOr<int> sum = pool_.Read([](Session& session) {
    return session.Exec("SELECT $1::int + $2::int", 2, 3).at(0).at(0).as<int>();
  });
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(*sum, 5);
  EXPECT_TRUE(absl::IsNotFound(pool_.Read([](Session&) { return absl::NotFoundError("x"); })));
}

TEST_F(PgTest, BytesComeBackAsTheyWere) {
  const std::string bytes("\0\xff'\\x\n", 6);
  const absl::StatusOr<std::string> back = pool_.Read([&](Session& session) {
    return Bytes(session.Exec("SELECT $1::bytea", Bytes(bytes)).at(0).at(0));
  });
  EXPECT_EQ(*back, bytes);
}

TEST_F(PgTest, ReadsSurviveConnectionsThatDied) {
  ASSERT_TRUE(pool_.Ping());
  database_.Exec(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
      "AND pid <> pg_backend_pid()");
  EXPECT_TRUE(pool_.Ping());
}

TEST_F(PgTest, ALostConnectionLeavesAWriteInDoubt) {
  const absl::Status status = pool_.Write([&](Session& session) {
    const int pid = session.Exec("SELECT pg_backend_pid()").at(0).at(0).as<int>();
    database_.Exec("SELECT pg_terminate_backend(" + std::to_string(pid) + ")");
    session.Exec("SELECT 1");
  });
  EXPECT_THAT(ReasonOf(status), Optional(Reason::OUTCOME_UNKNOWN));
  EXPECT_TRUE(pool_.Ping());
}

TEST_F(PgTest, WrongSqlIsInternal) {
  EXPECT_THAT(ReasonOf(pool_.Read([](Session& session) { session.Exec("SELECT nonsense"); })),
              Optional(Reason::INTERNAL));
}

TEST_F(PgTest, ARightThatIsMissingIsInternal) {
  Pool pool({.url = database_.UrlOf("chat"), .connections = 1});
  EXPECT_THAT(
      ReasonOf(pool.Write([](Session& session) { session.Exec("DELETE FROM auth.accounts"); })),
      Optional(Reason::INTERNAL));
}

TEST_F(PgTest, ADeadlockMayBeTriedAgain) {
  // What it takes to be chosen as the victim, without a second one.
  EXPECT_THAT(ReasonOf(pool_.Write([](Session& session) {
                session.Exec("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$");
              })),
              Optional(Reason::DATABASE_UNAVAILABLE));
}

TEST_F(PgTest, NoDatabase) {
  Pool pool({.url = "postgresql:///x?host=/nowhere", .connections = 1});
  EXPECT_THAT(ReasonOf(pool.Read([](Session& session) { session.Exec("SELECT 1"); })),
              Optional(Reason::DATABASE_UNAVAILABLE));
}

TEST_F(PgTest, ArraysAreEscaped) {
  const absl::StatusOr<std::string> text = pool_.Read([](Session& session) {
    return session.Exec("SELECT ($1::text[])[1] || ($1::text[])[2]", TextArray({"a\"\\,{", "b"}))
        .at(0)
        .at(0)
        .as<std::string>();
  });
  EXPECT_EQ(*text, "a\"\\,{b");
}

}  // namespace
}  // namespace im::pg
