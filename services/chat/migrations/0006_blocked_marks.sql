-- Of a pair of whom one has blocked the other, neither sees the other's marks in their direct
-- conversation.
CREATE INDEX contacts_blocked ON chat.contacts (other_user_id, user_id) WHERE blocked;

-- Whom the user has blocked, and who has blocked the user.
CREATE FUNCTION chat.blocked_with(p_user bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE AS $$
  SELECT k.other_user_id FROM chat.contacts k WHERE k.user_id = p_user AND k.blocked
  UNION ALL
  SELECT k.user_id FROM chat.contacts k WHERE k.other_user_id = p_user AND k.blocked
$$;

CREATE OR REPLACE FUNCTION chat.mark_audience(p_conversation bigint) RETURNS bigint[]
LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN count(*) <= 50 THEN array_agg(m.user_id) END
  FROM (SELECT user_id FROM chat.members
        WHERE conversation_id = p_conversation AND end_seq IS NULL LIMIT 51) m
  WHERE NOT EXISTS (
    SELECT 1 FROM chat.conversations c
    JOIN chat.contacts k ON k.user_id IN (c.low_user_id, c.high_user_id)
      AND k.other_user_id = c.low_user_id + c.high_user_id - k.user_id
    WHERE c.id = p_conversation AND k.blocked)
$$;
