// Devices: rotation of refresh tokens, lists, ends.
#include <limits>

#include "common/base/page_token.h"
#include "tests/auth/auth_fixture.h"

namespace im::auth {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class DeviceTest : public AuthTest {
 protected:
  std::vector<int64_t> DeviceIds(const std::string& token) {
    std::vector<int64_t> ids;
    const auto page = client().ListDevices(token);
    EXPECT_TRUE(page.ok()) << page.status();
    if (page.ok()) {
      for (const auto& device : page->devices()) ids.push_back(device.device_id());
    }
    return ids;
  }
};

TEST_F(DeviceTest, ARefreshTokenWorksOnceAndTheNextOneAfterIt) {
  const v1::Tokens first = Registered("alice");
  clock_.Advance(minutes(14));
  const auto second = client().Refresh(first.refresh_token());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->device_id(), first.device_id());
  EXPECT_NE(second->refresh_token(), first.refresh_token());
  clock_.Advance(minutes(14));
  EXPECT_THAT(client().GetProfile(first.access_token()), FailsWith(Reason::TOKEN_EXPIRED));
  EXPECT_TRUE(client().GetProfile(second->access_token()).ok());
  EXPECT_TRUE(client().Refresh(second->refresh_token()).ok());
}

TEST_F(DeviceTest, ALostAnswerMayBeAskedForAgainWithinAMinute) {
  const v1::Tokens first = Registered("alice");
  const auto lost = client().Refresh(first.refresh_token());
  clock_.Advance(seconds(30));
  const auto again = client().Refresh(first.refresh_token());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(again->refresh_token(), lost->refresh_token());
  clock_.Advance(seconds(29));
  const auto third = client().Refresh(first.refresh_token());
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_TRUE(client().Refresh(third->refresh_token()).ok());
}

// A first attempt that was held up on its way is done after the second, whose answer the client
// has.
TEST_F(DeviceTest, AnAttemptThatComesLateTakesNothingAway) {
  const v1::Tokens first = Registered("alice");
  const auto kept = client().Refresh(first.refresh_token());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client().Refresh(first.refresh_token()).ok());
  const auto next = client().Refresh(kept->refresh_token());
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(client().Refresh(next->refresh_token()).ok());
}

TEST_F(DeviceTest, OfAllAnswersToOneTokenOneMayBeUsed) {
  const v1::Tokens first = Registered("alice");
  const auto one = client().Refresh(first.refresh_token());
  const auto other = client().Refresh(first.refresh_token());
  ASSERT_TRUE(other.ok()) << other.status();
  const auto next = client().Refresh(one->refresh_token());
  ASSERT_TRUE(next.ok()) << next.status();
  // Two hold tokens of this device: neither keeps it.
  EXPECT_THAT(client().Refresh(other->refresh_token()), FailsWith(Reason::REFRESH_TOKEN_REUSED));
  EXPECT_THAT(client().Refresh(next->refresh_token()), FailsWith(Reason::REFRESH_TOKEN_INVALID));
  EXPECT_THAT(client().GetProfile(next->access_token()), FailsWith(Reason::DEVICE_REVOKED));
}

TEST_F(DeviceTest, ReuseAfterAMinuteEndsTheDevice) {
  const v1::Tokens first = Registered("alice");
  const auto second = client().Refresh(first.refresh_token());
  clock_.Advance(seconds(61));
  EXPECT_THAT(client().Refresh(first.refresh_token()), FailsWith(Reason::REFRESH_TOKEN_REUSED));
  EXPECT_THAT(client().Refresh(second->refresh_token()), FailsWith(Reason::REFRESH_TOKEN_INVALID));
  EXPECT_THAT(client().Refresh(first.refresh_token()), FailsWith(Reason::REFRESH_TOKEN_INVALID));
  EXPECT_THAT(client().GetProfile(second->access_token()), FailsWith(Reason::DEVICE_REVOKED));
}

TEST_F(DeviceTest, ReuseOnceTheSuccessorWasUsedEndsTheDevice) {
  const v1::Tokens first = Registered("alice");
  const auto second = client().Refresh(first.refresh_token());
  const auto third = client().Refresh(second->refresh_token());
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_THAT(client().Refresh(first.refresh_token()), FailsWith(Reason::REFRESH_TOKEN_REUSED));
  EXPECT_THAT(client().Refresh(third->refresh_token()), FailsWith(Reason::REFRESH_TOKEN_INVALID));
  EXPECT_THAT(client().GetProfile(third->access_token()), FailsWith(Reason::DEVICE_REVOKED));
  // Only that device.
  EXPECT_TRUE(client().LogIn("alice").ok());
}

TEST_F(DeviceTest, AnOldTokenIsNoticedHoweverOld) {
  v1::Tokens tokens = Registered("alice");
  const std::string oldest = tokens.refresh_token();
  for (int i = 0; i < 10; ++i) {
    clock_.Advance(hours(24));
    tokens = *client().Refresh(tokens.refresh_token());
  }
  EXPECT_THAT(client().Refresh(oldest), FailsWith(Reason::REFRESH_TOKEN_REUSED));
  EXPECT_THAT(client().Refresh(tokens.refresh_token()), FailsWith(Reason::REFRESH_TOKEN_INVALID));
}

TEST_F(DeviceTest, RefreshTokensExpireWithoutUse) {
  const v1::Tokens first = Registered("alice");
  clock_.Advance(hours(59 * 24));
  const auto second = client().Refresh(first.refresh_token());
  ASSERT_TRUE(second.ok()) << second.status();
  clock_.Advance(hours(59 * 24));
  const auto third = client().Refresh(second->refresh_token());
  ASSERT_TRUE(third.ok()) << third.status();
  clock_.Advance(hours(60 * 24) + seconds(1));
  EXPECT_THAT(client().Refresh(third->refresh_token()), FailsWith(Reason::REFRESH_TOKEN_INVALID));
}

TEST_F(DeviceTest, WhatIsNoRefreshTokenIsInvalid) {
  const v1::Tokens tokens = Registered("alice");
  for (const std::string& bad :
       {std::string(), std::string("x"), std::string(1000000, 'A'), std::string("a\0b", 3),
        std::string(43, 'A'), tokens.access_token(), tokens.refresh_token() + "A"}) {
    EXPECT_THAT(client().Refresh(bad), FailsWith(Reason::REFRESH_TOKEN_INVALID)) << bad.size();
  }
  EXPECT_TRUE(client().Refresh(tokens.refresh_token()).ok());
}

TEST_F(DeviceTest, LogOutEndsTheCallingDeviceOnly) {
  const v1::Tokens laptop = Registered("alice");
  const v1::Tokens phone = LoggedIn("alice");
  ASSERT_TRUE(client().LogOut(laptop.access_token()).ok());
  EXPECT_THAT(client().GetProfile(laptop.access_token()), FailsWith(Reason::DEVICE_REVOKED));
  EXPECT_THAT(client().LogOut(laptop.access_token()), FailsWith(Reason::DEVICE_REVOKED));
  EXPECT_THAT(client().Refresh(laptop.refresh_token()), FailsWith(Reason::REFRESH_TOKEN_INVALID));
  EXPECT_THAT(DeviceIds(phone.access_token()), ElementsAre(phone.device_id()));
}

TEST_F(DeviceTest, ListsDevicesTheOneUsedLastFirst) {
  const v1::Tokens laptop = Registered("alice");
  Registered("bob");
  clock_.Advance(minutes(1));
  const v1::Tokens phone = LoggedIn("alice");
  clock_.Advance(minutes(1));
  const auto laptop_again = client().Refresh(laptop.refresh_token());
  ASSERT_TRUE(laptop_again.ok());
  const auto page = client().ListDevices(phone.access_token());
  ASSERT_TRUE(page.ok()) << page.status();
  ASSERT_THAT(page->devices(), SizeIs(2));
  EXPECT_EQ(page->devices(0).device_id(), laptop.device_id());
  EXPECT_EQ(page->devices(0).description().name(), "alice's laptop");
  EXPECT_EQ(page->devices(0).description().platform(), "test");
  EXPECT_FALSE(page->devices(0).current());
  EXPECT_GT(page->devices(0).last_used_at().seconds(), page->devices(0).logged_in_at().seconds());
  EXPECT_EQ(page->devices(1).device_id(), phone.device_id());
  EXPECT_TRUE(page->devices(1).current());
  EXPECT_EQ(page->next_page_token(), "");
}

TEST_F(DeviceTest, ListsDevicesByPage) {
  const std::string token = Registered("alice").access_token();
  for (int i = 0; i < 6; ++i) LoggedIn("alice");
  std::vector<int64_t> seen;
  std::string page_token;
  int pages = 0;
  do {
    const auto page = client().ListDevices(token, 3, page_token);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_LE(page->devices_size(), 3);
    for (const auto& device : page->devices()) seen.push_back(device.device_id());
    page_token = page->next_page_token();
    ++pages;
  } while (!page_token.empty());
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(seen, SizeIs(7));
  EXPECT_EQ(seen, DeviceIds(token));

  EXPECT_THAT(client().ListDevices(token, -1), FailsWith(Reason::INVALID_FIELD));
  EXPECT_TRUE(client().ListDevices(token, 1000000).ok());
  for (const std::string& bad :
       {std::string("x"), std::string("MTIz"), MakePageToken("contacts", {1, 1}),
        MakePageToken("devices", {-1, 1}),
        MakePageToken("devices", {std::numeric_limits<int64_t>::max(), 1})}) {
    EXPECT_THAT(client().ListDevices(token, 3, bad), FailsWith(Reason::PAGE_TOKEN_INVALID)) << bad;
  }
}

TEST_F(DeviceTest, ExpiredDevicesAreNotListedNorCounted) {
  Registered("alice");
  clock_.Advance(hours(61 * 24));
  const v1::Tokens fresh = LoggedIn("alice");
  EXPECT_THAT(DeviceIds(fresh.access_token()), ElementsAre(fresh.device_id()));
  EXPECT_EQ(*client().Revoke(fresh.access_token(), 0), 0);
}

TEST_F(DeviceTest, RevokesOneOrAllOthers) {
  const v1::Tokens laptop = Registered("alice");
  const v1::Tokens phone = LoggedIn("alice");
  const v1::Tokens tablet = LoggedIn("alice");
  const v1::Tokens watch = LoggedIn("alice");
  EXPECT_EQ(*client().Revoke(laptop.access_token(), phone.device_id()), 1);
  EXPECT_THAT(client().GetProfile(phone.access_token()), FailsWith(Reason::DEVICE_REVOKED));
  // Not an error for one that had ended.
  EXPECT_EQ(*client().Revoke(laptop.access_token(), phone.device_id()), 0);
  EXPECT_EQ(*client().Revoke(laptop.access_token(), 0), 2);
  EXPECT_THAT(client().GetProfile(tablet.access_token()), FailsWith(Reason::DEVICE_REVOKED));
  EXPECT_THAT(client().GetProfile(watch.access_token()), FailsWith(Reason::DEVICE_REVOKED));
  EXPECT_THAT(DeviceIds(laptop.access_token()), ElementsAre(laptop.device_id()));
  // The calling one.
  EXPECT_EQ(*client().Revoke(laptop.access_token(), laptop.device_id()), 1);
  EXPECT_THAT(client().GetProfile(laptop.access_token()), FailsWith(Reason::DEVICE_REVOKED));
}

TEST_F(DeviceTest, DevicesOfOthersAreNotThere) {
  const v1::Tokens alice = Registered("alice");
  const v1::Tokens bob = Registered("bob");
  EXPECT_THAT(client().Revoke(bob.access_token(), alice.device_id()),
              FailsWith(Reason::DEVICE_NOT_FOUND));
  EXPECT_THAT(client().Revoke(bob.access_token(), 999999), FailsWith(Reason::DEVICE_NOT_FOUND));
  EXPECT_THAT(client().Revoke(bob.access_token(), -1), FailsWith(Reason::DEVICE_NOT_FOUND));
  EXPECT_TRUE(client().GetProfile(alice.access_token()).ok());

  const auto nothing =
      client().Call(client().devices.get(), &v1::DeviceService::Stub::RevokeDevices,
                    v1::RevokeDevicesRequest(), bob.access_token());
  EXPECT_THAT(nothing, FailsWith(Reason::INVALID_FIELD));
  v1::RevokeDevicesRequest no_others;
  no_others.set_all_others(false);
  EXPECT_THAT(client().Call(client().devices.get(), &v1::DeviceService::Stub::RevokeDevices,
                            no_others, bob.access_token()),
              FailsWith(Reason::INVALID_FIELD));
}

}  // namespace
}  // namespace im::auth
