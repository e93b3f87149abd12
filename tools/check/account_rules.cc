#include "tools/check/rules.h"

namespace im::check {
namespace {

// Kinds of the own log: 1 contact, 2 settings, 3 read mark. States of contacts: 1 none, 2 request
// sent, 3 request received, 4 contact, 5 declined.

constexpr char kOwnLog[] = IM_RULE(R"(
  SELECT b.rule, u.user_id, b.what
  FROM chat.users u
  CROSS JOIN LATERAL (SELECT count(*) AS records, count(DISTINCT l.position) AS positions,
      coalesce(min(l.position), 1) AS lowest, coalesce(max(l.position), 0) AS highest
    FROM chat.own_log l WHERE l.user_id = u.user_id) o
  CROSS JOIN LATERAL (VALUES
    ('own_log_position', u.log_position <> o.highest OR o.lowest < 1,
     'stands at ' || u.log_position || ', its records go from ' || o.lowest || ' to ' || o.highest),
    ('own_log_positions_differ', o.records <> o.positions,
     o.records || ' records at ' || o.positions || ' positions'),
    ('reachability', u.reachability NOT IN (1, 2), 'is ' || u.reachability)
  ) AS b (rule, broken, what)
  WHERE u.user_id > $1 AND u.user_id <= $2 AND b.broken)");

constexpr char kOwnRecords[] = IM_RULE(R"(
  SELECT 'own_log_record' AS rule, l.user_id, l.position,
         'kind ' || l.kind || ', object ' || l.object || ': of nothing that is there' AS what
  FROM chat.own_log l
  WHERE l.user_id > $1 AND l.user_id <= $2 AND NOT (
    EXISTS (SELECT FROM chat.users u WHERE u.user_id = l.user_id) AND CASE l.kind
      WHEN 1 THEN EXISTS (SELECT FROM chat.contacts c
                          WHERE c.user_id = l.user_id AND c.other_user_id = l.object)
      WHEN 2 THEN l.object = 0
      WHEN 3 THEN EXISTS (SELECT FROM chat.members m
                          WHERE m.user_id = l.user_id AND m.conversation_id = l.object)
      ELSE false END))");

// What must stand in the own log, or devices never learn of it.
constexpr char kNotInOwnLog[] = IM_RULE(R"(
  SELECT 'own_log_misses' AS rule, n.user_id, n.what FROM (
    SELECT c.user_id, 1 AS kind, c.other_user_id AS object, 'contact ' || c.other_user_id AS what
    FROM chat.contacts c WHERE c.user_id > $1 AND c.user_id <= $2
    UNION ALL
    SELECT u.user_id, 2, 0, 'settings' FROM chat.users u
    WHERE u.user_id > $1 AND u.user_id <= $2 AND u.reachability <> 1) n
  WHERE NOT EXISTS (SELECT FROM chat.own_log l
    WHERE l.user_id = n.user_id AND l.kind = n.kind AND l.object = n.object))");

// No row means none.
constexpr char kContacts[] = IM_RULE(R"(
  SELECT b.rule, c.user_id, c.other_user_id, b.what
  FROM chat.contacts c
  LEFT JOIN chat.contacts o ON o.user_id = c.other_user_id AND o.other_user_id = c.user_id
  CROSS JOIN LATERAL (VALUES
    ('contact_both_ways',
     (c.state, coalesce(o.state, 1)) NOT IN ((4, 4), (2, 3), (3, 2), (2, 1), (1, 2), (5, 1), (1, 5), (1, 1)),
     'state ' || c.state || ', the other''s ' || coalesce(o.state, 1)),
    ('contact_of_two', c.user_id = c.other_user_id, 'is their own'),
    ('contact_greeting', c.greeting <> '' AND c.state NOT IN (2, 3)
       OR c.state = 2 AND o.state = 3 AND c.greeting <> o.greeting, 'does not go with the state')
  ) AS b (rule, broken, what)
  WHERE c.user_id > $1 AND c.user_id <= $2 AND b.broken)");

// Answers are a group's id, or JSON: {} where there was nothing to do.
constexpr char kAnswers[] = IM_RULE(R"(
  SELECT 'answer' AS rule, a.user_id, 'is of no group that they made with this request' AS what
  FROM (SELECT x.user_id, x.request_id, encode(x.response, 'escape') AS text
        FROM chat.answers x WHERE x.user_id > $1 AND x.user_id <= $2) a
  WHERE a.text !~ '^[[{]' AND NOT EXISTS (
    SELECT FROM chat.entries e
    WHERE e.conversation_id = CASE WHEN a.text ~ '^[1-9][0-9]{0,17}$' THEN a.text::bigint END
      AND e.seq = 1 AND e.kind = 11 AND e.sender_user_id = a.user_id
      AND e.request_id = a.request_id))");

constexpr char kAccountOf[] = IM_RULE(R"(
  SELECT 'account_of_a_user' AS rule, u.user_id, u.what || ' of no account' AS what FROM (
    SELECT x.user_id, 'settings' AS what FROM chat.users x WHERE x.user_id > $1 AND x.user_id <= $2
    UNION ALL
    SELECT x.user_id, 'stay in conversation ' || x.conversation_id
    FROM chat.members x WHERE x.user_id > $1 AND x.user_id <= $2
    UNION ALL
    SELECT x.user_id, 'contact' FROM chat.contacts x WHERE x.user_id > $1 AND x.user_id <= $2
    UNION ALL
    SELECT x.user_id, 'answer' FROM chat.answers x WHERE x.user_id > $1 AND x.user_id <= $2
    UNION ALL
    SELECT x.user_id, 'last seen' FROM presence.last_seen x
    WHERE x.user_id > $1 AND x.user_id <= $2
    UNION ALL
    SELECT x.user_id, 'device ' || x.device_id FROM auth.devices x
    WHERE x.user_id > $1 AND x.user_id <= $2) u
  WHERE NOT EXISTS (SELECT FROM auth.accounts a WHERE a.user_id = u.user_id))");

constexpr char kAccounts[] = IM_RULE(R"(
  SELECT b.rule, a.user_id, b.what
  FROM auth.accounts a
  CROSS JOIN LATERAL (VALUES
    ('account', a.user_name = '' OR a.user_name <> lower(a.user_name)
       OR a.password_hash NOT LIKE '$argon2id$%' OR a.password_version < 1,
     'its name or its hash is none'),
    ('account_name_once', EXISTS (SELECT FROM auth.accounts o
       WHERE o.user_name = a.user_name AND o.user_id < a.user_id), 'an older one has the name')
  ) AS b (rule, broken, what)
  WHERE a.user_id > $1 AND a.user_id <= $2 AND b.broken)");

constexpr char kDevices[] = IM_RULE(R"(
  SELECT b.rule, d.user_id, d.device_id, b.what
  FROM auth.devices d
  CROSS JOIN LATERAL (VALUES
    ('device_token', octet_length(d.family_hash) <> 32 OR octet_length(d.secret_hash) <> 32
       OR octet_length(d.previous_secret_hash) <> 32
       OR EXISTS (SELECT FROM unnest(d.other_secret_hashes) o WHERE octet_length(o) <> 32)
       OR (d.previous_secret_hash IS NULL) <> (d.rotated_at IS NULL), 'its token''s hashes are none'),
    ('device_times', d.last_used_at < d.logged_in_at, 'was used before it logged in')
  ) AS b (rule, broken, what)
  WHERE d.user_id > $1 AND d.user_id <= $2 AND b.broken)");

constexpr char kSingletons[] = IM_RULE(R"(
  SELECT b.rule, b.what FROM (VALUES
    ('epoch', (SELECT count(*) FROM chat.epoch) <> 1, 'not one row'),
    ('nobody', (SELECT count(*) FILTER (WHERE octet_length(n.key) = 16) <> 1 OR count(*) <> 1
                FROM auth.nobody n), 'not one key'),
    ('next_user_id', (SELECT max(a.user_id) FROM auth.accounts a) > (
       SELECT last_value FROM auth.accounts_user_id_seq), 'is taken'),
    ('next_device_id', (SELECT max(d.device_id) FROM auth.devices d) > (
       SELECT last_value FROM auth.devices_device_id_seq), 'is taken'),
    ('next_conversation_id', (SELECT max(c.id) FROM chat.conversations c) > (
       SELECT last_value FROM chat.conversations_id_seq), 'is taken')
  ) AS b (rule, broken, what)
  WHERE b.broken)");

constexpr char kSmallTables[] = IM_RULE(R"(
  SELECT 'signing_key' AS rule, 'a key''s parts do not belong together' AS what
  FROM auth.signing_keys k
  WHERE k.private_pem NOT LIKE '-----BEGIN %' OR strpos(k.jwk, '"' || k.key_id || '"') = 0
  UNION ALL
  SELECT 'login_failures', 'of no name, or none' FROM auth.login_failures f
  WHERE octet_length(f.name_hash) <> 32 OR f.failures < 1
  UNION ALL
  SELECT 'lease', 'of no gateway' FROM presence.leases l WHERE l.gateway_id = '')");

}  // namespace

const std::vector<pg::Sql>& AccountRules() {
  static const auto* rules = new std::vector<pg::Sql>{
      kOwnLog, kOwnRecords, kNotInOwnLog, kContacts, kAnswers, kAccountOf, kAccounts, kDevices};
  return *rules;
}

const std::vector<pg::Sql>& WholeRules() {
  static const auto* rules = new std::vector<pg::Sql>{kSingletons, kSmallTables};
  return *rules;
}

}  // namespace im::check
