// The database's roles: each service's has what it needs in its own schema, and nothing else
// anywhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pqxx/pqxx>

#include "common/pg/migrate.h"
#include "tests/support/database.h"

namespace im::pg {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Of the three schemas: what nobody thought of (the service's role may do nothing with it), and
// what is open to more than that role; as "what: why".
constexpr char kWrong[] =
    "WITH things AS ("
    "  SELECT n.nspname, 'im_' || n.nspname AS own, c.oid::regclass::text AS thing, c.relacl AS "
    "acl,"
    "    c.relowner AS owner, false AS definer"
    "  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE n.nspname IN ('auth', 'chat', 'presence') AND c.relkind IN ('r', 'p', 'v', 'm')"
    "  UNION ALL"
    "  SELECT n.nspname, 'im_' || n.nspname, p.oid::regprocedure::text, p.proacl, p.proowner,"
    "    p.prosecdef"
    "  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
    "  WHERE n.nspname IN ('auth', 'chat', 'presence')"
    "  UNION ALL"
    "  SELECT n.nspname, 'im_' || n.nspname, 'schema ' || n.nspname, n.nspacl, n.nspowner, false"
    "  FROM pg_namespace n WHERE n.nspname IN ('auth', 'chat', 'presence')),"
    // Without a list, everybody may run a function.
    " grants AS (SELECT t.thing, a.* FROM things t, LATERAL aclexplode(t.acl) a)"
    " SELECT thing || ': no grant' FROM things t WHERE NOT EXISTS ("
    "   SELECT FROM grants g WHERE g.thing = t.thing AND g.grantee = t.own::regrole)"
    " UNION ALL"
    " SELECT t.thing || ': open to ' || CASE g.grantee WHEN 0 THEN 'everybody'"
    "   ELSE g.grantee::regrole::text END FROM things t JOIN grants g USING (thing)"
    " WHERE g.grantee NOT IN (t.own::regrole, t.owner)"
    " UNION ALL"
    " SELECT t.thing || ': may be granted on' FROM things t JOIN grants g USING (thing)"
    " WHERE g.is_grantable AND g.grantee <> t.owner"
    " UNION ALL"
    " SELECT t.thing || ': ' || g.privilege_type FROM things t JOIN grants g USING (thing)"
    " WHERE g.grantee = t.own::regrole"
    "   AND g.privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'EXECUTE', 'USAGE')"
    " UNION ALL"
    " SELECT thing || ': owned by ' || owner::regrole FROM things WHERE owner <> "
    "'im_owner'::regrole"
    " UNION ALL"
    " SELECT thing || ': runs as its owner' FROM things WHERE definer"
    " ORDER BY 1";

std::vector<std::string> Wrong(const std::string& url) {
  pqxx::connection connection(url);
  pqxx::nontransaction transaction(connection);
  std::vector<std::string> wrong;
  for (const auto& row : transaction.exec(kWrong)) wrong.push_back(row[0].as<std::string>());
  return wrong;
}

class RolesTest : public ::testing::Test {
 protected:
  // "": it may; else PostgreSQL's code: 42501 is insufficient_privilege.
  std::string Refusal(const std::string& role, const std::string& sql) {
    try {
      pqxx::connection connection(database_.UrlOf(role));
      pqxx::work transaction(connection);
      transaction.exec(sql);
    } catch (const pqxx::insufficient_privilege&) {
      return "42501";  // libpqxx 6 leaves its code out
    } catch (const pqxx::sql_error& e) {
      return e.sqlstate().empty() ? e.what() : e.sqlstate();
    }
    return "";
  }

  im::testing::TestDatabase database_;
};

TEST_F(RolesTest, EveryTableAndFunctionIsGrantedToItsServiceAlone) {
  EXPECT_THAT(Wrong(database_.url()), IsEmpty());
}

TEST_F(RolesTest, WhatAMigrationForgetsIsFound) {
  const std::vector<Migration> more = {
      {"chat", 1000, "1000_more",
       "CREATE TABLE chat.forgotten (id int); "
       "CREATE FUNCTION chat.forgotten() RETURNS int LANGUAGE sql AS 'SELECT 1'"}};
  ASSERT_TRUE(Migrate(database_.UrlOf("owner"), more).ok());
  EXPECT_THAT(Wrong(database_.url()),
              ElementsAre("chat.forgotten(): no grant", "chat.forgotten: no grant"));
  ASSERT_TRUE(Grant(database_.UrlOf("owner")).ok());
  EXPECT_THAT(Wrong(database_.url()), ElementsAre("chat.forgotten: no grant"));
  database_.Exec(
      "GRANT SELECT ON chat.forgotten TO im_auth, PUBLIC; GRANT TRUNCATE ON chat.users TO im_chat; "
      "ALTER FUNCTION chat.forgotten() SECURITY DEFINER; ALTER TABLE chat.answers OWNER TO im");
  EXPECT_THAT(Wrong(database_.url()),
              ElementsAre("chat.answers: owned by im", "chat.forgotten(): runs as its owner",
                          "chat.forgotten: no grant", "chat.forgotten: open to everybody",
                          "chat.forgotten: open to im_auth", "chat.users: TRUNCATE"));
  // The step takes back what somebody gave by hand.
  database_.Exec("ALTER TABLE chat.answers OWNER TO im_owner");
  ASSERT_TRUE(Grant(database_.UrlOf("owner")).ok());
  EXPECT_THAT(Wrong(database_.url()),
              ElementsAre("chat.forgotten(): runs as its owner", "chat.forgotten: no grant"));
}

TEST_F(RolesTest, NoServiceReadsAnothersSchema) {
  const std::map<std::string, std::string> tables = {
      {"auth", "auth.accounts"}, {"chat", "chat.entries"}, {"presence", "presence.leases"}};
  for (const auto& [role, own] : tables) {
    for (const auto& [other, table] : tables) {
      EXPECT_EQ(Refusal(role, "SELECT count(*) FROM " + table), other == role ? "" : "42501")
          << role << " reads " << table;
    }
    EXPECT_EQ(Refusal(role, "SELECT * FROM public.im_migrations"), "42501") << role;
  }
  EXPECT_EQ(Refusal("chat", "SELECT auth.at(1)"), "42501");
}

TEST_F(RolesTest, NoServiceChangesTheSchemaOrWhatWasSaid) {
  for (const char* sql :
       {"CREATE TABLE chat.more (id int)", "CREATE TABLE public.more (id int)",
        "CREATE TEMPORARY TABLE more (id int)", "CREATE SCHEMA more",
        "ALTER TABLE chat.users ADD more int", "DROP FUNCTION chat.current_epoch()",
        "TRUNCATE chat.answers", "UPDATE chat.entries SET content = ''", "DELETE FROM chat.entries",
        "DELETE FROM chat.members", "CREATE EXTENSION pgcrypto SCHEMA chat", "SET ROLE im_owner",
        "CREATE ROLE more", "GRANT SELECT ON chat.users TO im_auth",
        "COPY chat.users TO PROGRAM 'true'", "SELECT pg_read_file('/etc/hostname')"}) {
    const std::string refusal = Refusal("chat", sql);
    // A grant without the right to grant warns only, and grants nothing.
    if (std::string_view(sql).substr(0, 5) == "GRANT") continue;
    EXPECT_EQ(refusal, "42501") << sql;
  }
  EXPECT_THAT(Wrong(database_.url()), IsEmpty());
  EXPECT_EQ(Refusal("chat", "SELECT chat.current_epoch()"), "");
}

TEST_F(RolesTest, ADatabaseFromBeforeTheRolesIsBroughtOver) {
  // As it was: all of one role, which everybody used.
  database_.Exec(
      "DO $$ DECLARE r record; BEGIN "
      "FOR r IN SELECT n.nspname FROM pg_namespace n WHERE n.nspname IN ('auth', 'chat', "
      "'presence') "
      "LOOP EXECUTE format('ALTER SCHEMA %I OWNER TO im', r.nspname); END LOOP; "
      "FOR r IN SELECT c.oid::regclass AS thing FROM pg_class c JOIN pg_namespace n ON n.oid = "
      "c.relnamespace WHERE n.nspname IN ('auth', 'chat', 'presence', 'public') AND c.relkind = "
      "'r' "
      "LOOP EXECUTE format('ALTER TABLE %s OWNER TO im', r.thing); END LOOP; "
      "FOR r IN SELECT p.oid::regprocedure AS thing FROM pg_proc p JOIN pg_namespace n ON n.oid = "
      "p.pronamespace WHERE n.nspname IN ('auth', 'chat', 'presence') "
      "LOOP EXECUTE format('ALTER ROUTINE %s OWNER TO im; GRANT EXECUTE ON ROUTINE %s TO PUBLIC', "
      "r.thing, r.thing); END LOOP; "
      "EXECUTE format('ALTER DATABASE %I OWNER TO im', current_database()); END $$; "
      "ALTER TYPE chat.contact_change OWNER TO im");
  EXPECT_FALSE(Migrate(database_.UrlOf("owner"), AllMigrations()).ok());
  im::testing::MakeRoles(database_.url());
  ASSERT_TRUE(Migrate(database_.UrlOf("owner"), AllMigrations()).ok());
  ASSERT_TRUE(Grant(database_.UrlOf("owner")).ok());
  EXPECT_THAT(Wrong(database_.url()), IsEmpty());
  EXPECT_EQ(
      database_.Value("SELECT string_agg(DISTINCT typowner::regrole::text, ',') FROM pg_type t "
                      "JOIN pg_namespace n ON n.oid = t.typnamespace "
                      "WHERE n.nspname IN ('auth', 'chat', 'presence')"),
      "im_owner");
  EXPECT_EQ(database_.Value("SELECT datdba::regrole FROM pg_database "
                            "WHERE datname = current_database()"),
            "im_owner");
}

}  // namespace
}  // namespace im::pg
