// Who may become whose contact, and what each side learns.
#include "tests/chat/contacts_world.h"

namespace im::chat {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::UnorderedElementsAre;

class ContactsRulesTest : public ContactsWorld {};

TEST_F(ContactsRulesTest, ARequestStandsOnBothSides) {
  const absl::StatusOr<Contact> contact = contacts_.Request(kAnn, kBob, New(), "hi");
  ASSERT_TRUE(contact.ok()) << contact.status();
  EXPECT_EQ(contact->user_id, kBob);
  EXPECT_EQ(contact->state, ContactState::kRequestSent);
  EXPECT_EQ(contact->greeting, "hi");
  EXPECT_FALSE(contact->blocked);
  EXPECT_EQ(Stands(kAnn, kBob), "sent(hi)");
  EXPECT_EQ(Stands(kBob, kAnn), "received(hi)");
  EXPECT_EQ(Log(kAnn), "contact 2 @1");
  EXPECT_EQ(Log(kBob), "contact 1 @1");
  // No right changed, so nobody's conversation has to be read again.
  EXPECT_EQ(PairVersion(kAnn, kBob), 0);
}

TEST_F(ContactsRulesTest, AskingAgainReplacesTheGreeting) {
  ASSERT_TRUE(contacts_.Request(kAnn, kBob, New(), "hi").ok());
  const int64_t since = contacts_.Request(kAnn, kBob, New(), "hello?")->since;
  EXPECT_EQ(Stands(kBob, kAnn), "received(hello?)");
  EXPECT_EQ(Log(kBob), "contact 1 @2");
  // The same once more is no news.
  EXPECT_EQ(contacts_.Request(kAnn, kBob, New(), "hello?")->since, since);
  EXPECT_EQ(Log(kBob), "contact 1 @2");
  EXPECT_EQ(Log(kAnn), "contact 2 @2");
}

TEST_F(ContactsRulesTest, AcceptedTheyAreContacts) {
  ASSERT_TRUE(contacts_.Request(kAnn, kBob, New(), "hi").ok());
  const absl::StatusOr<Contact> contact = contacts_.Accept(kBob, kAnn, New());
  ASSERT_TRUE(contact.ok()) << contact.status();
  EXPECT_EQ(contact->state, ContactState::kContact);
  EXPECT_EQ(Stands(kAnn, kBob), "contact");
  EXPECT_EQ(Stands(kBob, kAnn), "contact");
  EXPECT_EQ(PairVersion(kAnn, kBob), 1);
  EXPECT_EQ(Log(kAnn), "contact 2 @2");
  EXPECT_EQ(Log(kBob), "contact 1 @2");
  // Asking a contact changes nothing.
  EXPECT_EQ(contacts_.Request(kBob, kAnn, New(), "again")->state, ContactState::kContact);
  EXPECT_EQ(Position(kAnn), 2);
  EXPECT_EQ(PairVersion(kAnn, kBob), 1);
}

TEST_F(ContactsRulesTest, OneWhoAsksBackAccepts) {
  ASSERT_TRUE(contacts_.Request(kAnn, kBob, New(), "hi").ok());
  EXPECT_EQ(contacts_.Request(kBob, kAnn, New(), "you?")->state, ContactState::kContact);
  EXPECT_EQ(Stands(kAnn, kBob), "contact");
  EXPECT_EQ(PairVersion(kAnn, kBob), 1);
}

TEST_F(ContactsRulesTest, DeclinedTheyMayAskAgain) {
  ASSERT_TRUE(contacts_.Request(kAnn, kBob, New(), "hi").ok());
  ASSERT_TRUE(contacts_.Decline(kBob, kAnn, New()).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "declined");
  EXPECT_EQ(Stands(kBob, kAnn), "none");
  EXPECT_EQ(Log(kAnn), "contact 2 @2");
  ASSERT_TRUE(contacts_.Request(kAnn, kBob, New(), "please").ok());
  EXPECT_EQ(Stands(kBob, kAnn), "received(please)");
  EXPECT_EQ(PairVersion(kAnn, kBob), 0);
}

TEST_F(ContactsRulesTest, WithdrawnItIsGoneOnBothSides) {
  ASSERT_TRUE(contacts_.Request(kAnn, kBob, New(), "hi").ok());
  ASSERT_TRUE(contacts_.Withdraw(kAnn, kBob, New()).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "none");
  EXPECT_EQ(Stands(kBob, kAnn), "none");
  EXPECT_EQ(Log(kBob), "contact 1 @2");
}

TEST_F(ContactsRulesTest, WhatIsNotThereCannotBeAnswered) {
  const auto expect = [](const absl::Status& status, Reason reason) {
    EXPECT_THAT(ReasonOf(status), Optional(reason));
  };
  expect(contacts_.Accept(kAnn, kBob, New()).status(), Reason::REQUEST_NOT_FOUND);
  expect(contacts_.Decline(kAnn, kBob, New()), Reason::REQUEST_NOT_FOUND);
  expect(contacts_.Withdraw(kAnn, kBob, New()), Reason::REQUEST_NOT_FOUND);
  expect(contacts_.Remove(kAnn, kBob, New()), Reason::CONTACT_NOT_FOUND);
  expect(contacts_.Accept(kAnn, kAnn, New()).status(), Reason::REQUEST_NOT_FOUND);
  // One's own request is not one's to accept or decline, the other's not one's to withdraw.
  ASSERT_TRUE(contacts_.Request(kAnn, kBob, New(), "").ok());
  expect(contacts_.Accept(kAnn, kBob, New()).status(), Reason::REQUEST_NOT_FOUND);
  expect(contacts_.Decline(kAnn, kBob, New()), Reason::REQUEST_NOT_FOUND);
  expect(contacts_.Withdraw(kBob, kAnn, New()), Reason::REQUEST_NOT_FOUND);
  expect(contacts_.Remove(kAnn, kBob, New()), Reason::CONTACT_NOT_FOUND);
  // Refusals left nothing behind: no conversations, no users that were made up.
  ASSERT_TRUE(absl::IsNotFound(contacts_.Accept(kAnn, kNobody, New()).status()));
  EXPECT_EQ(database_.Value("SELECT count(*) FROM chat.conversations"), "0");
  EXPECT_EQ(database_.Value("SELECT count(*) FROM chat.users"), "2");
}

TEST_F(ContactsRulesTest, OnlyPeopleThereAreAndNotOneself) {
  const auto expect = [](const absl::Status& status, Reason reason) {
    EXPECT_THAT(ReasonOf(status), Optional(reason));
  };
  expect(contacts_.Request(kAnn, kAnn, New(), "").status(), Reason::SELF_NOT_ALLOWED);
  expect(contacts_.Block(kAnn, kAnn, New()), Reason::SELF_NOT_ALLOWED);
  expect(contacts_.Request(kAnn, kNobody, New(), "").status(), Reason::USER_NOT_FOUND);
  expect(contacts_.Request(kAnn, -1, New(), "").status(), Reason::USER_NOT_FOUND);
  expect(contacts_.Block(kAnn, kNobody, New()), Reason::USER_NOT_FOUND);
  directory_.Break(true);
  expect(contacts_.Request(kAnn, kBob, New(), "").status(), Reason::SERVICE_UNAVAILABLE);
  expect(contacts_.Block(kAnn, kBob, New()), Reason::SERVICE_UNAVAILABLE);
}

TEST_F(ContactsRulesTest, GreetingsAreShortText) {
  std::string umlauts;
  for (int i = 0; i < 500; ++i) umlauts += "ü";
  EXPECT_TRUE(contacts_.Request(kAnn, kBob, New(), umlauts).ok());
  EXPECT_EQ(Stands(kBob, kAnn), "received(" + umlauts + ")");
  for (const std::string& greeting : {umlauts + "x", std::string("a\0b", 3), std::string("\xff")}) {
    EXPECT_THAT(ReasonOf(contacts_.Request(kAnn, kBob, New(), greeting).status()),
                Optional(Reason::INVALID_FIELD));
  }
  // Whatever text there is comes back as it was.
  const std::string odd = "a\"\\{},'\n\u2028$1";
  ASSERT_TRUE(contacts_.Request(kAnn, kBob, New(), odd).ok());
  EXPECT_EQ(Stands(kBob, kAnn), "received(" + odd + ")");
}

TEST_F(ContactsRulesTest, RemovedForBothAndTheConversationIsClosed) {
  BecomeContacts(kAnn, kBob);
  database_.Exec("UPDATE chat.conversations SET last_seq = 7");
  ASSERT_TRUE(contacts_.Remove(kBob, kAnn, New()).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "none");
  EXPECT_EQ(Stands(kBob, kAnn), "none");
  EXPECT_EQ(Log(kAnn), "contact 2 @3");
  EXPECT_EQ(Log(kBob), "contact 1 @3");
  EXPECT_EQ(PairVersion(kAnn, kBob), 2);
  EXPECT_EQ(database_.Value("SELECT string_agg(closed_seq || '/' || version, ' ') "
                            "FROM chat.members"),
            "7/2 7/2");
}

TEST_F(ContactsRulesTest, ABlockIsNotTold) {
  ASSERT_TRUE(contacts_.Request(kBob, kAnn, New(), "hi").ok());
  const int64_t position = Position(kBob);
  ASSERT_TRUE(contacts_.Block(kAnn, kBob, New()).ok());
  // The request vanishes here, and stays as it was there.
  EXPECT_EQ(Stands(kAnn, kBob), "none blocked");
  EXPECT_EQ(Stands(kBob, kAnn), "sent(hi)");
  EXPECT_EQ(Position(kBob), position);
  EXPECT_EQ(Log(kAnn), "contact 2 @2");
  EXPECT_EQ(PairVersion(kAnn, kBob), 1);
  EXPECT_THAT(ReasonOf(contacts_.Request(kBob, kAnn, New(), "?").status()),
              Optional(Reason::RECIPIENT_REFUSES));
  EXPECT_THAT(ReasonOf(contacts_.Request(kAnn, kBob, New(), "?").status()),
              Optional(Reason::BLOCKED_BY_CALLER));
  EXPECT_THAT(ReasonOf(contacts_.Accept(kAnn, kBob, New()).status()),
              Optional(Reason::REQUEST_NOT_FOUND));
  // Once more is no error, and no news.
  ASSERT_TRUE(contacts_.Block(kAnn, kBob, New()).ok());
  EXPECT_EQ(Position(kAnn), 2);
  EXPECT_EQ(PairVersion(kAnn, kBob), 1);
}

TEST_F(ContactsRulesTest, TheBlockedOneMayStillWithdraw) {
  ASSERT_TRUE(contacts_.Request(kBob, kAnn, New(), "hi").ok());
  ASSERT_TRUE(contacts_.Block(kAnn, kBob, New()).ok());
  const int64_t position = Position(kAnn);
  ASSERT_TRUE(contacts_.Withdraw(kBob, kAnn, New()).ok());
  EXPECT_EQ(Stands(kBob, kAnn), "none");
  EXPECT_EQ(Stands(kAnn, kBob), "none blocked");
  EXPECT_EQ(Position(kAnn), position);
}

TEST_F(ContactsRulesTest, AfterABlockTheRequestCanBeMadeOrMetAgain) {
  ASSERT_TRUE(contacts_.Request(kBob, kAnn, New(), "hi").ok());
  ASSERT_TRUE(contacts_.Block(kAnn, kBob, New()).ok());
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, New()).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "none");
  EXPECT_EQ(PairVersion(kAnn, kBob), 2);
  ASSERT_TRUE(contacts_.Request(kBob, kAnn, New(), "hi").ok());
  EXPECT_EQ(Stands(kAnn, kBob), "received(hi)");

  ASSERT_TRUE(contacts_.Block(kAnn, kBob, New()).ok());
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, New()).ok());
  // Bob's request stands for Bob, so that Ann's own meets it.
  EXPECT_EQ(contacts_.Request(kAnn, kBob, New(), "")->state, ContactState::kContact);
  EXPECT_EQ(Stands(kBob, kAnn), "contact");
}

TEST_F(ContactsRulesTest, WhatWasBetweenTheTwoStaysThroughABlock) {
  BecomeContacts(kAnn, kBob);
  ASSERT_TRUE(contacts_.Block(kAnn, kBob, New()).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "contact blocked");
  EXPECT_EQ(Stands(kBob, kAnn), "contact");
  // The blocked one may end it; that the other has a block is still not told.
  ASSERT_TRUE(contacts_.Remove(kBob, kAnn, New()).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "none blocked");
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, New()).ok());
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, New()).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "none");
}

TEST_F(ContactsRulesTest, OnesOwnRequestStaysOpenThroughABlock) {
  ASSERT_TRUE(contacts_.Request(kAnn, kBob, New(), "hi").ok());
  ASSERT_TRUE(contacts_.Block(kAnn, kBob, New()).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "sent(hi) blocked");
  EXPECT_EQ(Stands(kBob, kAnn), "received(hi)");
  // An answer that failed would tell of the block.
  ASSERT_TRUE(contacts_.Accept(kBob, kAnn, New()).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "contact blocked");
  EXPECT_EQ(Stands(kBob, kAnn), "contact");
}

TEST_F(ContactsRulesTest, UnblockingWithoutABlockLeavesNothing) {
  ASSERT_TRUE(contacts_.Unblock(kAnn, kNobody, New()).ok());
  EXPECT_EQ(database_.Value("SELECT count(*) FROM chat.contacts"), "0");
  EXPECT_EQ(database_.Value("SELECT count(*) FROM chat.conversations"), "0");
  EXPECT_EQ(Position(kAnn), 0);
}

TEST_F(ContactsRulesTest, ThereAreOnlySoManyContacts) {
  for (const int64_t other : {10, 11, 12}) BecomeContacts(kAnn, other);
  ASSERT_TRUE(contacts_.Request(kAnn, 13, New(), "").ok());
  // Contacts and own open requests count.
  EXPECT_THAT(ReasonOf(contacts_.Request(kAnn, 14, New(), "").status()),
              Optional(Reason::TOO_MANY_CONTACTS));
  // Those of others do not, so that nobody can be shut off by many.
  for (const int64_t other : {20, 21, 22, 23, 24}) {
    ASSERT_TRUE(contacts_.Request(other, kAnn, New(), "").ok());
  }
  ASSERT_TRUE(contacts_.Accept(13, kAnn, New()).ok());
  EXPECT_THAT(ReasonOf(contacts_.Accept(kAnn, 20, New()).status()),
              Optional(Reason::TOO_MANY_CONTACTS));
  EXPECT_THAT(ReasonOf(contacts_.Request(kAnn, 20, New(), "").status()),
              Optional(Reason::TOO_MANY_CONTACTS));
  // The other side's count matters as well.
  ASSERT_TRUE(contacts_.Remove(kAnn, 10, New()).ok());
  for (const int64_t other : {30, 31, 32, 33}) BecomeContacts(other, 20);
  EXPECT_THAT(ReasonOf(contacts_.Accept(kAnn, 20, New()).status()),
              Optional(Reason::TOO_MANY_CONTACTS));
  EXPECT_TRUE(contacts_.Accept(kAnn, 21, New()).ok());
}

TEST_F(ContactsRulesTest, ARepetitionGetsTheFirstAnswer) {
  const RequestKey key = New();
  const absl::StatusOr<Contact> first = contacts_.Request(kAnn, kBob, key, "hi \"there\"\n");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(contacts_.Accept(kBob, kAnn, New()).ok());
  const absl::StatusOr<Contact> again = contacts_.Request(kAnn, kBob, key, "hi \"there\"\n");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->state, ContactState::kRequestSent);
  EXPECT_EQ(again->greeting, "hi \"there\"\n");
  EXPECT_EQ(again->since, first->since);
  EXPECT_EQ(Position(kAnn), 2);
  // Another request with the same id.
  EXPECT_THAT(ReasonOf(contacts_.Request(kAnn, kBob, {key.id, 2}, "x").status()),
              Optional(Reason::REQUEST_ID_REUSED));
  EXPECT_THAT(ReasonOf(contacts_.UpdateSettings(kAnn, Reachability::kAnyone, {key.id, 3}).status()),
              Optional(Reason::REQUEST_ID_REUSED));
  // Somebody else's id may be the same.
  EXPECT_TRUE(contacts_.Request(kEve, kBob, key, "").ok());
}

TEST_F(ContactsRulesTest, ALateRepetitionUndoesNothing) {
  const RequestKey unblock = New(), remove = New();
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, unblock).ok());
  BecomeContacts(kAnn, kBob);
  ASSERT_TRUE(contacts_.Remove(kAnn, kBob, remove).ok());
  BecomeContacts(kAnn, kBob);
  ASSERT_TRUE(contacts_.Block(kAnn, kBob, New()).ok());
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, unblock).ok());
  ASSERT_TRUE(contacts_.Remove(kAnn, kBob, remove).ok());
  EXPECT_EQ(Stands(kAnn, kBob), "contact blocked");
}

TEST_F(ContactsRulesTest, RefusalsAreNotRemembered) {
  const RequestKey key = New();
  EXPECT_FALSE(contacts_.Accept(kAnn, kBob, key).ok());
  ASSERT_TRUE(contacts_.Request(kBob, kAnn, New(), "").ok());
  EXPECT_TRUE(contacts_.Accept(kAnn, kBob, key).ok());
}

TEST_F(ContactsRulesTest, AnswersAreForgottenAfterADay) {
  const RequestKey old = New(), young = New();
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, old).ok());
  ASSERT_TRUE(contacts_.Unblock(kAnn, kBob, young).ok());
  database_.Exec(
      "UPDATE chat.answers SET at = at - interval '25 hours' WHERE request_id = (SELECT request_id "
      "FROM chat.answers ORDER BY at LIMIT 1)");
  EXPECT_EQ(*store_.PurgeAnswers(10), 1);
  EXPECT_TRUE(contacts_.PurgeAnswers().ok());
  EXPECT_TRUE(contacts_.Unblock(kAnn, kBob, {old.id, 2}).ok());
  EXPECT_THAT(ReasonOf(contacts_.Unblock(kAnn, kBob, {young.id, 2})),
              Optional(Reason::REQUEST_ID_REUSED));
}

TEST_F(ContactsRulesTest, SettingsRaiseTheDirectConversations) {
  BecomeContacts(kAnn, kBob);
  BecomeContacts(kAnn, kEve);
  BecomeContacts(kBob, kEve);
  EXPECT_EQ(*contacts_.GetReachability(kAnn), Reachability::kContacts);
  const RequestKey key = New();
  EXPECT_EQ(*contacts_.UpdateSettings(kAnn, Reachability::kAnyone, key), Reachability::kAnyone);
  EXPECT_EQ(PairVersion(kAnn, kBob), 2);
  EXPECT_EQ(PairVersion(kAnn, kEve), 2);
  EXPECT_EQ(PairVersion(kBob, kEve), 1);
  EXPECT_EQ(Log(kAnn), "contact 2 @2, contact 3 @4, settings @5");
  // Nothing to change, nothing said, and the same again: no news.
  EXPECT_EQ(*contacts_.UpdateSettings(kAnn, Reachability::kAnyone, New()), Reachability::kAnyone);
  EXPECT_EQ(*contacts_.UpdateSettings(kAnn, std::nullopt, New()), Reachability::kAnyone);
  EXPECT_EQ(*contacts_.UpdateSettings(kAnn, Reachability::kContacts, New()),
            Reachability::kContacts);
  EXPECT_EQ(*contacts_.UpdateSettings(kAnn, Reachability::kAnyone, key), Reachability::kAnyone);
  EXPECT_EQ(*contacts_.GetReachability(kAnn), Reachability::kContacts);
  EXPECT_EQ(Log(kAnn), "contact 2 @2, contact 3 @4, settings @6");
  EXPECT_EQ(PairVersion(kAnn, kBob), 3);
  // Somebody the service has not met.
  EXPECT_EQ(*contacts_.GetReachability(50), Reachability::kContacts);
  EXPECT_EQ(*contacts_.UpdateSettings(50, std::nullopt, New()), Reachability::kContacts);
}

TEST_F(ContactsRulesTest, WhoMayBeAddedToGroups) {
  BecomeContacts(kAnn, kBob);
  ASSERT_TRUE(contacts_.UpdateSettings(kEve, Reachability::kAnyone, New()).ok());
  EXPECT_THAT(*contacts_.WhoRefuses(kAnn, {kBob, kEve, 10}), ElementsAre(10));
  EXPECT_THAT(*contacts_.WhoRefuses(kAnn, {}), IsEmpty());
  ASSERT_TRUE(contacts_.Block(kBob, kAnn, New()).ok());
  ASSERT_TRUE(contacts_.Block(kAnn, kEve, New()).ok());
  EXPECT_THAT(*contacts_.WhoRefuses(kAnn, {kBob, kEve, 10}), UnorderedElementsAre(kBob, kEve, 10));
  EXPECT_THAT(*contacts_.WhoRefuses(kBob, {kAnn}), ElementsAre(kAnn));
  ASSERT_TRUE(contacts_.Unblock(kBob, kAnn, New()).ok());
  EXPECT_THAT(*contacts_.WhoRefuses(kBob, {kAnn}), IsEmpty());
}

TEST_F(ContactsRulesTest, SearchGoesThroughTheNamesOfContactsOnly) {
  for (const int64_t other : {10, 11, 21}) BecomeContacts(kAnn, other);
  ASSERT_TRUE(contacts_.Request(kAnn, 12, New(), "").ok());
  const auto ids = [](const absl::StatusOr<std::vector<Contact>>& contacts) {
    std::vector<int64_t> all;
    for (const Contact& contact : *contacts) all.push_back(contact.user_id);
    return all;
  };
  EXPECT_THAT(ids(contacts_.Search(kAnn, "user 1", 0, 10)), ElementsAre(10, 11));
  EXPECT_THAT(ids(contacts_.Search(kAnn, "1", 0, 2)), ElementsAre(10, 11));
  EXPECT_THAT(ids(contacts_.Search(kAnn, "1", 11, 2)), ElementsAre(21));
  EXPECT_THAT(ids(contacts_.Search(kBob, "1", 0, 2)), IsEmpty());
  for (const std::string& query : {std::string(), std::string(65, 'x'), std::string("\xff")}) {
    EXPECT_THAT(ReasonOf(contacts_.Search(kAnn, query, 0, 10).status()),
                Optional(Reason::INVALID_FIELD));
  }
  directory_.Break(true);
  EXPECT_THAT(ReasonOf(contacts_.Search(kAnn, "1", 0, 10).status()),
              Optional(Reason::SERVICE_UNAVAILABLE));
}

}  // namespace
}  // namespace im::chat
