// im-check: good data passes, and each damage is found by the rule that is there for it.
#include "tools/check/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "common/pg/migrate.h"
#include "tests/chat/chat_fixture.h"
#include "tests/support/stack.h"

namespace im::check {
namespace {

using im::testing::ChatFixture;
using im::testing::kAlice;
using im::testing::kBob;
using im::testing::kCarol;
using im::testing::kDave;
using im::testing::Outcome;
using im::testing::RunProgram;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

std::vector<Finding> CheckAll(const im::testing::TestDatabase& database, int64_t page,
                              Totals* totals = nullptr) {
  std::vector<Finding> findings;
  const auto checked = Check({.database_url = database.UrlOf("owner"),
                              .page = page,
                              .on_finding = [&](const Finding& one) { findings.push_back(one); },
                              .on_progress = [](const Totals&) {}});
  EXPECT_TRUE(checked.ok()) << checked.status();
  if (checked.ok() && totals != nullptr) *totals = *checked;
  return findings;
}

// A bit of everything, made the way the services make it: conversation 1 is direct (alice and bob),
// 2 a group with changes of every kind, 3 a group with open history.
class World {
 public:
  World() {
    database().Exec(
        "INSERT INTO auth.accounts (user_id, user_name, password_hash, created_at) "
        "OVERRIDING SYSTEM VALUE SELECT 100 + n, 'user' || n, '$argon2id$v=19$x', now() "
        "FROM generate_series(1, 4) n; "
        "SELECT setval('auth.accounts_user_id_seq', 104); "
        "SELECT auth.register(now(), 'eve', 'Eve', '$argon2id$v=19$x', 'laptop', 'test', "
        "sha256('a'), sha256('b'), now() + interval '1 day'); "
        "SELECT auth.record_failure(now(), sha256('user1')); "
        "SELECT auth.add_key('key', '-----BEGIN PRIVATE KEY-----', '{\"kid\":\"key\"}', now(), "
        "now()); "
        "INSERT INTO presence.last_seen VALUES (101, now())");
    const int64_t direct = chat.Direct(kAlice, kBob);
    chat.Say(direct, kAlice, "hi", 3);
    chat.Say(direct, kBob, "hi", 2);
    const int64_t group = chat.Group(kAlice, {kBob, kCarol});
    chat.Say(group, kAlice, "hello");
    chat.Add(group, kAlice, {kDave});
    chat.Say(group, kDave, "hello");
    chat.Leave(group, kBob);
    chat.Remove(group, kAlice, kCarol);
    chat.Rename(group, kAlice, "other");
    chat.Return(group, kBob);
    chat.Say(group, kBob, "again");
    const int64_t open = chat.Group(kBob, {kCarol}, "open", true);
    chat.Say(open, kBob, "early");
    chat.Add(open, kBob, {kDave});
    chat.Direct(kCarol, kDave);
    database().Exec(
        absl::StrCat("SELECT chat.mark_read(101, ", direct, ", 5); SELECT chat.mark_read(104, ",
                     group, ", 4); ", Contact("request", kAlice, kBob),
                     Contact("accept", kBob, kAlice), Contact("request", kAlice, kCarol),
                     Contact("request", kBob, kDave), Contact("decline", kDave, kBob),
                     Contact("request", kCarol, kDave), Contact("block", kDave, kCarol),
                     "SELECT chat.update_settings(101, gen_random_uuid(), 0, 2::smallint)"));
  }

  im::testing::TestDatabase& database() { return chat.database; }

  ChatFixture chat;

 private:
  static std::string Contact(const char* action, int64_t user, int64_t other) {
    return absl::StrCat("SELECT chat.change_contact('", action, "', ", user, ", ", other,
                        ", gen_random_uuid(), 0, 'hello', 100); ");
  }
};

std::set<std::string> RulesOf(const std::vector<Finding>& findings) {
  std::set<std::string> rules;
  for (const Finding& finding : findings) rules.insert(finding.rule);
  return rules;
}

TEST(CheckTest, GoodDataPasses) {
  World world;
  for (const int64_t page : {1, 7, 200000}) {
    Totals totals;
    EXPECT_THAT(RulesOf(CheckAll(world.database(), page, &totals)), IsEmpty())
        << "pages of " << page;
    EXPECT_EQ(totals.conversations, 4);
    EXPECT_EQ(totals.entries, 5 + 9 + 3);
    EXPECT_EQ(totals.accounts, 5);
  }
}

TEST(CheckTest, AnEmptySetUpPasses) {
  im::testing::TestDatabase database;
  EXPECT_THAT(RulesOf(CheckAll(database, 1)), IsEmpty());
}

TEST(CheckTest, DataOfANewerVersionIsNotJudged) {
  im::testing::TestDatabase database;
  const std::vector<pg::Migration> newer = {{"chat", 1000, "1000_newer", "SELECT 1"}};
  ASSERT_TRUE(pg::Migrate(database.UrlOf("owner"), newer).ok());
  const auto totals = Check({.database_url = database.UrlOf("owner")});
  EXPECT_THAT(std::string(totals.status().message()),
              HasSubstr("newer version, with chat/1000_newer"));
}

TEST(CheckTest, TheProgramTellsPeopleAndPrograms) {
  World world;
  const std::vector<std::string> check = {IM_BINARY_DIR "/bin/im-check",
                                          "--database.url=" + world.database().UrlOf("owner")};
  const Outcome good = RunProgram(check);
  EXPECT_EQ(good.status, 0) << good.err;
  EXPECT_THAT(good.out, AllOf(HasSubstr("4 conversations, 17 entries, 5 accounts in "),
                              HasSubstr("everything is as it should be")));
  world.database().Exec("UPDATE chat.conversations SET last_seq = 4 WHERE id = 1");
  const Outcome bad = RunProgram(check);
  EXPECT_EQ(bad.status, 1);
  EXPECT_THAT(bad.out, HasSubstr("last_seq: conversation_id=1: says 4, the last entry is 5\n"));
  std::vector<std::string> json = check;
  json.push_back("--json");
  const Outcome machine = RunProgram(json);
  EXPECT_EQ(machine.status, 1);
  EXPECT_THAT(machine.out,
              AllOf(HasSubstr("{\"rule\": \"last_seq\", \"conversation_id\": \"1\", \"what\": "),
                    HasSubstr("{\"findings\": ")));
  const Outcome nowhere =
      RunProgram({IM_BINARY_DIR "/bin/im-check", "--database.url=postgresql:///x?host=/nowhere"});
  EXPECT_EQ(nowhere.status, 3);
}

struct Damage {
  const char* rule;
  const char* sql;
};

const Damage kDamages[] = {
    {"seq_dense", "DELETE FROM chat.entries WHERE conversation_id = 1 AND seq = 2"},
    {"seq_dense", "DELETE FROM chat.entries WHERE conversation_id = 1 AND seq = 1"},
    {"time_rises",
     "UPDATE chat.entries SET at = at - interval '1 h' WHERE conversation_id = 1 AND seq = 4"},
    {"count_runs",
     "UPDATE chat.entries SET count = count + 1 WHERE conversation_id = 1 AND seq = 3"},
    {"count_runs", "UPDATE chat.entries SET count = 1 WHERE conversation_id = 2 AND seq = 1"},
    {"entry_of_a_conversation", "DELETE FROM chat.conversations WHERE id = 3"},
    {"entry_kind", "UPDATE chat.entries SET kind = 16 WHERE conversation_id = 1 AND seq = 2"},
    {"entry_kind", "UPDATE chat.entries SET kind = 99 WHERE conversation_id = 2 AND seq = 3"},
    {"entry_kind", "UPDATE chat.entries SET kind = 12 WHERE conversation_id = 2 AND seq = 1"},
    {"message_content",
     "UPDATE chat.entries SET content = '' WHERE conversation_id = 1 AND seq = 2"},
    {"sender_is_member",
     "UPDATE chat.entries SET sender_user_id = 103 WHERE conversation_id = 1 AND seq = 2"},
    {"sender_is_member",
     "UPDATE chat.entries SET sender_user_id = 103 WHERE conversation_id = 2 AND seq = 9"},
    {"request_stored_once",
     "DROP INDEX chat.entries_request; UPDATE chat.entries e SET request_id = o.request_id "
     "FROM chat.entries o WHERE e.conversation_id = 1 AND e.seq = 2 AND o.conversation_id = 1 "
     "AND o.seq = 1"},
    {"last_seq", "UPDATE chat.conversations SET last_seq = 6 WHERE id = 1"},
    {"last_seq", "DELETE FROM chat.entries WHERE conversation_id = 1 AND seq = 5"},
    {"last_count", "UPDATE chat.conversations SET last_count = 4 WHERE id = 1"},
    {"last_at", "UPDATE chat.conversations SET last_at = last_at + interval '1 s' WHERE id = 1"},
    {"conversation_kind", "UPDATE chat.conversations SET title = 'x' WHERE id = 1"},
    {"conversation_kind", "UPDATE chat.conversations SET low_user_id = 1 WHERE id = 2"},
    {"pair_once",
     "DROP INDEX chat.conversations_pair; INSERT INTO chat.conversations (kind, low_user_id, "
     "high_user_id) VALUES (1, 101, 102)"},
    {"direct_members", "DELETE FROM chat.members WHERE conversation_id = 1 AND user_id = 102"},
    {"direct_members",
     "INSERT INTO chat.members (conversation_id, user_id, join_seq, first_seq) "
     "VALUES (1, 103, 0, 1)"},
    {"stay_of_a_conversation", "DELETE FROM chat.conversations WHERE id = 3"},
    {"stay_bounds",
     "UPDATE chat.members SET first_seq = 1 WHERE conversation_id = 2 AND user_id = 104"},
    {"stay_bounds",
     "UPDATE chat.members SET first_seq = 3 WHERE conversation_id = 3 AND user_id = 104"},
    {"stay_bounds",
     "UPDATE chat.members SET end_seq = 100 WHERE conversation_id = 2 AND user_id = 103"},
    {"stay_bounds",
     "UPDATE chat.members SET end_count = NULL WHERE conversation_id = 2 AND user_id = 103"},
    {"one_stay_at_a_time",
     "DROP INDEX chat.members_present; UPDATE chat.members SET end_seq = NULL, end_count = NULL, "
     "end_at = NULL WHERE conversation_id = 2 AND user_id = 102"},
    {"one_stay_at_a_time",
     "UPDATE chat.members SET end_seq = 8 WHERE conversation_id = 2 AND user_id = 102 "
     "AND join_seq = 1"},
    {"member_role", "UPDATE chat.members SET role = 4 WHERE conversation_id = 2"},
    {"member_version",
     "UPDATE chat.members SET version = 100 WHERE conversation_id = 2 AND user_id = 104"},
    {"mark_bounds",
     "UPDATE chat.members SET read_seq = 6, delivered_seq = 6 WHERE "
     "conversation_id = 1 AND user_id = 101"},
    {"mark_bounds",
     "UPDATE chat.members SET delivered_seq = 1 WHERE conversation_id = 1 AND "
     "user_id = 101"},
    {"mark_bounds", "UPDATE chat.members SET closed_seq = 6 WHERE conversation_id = 1"},
    {"mark_bounds",
     "UPDATE chat.members SET read_seq = 2 WHERE conversation_id = 2 AND user_id = 104"},
    {"read_count",
     "UPDATE chat.members SET read_count = 4 WHERE conversation_id = 1 AND user_id = 101"},
    {"sent_mark",
     "UPDATE chat.members SET sent_seq = 4 WHERE conversation_id = 1 AND user_id = 101"},
    {"last_sent",
     "UPDATE chat.members SET sent_seq = 2 WHERE conversation_id = 1 AND user_id = 101"},
    {"last_sent",
     "UPDATE chat.members SET sent_seq = 0 WHERE conversation_id = 1 AND user_id = 101"},
    {"stay_end",
     "UPDATE chat.members SET end_count = 0 WHERE conversation_id = 2 AND user_id = 103"},
    {"stay_end",
     "UPDATE chat.members SET left_by_self = true WHERE conversation_id = 2 AND "
     "user_id = 103"},
    {"stay_join_entry",
     "UPDATE chat.members SET join_seq = 2, first_seq = 2 WHERE "
     "conversation_id = 2 AND user_id = 101"},
    {"stay_end_entry",
     "UPDATE chat.members SET end_seq = 5 WHERE conversation_id = 2 AND "
     "user_id = 103"},
    {"stay_missing", "DELETE FROM chat.members WHERE conversation_id = 2 AND user_id = 103"},
    {"stay_goes_on",
     "UPDATE chat.members SET end_seq = NULL, end_count = NULL, end_at = NULL "
     "WHERE conversation_id = 2 AND user_id = 103"},
    {"entry_content",
     "UPDATE chat.entries SET content = '\\xff' WHERE conversation_id = 2 AND "
     "kind = 13"},
    {"group_title", "UPDATE chat.conversations SET title = 'wrong' WHERE id = 2"},
    {"own_log_position", "UPDATE chat.users SET log_position = 1 WHERE user_id = 101"},
    {"own_log_position", "UPDATE chat.users SET log_position = 100 WHERE user_id = 101"},
    {"own_log_positions_differ",
     "DROP INDEX chat.own_log_position; UPDATE chat.own_log SET position = (SELECT log_position "
     "FROM chat.users WHERE user_id = 101) WHERE user_id = 101"},
    {"reachability", "UPDATE chat.users SET reachability = 3 WHERE user_id = 102"},
    {"own_log_record", "DELETE FROM chat.contacts WHERE user_id = 101 AND other_user_id = 102"},
    {"own_log_record", "UPDATE chat.own_log SET object = 999 WHERE user_id = 101 AND kind = 3"},
    {"own_log_record", "DELETE FROM chat.users WHERE user_id = 102"},
    {"own_log_misses",
     "DELETE FROM chat.own_log WHERE user_id = 101 AND kind = 1 AND object = 102"},
    {"own_log_misses", "DELETE FROM chat.own_log WHERE user_id = 101 AND kind = 2"},
    {"contact_both_ways",
     "UPDATE chat.contacts SET state = 1 WHERE user_id = 101 AND "
     "other_user_id = 102"},
    {"contact_both_ways", "DELETE FROM chat.contacts WHERE user_id = 102 AND other_user_id = 101"},
    {"contact_of_two",
     "UPDATE chat.contacts SET other_user_id = 104 WHERE user_id = 104 AND other_user_id = 103"},
    {"contact_greeting",
     "UPDATE chat.contacts SET greeting = 'x' WHERE user_id = 101 AND "
     "other_user_id = 102"},
    {"contact_greeting",
     "UPDATE chat.contacts SET greeting = 'x' WHERE user_id = 101 AND "
     "other_user_id = 103"},
    {"answer", "UPDATE chat.answers SET response = '99999' WHERE response = '3'"},
    {"answer", "UPDATE chat.answers SET response = '' WHERE response = '3'"},
    {"account_of_a_user", "DELETE FROM auth.accounts WHERE user_id = 104"},
    {"account_of_a_user", "INSERT INTO presence.last_seen VALUES (999, now())"},
    {"account", "UPDATE auth.accounts SET user_name = 'USER1' WHERE user_id = 101"},
    {"account", "UPDATE auth.accounts SET password_hash = '' WHERE user_id = 101"},
    {"account_name_once",
     "ALTER TABLE auth.accounts DROP CONSTRAINT accounts_user_name_key; "
     "UPDATE auth.accounts SET user_name = 'eve' WHERE user_id = 101"},
    {"device_token", "UPDATE auth.devices SET secret_hash = ''"},
    {"device_token", "UPDATE auth.devices SET rotated_at = now()"},
    {"device_times", "UPDATE auth.devices SET last_used_at = logged_in_at - interval '1 s'"},
    {"epoch", "DELETE FROM chat.epoch"},
    {"nobody", "UPDATE auth.nobody SET key = ''"},
    {"next_user_id", "SELECT setval('auth.accounts_user_id_seq', 1)"},
    {"next_device_id",
     "UPDATE auth.devices SET device_id = DEFAULT; "
     "SELECT setval('auth.devices_device_id_seq', 1)"},
    {"next_conversation_id", "SELECT setval('chat.conversations_id_seq', 1)"},
    {"signing_key", "UPDATE auth.signing_keys SET private_pem = ''"},
    {"signing_key", "UPDATE auth.signing_keys SET jwk = '{}'"},
    {"login_failures", "UPDATE auth.login_failures SET failures = 0"},
    {"lease", "INSERT INTO presence.leases VALUES ('', now())"},
};

// Each damages a copy of one World.
class DamageTest : public ::testing::TestWithParam<Damage> {
 protected:
  static void SetUpTestSuite() { world_ = new World; }
  static void TearDownTestSuite() {
    delete world_;
    world_ = nullptr;
  }

  static World* world_;
};
World* DamageTest::world_ = nullptr;

TEST_P(DamageTest, IsFound) {
  im::testing::TestDatabase copy(im::testing::TestDatabase::CopyOf{world_->database()});
  copy.Exec(GetParam().sql);
  // Some pages; that their size does not matter is tested above.
  EXPECT_THAT(RulesOf(CheckAll(copy, 7)), Contains(GetParam().rule)) << GetParam().sql;
}

INSTANTIATE_TEST_SUITE_P(All, DamageTest, ::testing::ValuesIn(kDamages), [](const auto& one) {
  return absl::StrCat(one.param.rule, "_", one.index);
});

}  // namespace
}  // namespace im::check
