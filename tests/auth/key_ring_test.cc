// The keys of access tokens over the months.
#include "services/auth/key_ring.h"

#include <gmock/gmock.h>

#include <thread>

#include "common/pg/pool.h"
#include "common/token/issuer.h"
#include "tests/auth/auth_fixture.h"

namespace im::auth {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using ::testing::SizeIs;

class KeyRingTest : public ::testing::Test {
 protected:
  std::vector<token::PublicKey> KeySet(const KeyRing& ring) {
    return *token::ParseJwks(*ring.KeySet());
  }
  std::string Issue(const KeyRing& ring) {
    const SigningKey key = *ring.Current();
    return *token::Issue(key.pair.id, key.pair.private_pem,
                         {1, 2, clock_.Now(), clock_.Now() + minutes(15)});
  }

  im::testing::TestDatabase database_;
  TestClock clock_;
  pg::Pool pool_{{.url = database_.UrlOf("auth"), .connections = 2}};
  PgKeys store_{&pool_};
  token::Verifier verifier_{{.clock = clock_.AsClock()}};
  KeyRing ring_{&store_, &verifier_, clock_.AsClock()};
};

TEST_F(KeyRingTest, KnowsNothingBeforeItHasRead) {
  EXPECT_THAT(ring_.Current(), FailsWith(Reason::DATABASE_UNAVAILABLE));
  EXPECT_THAT(ring_.KeySet(), FailsWith(Reason::DATABASE_UNAVAILABLE));
}

TEST_F(KeyRingTest, MakesTheFirstKeyAndKeepsIt) {
  ASSERT_TRUE(ring_.Reload().ok());
  const std::string first = ring_.Current()->pair.id;
  EXPECT_TRUE(verifier_.Verify(Issue(ring_)).ok());
  EXPECT_THAT(*ring_.KeySet(), ::testing::Not(::testing::HasSubstr("PRIVATE")));
  EXPECT_THAT(*ring_.KeySet(), ::testing::Not(::testing::HasSubstr("\"d\"")));
  clock_.Advance(hours(29 * 24));
  ASSERT_TRUE(ring_.Reload().ok());
  EXPECT_EQ(ring_.Current()->pair.id, first);
  EXPECT_THAT(KeySet(ring_), SizeIs(1));
}

TEST_F(KeyRingTest, InstancesThatStartAtOnceMakeOneKey) {
  std::vector<std::unique_ptr<token::Verifier>> verifiers;
  std::vector<std::unique_ptr<KeyRing>> rings;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    verifiers.push_back(std::make_unique<token::Verifier>());
    rings.push_back(std::make_unique<KeyRing>(&store_, verifiers.back().get(), clock_.AsClock()));
  }
  for (auto& ring : rings) {
    threads.emplace_back([&ring] { EXPECT_TRUE(ring->Reload().ok()); });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(database_.Value("SELECT count(*) FROM auth.signing_keys"), "1");
  for (auto& ring : rings) EXPECT_EQ(ring->Current()->pair.id, rings[0]->Current()->pair.id);
}

TEST_F(KeyRingTest, ANewKeyIsAnnouncedThenUsedThenAlone) {
  ASSERT_TRUE(ring_.Reload().ok());
  const std::string first = ring_.Current()->pair.id;
  clock_.Advance(kKeyLife - kKeyAnnouncement);
  ASSERT_TRUE(ring_.Reload().ok());
  // Known to all before it signs.
  EXPECT_THAT(KeySet(ring_), SizeIs(2));
  EXPECT_EQ(ring_.Current()->pair.id, first);
  EXPECT_GT(std::chrono::seconds(kKeyAnnouncement), kKeySetMaxAge);
  const std::string old_token = Issue(ring_);

  clock_.Advance(kKeyAnnouncement - minutes(1));
  ASSERT_TRUE(ring_.Reload().ok());
  EXPECT_EQ(ring_.Current()->pair.id, first);
  clock_.Advance(minutes(1) + std::chrono::seconds(1));
  // Needs no reading.
  EXPECT_NE(ring_.Current()->pair.id, first);
  EXPECT_TRUE(verifier_.Verify(Issue(ring_)).ok());
  EXPECT_THAT(KeySet(ring_), SizeIs(2));

  clock_.Advance(token::kLongestLife);
  ASSERT_TRUE(ring_.Reload().ok());
  EXPECT_THAT(KeySet(ring_), SizeIs(2));
  clock_.Advance(minutes(10));
  ASSERT_TRUE(ring_.Reload().ok());
  ASSERT_THAT(KeySet(ring_), SizeIs(1));
  EXPECT_NE(KeySet(ring_)[0].id, first);
  EXPECT_THAT(verifier_.Verify(old_token), FailsWith(Reason::TOKEN_INVALID));
  EXPECT_TRUE(verifier_.Verify(Issue(ring_)).ok());
}

TEST_F(KeyRingTest, AfterALongRestTheOldKeySignsUntilTheNewOneIsKnown) {
  ASSERT_TRUE(ring_.Reload().ok());
  const std::string first = ring_.Current()->pair.id;
  clock_.Advance(hours(24 * 100));
  ASSERT_TRUE(ring_.Reload().ok());
  EXPECT_EQ(ring_.Current()->pair.id, first);
  clock_.Advance(kKeyAnnouncement + std::chrono::seconds(1));
  EXPECT_NE(ring_.Current()->pair.id, first);
}

}  // namespace
}  // namespace im::auth
