// People and their contacts, on a database of the test's own.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/random.h"
#include "services/chat/contacts.h"
#include "services/chat/own_log.h"
#include "services/chat/pg_contact_store.h"
#include "services/chat/publisher.h"
#include "services/chat/relation_service.h"
#include "tests/chat/fake_directory.h"
#include "tests/support/database.h"
#include "tests/support/tokens.h"

namespace im::chat {

// Links without a service behind them.
class QuietLinks : public bus::LinkHandler {
  void OnLinkDown(const std::shared_ptr<bus::Link>&) override {}
  void OnSessionOpened(const std::shared_ptr<bus::Link>&, const bus::Session&) override {}
  void OnSessionClosed(const std::shared_ptr<bus::Link>&, const bus::Session&, bool) override {}
  void OnCall(const std::shared_ptr<bus::Link>&, const bus::Session&,
              internal::v1::SessionCall) override {}
};

class ContactsWorld : public ::testing::Test {
 protected:
  static constexpr int64_t kAnn = 1, kBob = 2, kEve = 3, kNobody = 1000;

  static RequestKey New() { return {RandomBytes(16), 1}; }

  void BecomeContacts(int64_t one, int64_t other) {
    ASSERT_TRUE(contacts_.Request(one, other, New(), "").ok());
    ASSERT_TRUE(contacts_.Accept(other, one, New()).ok());
  }

  // How things stand from the owner's side: "sent(hello)", "contact blocked", "none".
  std::string Stands(int64_t owner, int64_t other) {
    static constexpr const char* kStates[] = {"",         "none",    "sent",
                                              "received", "contact", "declined"};
    const auto rows = pool_.Read([&](pg::Session& session) {
      return session.Exec(
          "SELECT state, greeting, blocked FROM chat.contacts "
          "WHERE user_id = $1 AND other_user_id = $2",
          owner, other);
    });
    if (!rows.ok()) return rows.status().ToString();
    if (rows->empty()) return "none";
    const pqxx::row row = rows->at(0);
    std::string text = kStates[row[0].as<int>()];
    if (!row[1].as<std::string>().empty()) absl::StrAppend(&text, "(", row[1].c_str(), ")");
    if (row[2].as<bool>()) text += " blocked";
    return text;
  }

  // The positions in somebody's own log, in order: "contact 2 @1, settings @2".
  std::string Log(int64_t user) {
    const absl::StatusOr<OwnLogPage> page = own_log_.Read(user, 0, 1000);
    if (!page.ok()) return page.status().ToString();
    std::vector<std::string> parts;
    for (const v1::OwnRecord& record : page->records) {
      std::string what = "settings";
      if (record.has_contact()) what = absl::StrCat("contact ", record.contact().user_id());
      if (record.has_read_mark()) {
        what = absl::StrCat("read ", record.read_mark().conversation_id());
      }
      parts.push_back(absl::StrCat(what, " @", record.position()));
    }
    return absl::StrJoin(parts, ", ");
  }

  int64_t Position(int64_t user) { return own_log_.Read(user, 0, 0)->position; }

  // The version of the pair's conversation; 0 if there is none.
  int64_t PairVersion(int64_t one, int64_t other) {
    return std::stoll(database_.Value(
        absl::StrCat("SELECT coalesce(max(version), 0) FROM chat.conversations WHERE kind = 1 AND "
                     "low_user_id = ",
                     std::min(one, other), " AND high_user_id = ", std::max(one, other))));
  }

  im::testing::TestDatabase database_;
  pg::Pool pool_{{.url = database_.UrlOf("chat"), .connections = 8}};
  // Four contacts are enough.
  PgContactStore store_{&pool_, 4};
  FakeDirectory directory_{100};
  im::testing::TestTokens tokens_;
  QuietLinks quiet_;
  bus::LinkServer links_{{.authenticate = tokens_.verifier().AsAuthenticate(), .handler = &quiet_}};
  Publisher publisher_{&links_};
  OwnLog own_log_{&pool_, &publisher_};
  RelationService relations_{&store_};
  Contacts contacts_{&store_, &directory_, &own_log_, &relations_};
};

}  // namespace im::chat
