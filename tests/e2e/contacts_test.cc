// Contacts from end to end: im-auth tells who exists, im-chat what holds, im-presence who is seen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error.h"
#include "common/base/random.h"
#include "im/presence/v1/presence.grpc.pb.h"
#include "tests/e2e/person.h"
#include "tests/support/stack.h"

namespace im::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;
using Contacts = chat::v1::ContactService::Stub;

class ContactsTest : public ::testing::Test {
 protected:
  template <typename Request>
  static Request About(const Person& other) {
    Request request;
    request.set_user_id(other.id());
    request.set_request_id(RandomBytes(16));
    return request;
  }

  // Whether a device was told how somebody stands.
  static bool Learns(Device* device, const Person& other, chat::v1::ContactState state,
                     bool blocked = false) {
    return device->WaitFor([&](const Device& told) {
      if (told.own_records.empty()) return false;
      const chat::v1::Contact& contact = told.own_records.back().contact();
      return contact.user_id() == other.id() && contact.state() == state &&
             contact.blocked() == blocked;
    });
  }

  static presence::v1::Status Sees(Person* person, const Person& other) {
    presence::v1::GetPresenceRequest request;
    request.add_user_ids(other.id());
    const auto response = person->Call(&presence::v1::PresenceService::Stub::GetPresence, request);
    if (!response.ok()) return presence::v1::STATUS_UNSPECIFIED;
    return response->presences(0).status();
  }

  static bool HearsOf(Device* device, const Person& other, presence::v1::Status status) {
    return device->WaitFor([&](const Device& told) {
      return !told.presences.empty() && told.presences.back().user_id() == other.id() &&
             told.presences.back().status() == status;
    });
  }

  Stack stack_;
  Person ann_{stack_.address(), "ann"};
  Person bob_{stack_.address(), "bob"};
};

TEST_F(ContactsTest, RequestsAndAnswersReachAllDevicesAndThoseWhoWereAway) {
  auto phone = bob_.Connects(), laptop = bob_.Connects();
  phone->WaitLive();
  laptop->WaitLive();
  auto request = About<chat::v1::RequestContactRequest>(bob_);
  request.set_greeting("hi, it's me");
  ASSERT_TRUE(ann_.Call(&Contacts::RequestContact, request).ok());
  for (Device* device : {phone.get(), laptop.get()}) {
    EXPECT_TRUE(Learns(device, ann_, chat::v1::CONTACT_STATE_REQUEST_RECEIVED));
    EXPECT_TRUE(device->WaitFor([](const Device& told) {
      return told.own_records.back().contact().greeting() == "hi, it's me";
    }));
  }
  ASSERT_TRUE(
      bob_.Call(&Contacts::AcceptContact, About<chat::v1::AcceptContactRequest>(ann_)).ok());
  EXPECT_TRUE(Learns(phone.get(), ann_, chat::v1::CONTACT_STATE_CONTACT));
  // Ann was away all the time.
  auto anns = ann_.Connects();
  anns->WaitLive();
  chat::v1::ListContactsRequest list;
  const auto contacts = ann_.Call(&Contacts::ListContacts, list);
  ASSERT_TRUE(contacts.ok()) << contacts.status();
  ASSERT_EQ(contacts->contacts_size(), 1);
  EXPECT_EQ(contacts->contacts(0).state(), chat::v1::CONTACT_STATE_CONTACT);
  EXPECT_TRUE(Learns(anns.get(), bob_, chat::v1::CONTACT_STATE_CONTACT));
}

TEST_F(ContactsTest, OnlyThoseWhoHaveAnAccountAndContactsByName) {
  chat::v1::RequestContactRequest request;
  request.set_user_id(ann_.id() + 1'000'000);
  request.set_request_id(RandomBytes(16));
  EXPECT_THAT(ReasonOf(ann_.Call(&Contacts::RequestContact, request).status()),
              Optional(Reason::USER_NOT_FOUND));
  Person bobby(stack_.address(), "bobby"), eve(stack_.address(), "eve");
  for (Person* other : {&bob_, &bobby, &eve}) ann_.Befriends(*other);
  chat::v1::SearchContactsRequest search;
  search.set_query("BOB");
  const auto found = ann_.Call(&Contacts::SearchContacts, search);
  ASSERT_TRUE(found.ok()) << found.status();
  std::vector<int64_t> ids;
  for (const auto& contact : found->contacts()) ids.push_back(contact.user_id());
  EXPECT_THAT(ids, ElementsAre(bob_.id(), bobby.id()));
}

TEST_F(ContactsTest, ABlockHidesPresenceFromBeforeItsAnswerOn) {
  ann_.Befriends(bob_);
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  anns->WaitLive();
  bobs->WaitLive();
  EXPECT_TRUE(HearsOf(bobs.get(), ann_, presence::v1::STATUS_ONLINE));
  EXPECT_EQ(Sees(&bob_, ann_), presence::v1::STATUS_ONLINE);
  const auto blocked = ann_.Call(&Contacts::BlockUser, About<chat::v1::BlockUserRequest>(bob_));
  ASSERT_TRUE(blocked.ok()) << blocked.status();
  EXPECT_EQ(Sees(&bob_, ann_), presence::v1::STATUS_OFFLINE);
  EXPECT_TRUE(HearsOf(bobs.get(), ann_, presence::v1::STATUS_OFFLINE));
  EXPECT_TRUE(Learns(anns.get(), bob_, chat::v1::CONTACT_STATE_CONTACT, /*blocked=*/true));
  // Bob's own log is as it was.
  EXPECT_TRUE(Learns(bobs.get(), ann_, chat::v1::CONTACT_STATE_CONTACT));

  ASSERT_TRUE(ann_.Call(&Contacts::UnblockUser, About<chat::v1::UnblockUserRequest>(bob_)).ok());
  EXPECT_TRUE(HearsOf(bobs.get(), ann_, presence::v1::STATUS_ONLINE));
}

TEST_F(ContactsTest, AFrozenPresenceServiceHoldsABlockUpForASecondOnly) {
  ann_.Befriends(bob_);
  auto anns = ann_.Connects(), bobs = bob_.Connects();
  EXPECT_TRUE(HearsOf(bobs.get(), ann_, presence::v1::STATUS_ONLINE));
  stack_.Pause("presence");
  const auto started = std::chrono::steady_clock::now();
  const auto blocked = ann_.Call(&Contacts::BlockUser, About<chat::v1::BlockUserRequest>(bob_));
  EXPECT_TRUE(blocked.ok()) << blocked.status();
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(4));
  stack_.Resume("presence");
  EXPECT_TRUE(HearsOf(bobs.get(), ann_, presence::v1::STATUS_OFFLINE));
}

}  // namespace
}  // namespace im::testing
