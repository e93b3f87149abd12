#include "tools/check/rules.h"

namespace im::check {
namespace {

// Kinds of entries: 10 message (the only countable one), 11 group created, 12 members added, 13
// member removed, 14 member left, 15 member returned, 16 group renamed. Of conversations: 1 direct,
// 2 group.

constexpr char kSequence[] = IM_RULE(R"(
  SELECT b.rule, w.conversation_id, w.seq, b.what FROM (
    SELECT e.conversation_id, e.seq, e.at, e.kind, e.count,
           lag(e.seq, 1, 0::bigint) OVER s AS before_seq, lag(e.at) OVER s AS before_at,
           lag(e.count, 1, 0::bigint) OVER s AS before_count
    FROM chat.entries e WHERE e.conversation_id > $1 AND e.conversation_id <= $2
    WINDOW s AS (PARTITION BY e.conversation_id ORDER BY e.seq)) w
  CROSS JOIN LATERAL (VALUES
    ('seq_dense', w.seq <> w.before_seq + 1, 'comes after ' || w.before_seq),
    ('time_rises', w.at < w.before_at, 'is of ' || w.at || ', the one before of ' || w.before_at),
    ('count_runs', w.count <> w.before_count + (w.kind = 10)::int,
     'counts ' || w.count || ', the one before ' || w.before_count)) AS b (rule, broken, what)
  WHERE (w.seq <> w.before_seq + 1 OR w.at < w.before_at
         OR w.count <> w.before_count + (w.kind = 10)::int) AND b.broken)");

constexpr char kKinds[] = IM_RULE(R"(
  SELECT b.rule, e.conversation_id, e.seq, b.what
  FROM chat.entries e
  LEFT JOIN chat.conversations c ON c.id = e.conversation_id AND c.id > $1 AND c.id <= $2
  CROSS JOIN LATERAL (VALUES
    ('entry_of_a_conversation', c.id IS NULL, 'there is no such conversation'),
    ('entry_kind', e.kind NOT BETWEEN 10 AND 16 OR (c.kind = 1 AND e.kind <> 10)
       OR (c.kind = 2 AND (e.kind = 11) <> (e.seq = 1)),
     'kind ' || e.kind || ' in a conversation of kind ' || coalesce(c.kind::text, '?')),
    ('message_content', e.kind = 10 AND octet_length(e.content) = 0, 'is empty')
  ) AS b (rule, broken, what)
  WHERE e.conversation_id > $1 AND e.conversation_id <= $2 AND b.broken
    AND (c.id IS NULL OR e.kind <> 10 OR c.kind NOT IN (1, 2) OR octet_length(e.content) = 0
         OR e.seq = 1))");

constexpr char kSenders[] = IM_RULE(R"(
  SELECT 'sender_is_member' AS rule, e.conversation_id, e.seq, e.sender_user_id AS user_id,
         'the sender was no member then' AS what
  FROM chat.entries e
  WHERE e.conversation_id > $1 AND e.conversation_id <= $2 AND NOT EXISTS (
    SELECT FROM chat.members m
    WHERE m.conversation_id = e.conversation_id AND m.user_id = e.sender_user_id
      AND m.conversation_id > $1 AND m.conversation_id <= $2
      AND m.join_seq <= e.seq AND coalesce(m.end_seq, e.seq) >= e.seq))");

constexpr char kRequests[] = IM_RULE(R"(
  SELECT 'request_stored_once' AS rule, e.conversation_id, max(e.seq) AS seq,
         e.sender_user_id AS user_id, 'stored ' || count(*) || ' times' AS what
  FROM chat.entries e WHERE e.conversation_id > $1 AND e.conversation_id <= $2
  GROUP BY e.conversation_id, e.sender_user_id, e.request_id HAVING count(*) > 1)");

constexpr char kConversations[] = IM_RULE(R"(
  SELECT b.rule, c.id AS conversation_id, b.what
  FROM chat.conversations c
  LEFT JOIN LATERAL (SELECT e.seq, e.count, e.at FROM chat.entries e
    WHERE e.conversation_id = c.id ORDER BY e.seq DESC LIMIT 1) l ON true
  CROSS JOIN LATERAL (VALUES
    ('last_seq', c.last_seq <> coalesce(l.seq, 0),
     'says ' || c.last_seq || ', the last entry is ' || coalesce(l.seq, 0)),
    ('last_count', c.last_count <> coalesce(l.count, 0),
     'says ' || c.last_count || ', the last entry ' || coalesce(l.count, 0)),
    ('last_at', c.last_at <> l.at, 'says ' || c.last_at || ', the last entry ' || l.at),
    ('conversation_kind', c.kind NOT IN (1, 2) OR c.version < 1
       OR (c.kind = 1) <> (c.low_user_id IS NOT NULL) OR (c.kind = 1) <> (c.high_user_id IS NOT NULL)
       OR (c.kind = 1 AND (c.low_user_id >= c.high_user_id OR c.title <> ''))
       OR (c.kind = 2 AND c.last_seq < 1),
     'kind ' || c.kind || ', version ' || c.version || ' do not go with the rest of it'),
    ('pair_once', c.kind = 1 AND EXISTS (
       SELECT FROM chat.conversations o WHERE o.kind = 1 AND o.low_user_id = c.low_user_id
         AND o.high_user_id = c.high_user_id AND o.id < c.id), 'the pair has another one'),
    ('direct_members', c.kind = 1 AND 2 <> (
       SELECT count(*) FILTER (WHERE m.user_id IN (c.low_user_id, c.high_user_id) AND m.join_seq = 0)
              + 10 * count(*) FILTER (WHERE m.user_id NOT IN (c.low_user_id, c.high_user_id))
       FROM chat.members m WHERE m.conversation_id = c.id), 'its members are not just the pair')
  ) AS b (rule, broken, what)
  WHERE c.id > $1 AND c.id <= $2 AND b.broken)");

constexpr char kStays[] = IM_RULE(R"(
  SELECT b.rule, m.conversation_id, m.user_id, m.join_seq, b.what
  FROM (SELECT x.*, lag(x.join_seq) OVER s AS before_join, lag(x.end_seq) OVER s AS before_end
        FROM chat.members x WHERE x.conversation_id > $1 AND x.conversation_id <= $2
        WINDOW s AS (PARTITION BY x.conversation_id, x.user_id ORDER BY x.join_seq, x.end_seq)) m
  LEFT JOIN chat.conversations c ON c.id = m.conversation_id AND c.id > $1 AND c.id <= $2
  CROSS JOIN LATERAL (VALUES
    ('stay_of_a_conversation', c.id IS NULL, 'there is no such conversation'),
    ('stay_bounds',
     (c.kind = 1 AND (m.join_seq <> 0 OR m.first_seq <> 1 OR m.end_seq IS NOT NULL))
       OR (c.kind = 2 AND (m.join_seq NOT BETWEEN 1 AND c.last_seq
           OR m.first_seq <> CASE WHEN c.open_history THEN 1 ELSE m.join_seq END))
       OR m.end_seq <= m.join_seq OR m.end_seq > c.last_seq
       OR (m.end_seq IS NULL) <> (m.end_count IS NULL)
       OR (m.end_seq IS NULL) <> (m.end_at IS NULL),
     'from ' || m.first_seq || ' to ' || coalesce(m.end_seq::text, 'now')),
    ('one_stay_at_a_time',
     m.before_join IS NOT NULL AND (m.before_end IS NULL OR m.before_end >= m.join_seq),
     'the stay from ' || m.before_join || ' lasted until ' || coalesce(m.before_end::text, 'now')),
    ('member_role', m.role NOT BETWEEN 1 AND 3, 'role ' || m.role),
    ('member_version', m.version > c.version,
     'version ' || m.version || ', the conversation''s is ' || c.version)
  ) AS b (rule, broken, what)
  WHERE b.broken)");

// What the marks and the end of a stay point to.
constexpr char kMarks[] = IM_RULE(R"(
  SELECT b.rule, m.conversation_id, m.user_id, m.join_seq, b.what
  FROM chat.members m
  JOIN chat.conversations c ON c.id = m.conversation_id AND c.id > $1 AND c.id <= $2
  LEFT JOIN chat.entries r ON r.conversation_id = m.conversation_id AND r.seq = m.read_seq
  LEFT JOIN chat.entries s ON s.conversation_id = m.conversation_id AND s.seq = m.sent_seq
  LEFT JOIN chat.entries e ON e.conversation_id = m.conversation_id AND e.seq = m.end_seq
  CROSS JOIN LATERAL (VALUES
    ('mark_bounds', m.read_seq < m.join_seq OR m.read_seq > m.delivered_seq
       OR m.delivered_seq > coalesce(m.end_seq, c.last_seq) OR m.sent_seq > m.read_seq
       OR m.sent_seq < 0 OR m.closed_seq NOT BETWEEN 0 AND c.last_seq,
     'read ' || m.read_seq || ', delivered ' || m.delivered_seq || ', sent ' || m.sent_seq
       || ', of ' || coalesce(m.end_seq, c.last_seq)),
    ('read_count', m.read_count <> coalesce(r.count, 0),
     'says ' || m.read_count || ', entry ' || m.read_seq || ' says ' || coalesce(r.count, 0)),
    ('sent_mark', m.sent_seq > 0 AND (s.sender_user_id IS DISTINCT FROM m.user_id OR s.kind <> 10),
     'entry ' || m.sent_seq || ' is no message of theirs'),
    ('stay_end', m.end_seq IS NOT NULL AND (e.count IS DISTINCT FROM m.end_count
       OR e.at IS DISTINCT FROM m.end_at OR (e.kind = 14) <> m.left_by_self),
     'entry ' || m.end_seq || ' ended it in another way')
  ) AS b (rule, broken, what)
  WHERE m.conversation_id > $1 AND m.conversation_id <= $2 AND b.broken)");

constexpr char kLastSent[] = IM_RULE(R"(
  SELECT 'last_sent' AS rule, e.conversation_id, e.sender_user_id AS user_id,
         'their last message is ' || max(e.seq) || ', their mark says ' || coalesce(max(m.sent), 0)
           AS what
  FROM chat.entries e
  LEFT JOIN (SELECT x.conversation_id, x.user_id, max(x.sent_seq) AS sent FROM chat.members x
    WHERE x.conversation_id > $1 AND x.conversation_id <= $2 GROUP BY 1, 2) m
    ON m.conversation_id = e.conversation_id AND m.user_id = e.sender_user_id
  WHERE e.conversation_id > $1 AND e.conversation_id <= $2 AND e.kind = 10
  GROUP BY e.conversation_id, e.sender_user_id
  HAVING max(e.seq) <> coalesce(max(m.sent), 0))");

}  // namespace

const std::vector<pg::Sql>& ConversationRules() {
  static const auto* rules = new std::vector<pg::Sql>{kSequence,      kKinds, kSenders, kRequests,
                                                      kConversations, kStays, kMarks,   kLastSent};
  return *rules;
}

}  // namespace im::check
