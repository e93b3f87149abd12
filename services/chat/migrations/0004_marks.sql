-- Entries that gave a group its title (the kinds of group_created and group_renamed), few as they are:
-- who has left sees the title of the time they left.
CREATE INDEX entries_titles ON chat.entries (conversation_id, seq) WHERE kind IN (11, 16);

-- Who is told how far a member has come: everyone present in conversations of up to 50, else nobody.
CREATE FUNCTION chat.mark_audience(p_conversation bigint) RETURNS bigint[]
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

-- Raises somebody's read mark, in their newest stay: never down, never past what they may see.
-- log_position: of the own log, null if nothing rose; audience: as chat.mark_audience, null for who has
-- left. All null: they never were a member.
CREATE FUNCTION chat.mark_read(
  p_user bigint, p_conversation bigint, p_seq bigint,
  OUT read_seq bigint, OUT delivered_seq bigint, OUT unread bigint, OUT log_position bigint,
  OUT audience bigint[])
LANGUAGE plpgsql AS $$
DECLARE
  v_join bigint;
  v_last bigint;
  v_last_count bigint;
  v_read_count bigint;
  v_target bigint;
  v_end bigint;
BEGIN
  SELECT m.join_seq, m.end_seq, coalesce(m.end_seq, c.last_seq), coalesce(m.end_count, c.last_count),
         m.read_seq, m.read_count, m.delivered_seq
  INTO v_join, v_end, v_last, v_last_count, read_seq, v_read_count, delivered_seq
  FROM chat.members m JOIN chat.conversations c ON c.id = m.conversation_id
  WHERE m.conversation_id = p_conversation AND m.user_id = p_user
  ORDER BY m.join_seq DESC LIMIT 1;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  v_target := least(p_seq, v_last);
  IF v_target > read_seq THEN
    -- Locks go in the order conversation, account, member, whoever takes some of them: an append holds
    -- the first and waits for the last.
    INSERT INTO chat.users (user_id) VALUES (p_user) ON CONFLICT DO NOTHING;
    PERFORM 1 FROM chat.users u WHERE u.user_id = p_user FOR NO KEY UPDATE;
    UPDATE chat.members m
    SET read_seq = v_target, read_count = e.count, delivered_seq = greatest(m.delivered_seq, v_target)
    FROM chat.entries e
    WHERE m.conversation_id = p_conversation AND m.user_id = p_user AND m.join_seq = v_join
      AND m.read_seq < v_target AND e.conversation_id = p_conversation AND e.seq = v_target
    RETURNING m.read_seq, m.read_count, m.delivered_seq INTO read_seq, v_read_count, delivered_seq;
    IF FOUND THEN
      log_position := chat.log_own(p_user, 3::smallint, p_conversation);
      IF v_end IS NULL THEN
        audience := chat.mark_audience(p_conversation);
      END IF;
    ELSE
      -- Somebody was faster.
      SELECT m.read_seq, m.read_count, m.delivered_seq INTO read_seq, v_read_count, delivered_seq
      FROM chat.members m
      WHERE m.conversation_id = p_conversation AND m.user_id = p_user AND m.join_seq = v_join;
    END IF;
  END IF;
  -- Never below zero: a message sent meanwhile has read more than was there at first.
  unread := greatest(v_last_count - v_read_count, 0);
END $$;

-- Raises delivery marks, in the newest stays. Waits for nobody: a member row that somebody else holds
-- (an append, which may hold others that it waits for) is passed over.
-- Returns the marks that rose; those that were passed over (delivered_seq null); and of each
-- conversation where one rose who is told (user_id null, audience as chat.mark_audience). They are not
-- joined: how many there are is not known when this is planned.
CREATE FUNCTION chat.acknowledge(p_conversation bigint[], p_user bigint[], p_seq bigint[])
RETURNS TABLE (conversation_id bigint, user_id bigint, read_seq bigint, delivered_seq bigint,
               present boolean, audience bigint[])
LANGUAGE sql AS $$
  WITH needed AS MATERIALIZED (
    SELECT n.conversation_id, n.user_id, n.join_seq,
           least(a.seq, coalesce(n.end_seq, c.last_seq)) AS target
    FROM unnest(p_conversation, p_user, p_seq) AS a (conversation, member, seq)
    JOIN chat.conversations c ON c.id = a.conversation
    CROSS JOIN LATERAL (SELECT m.conversation_id, m.user_id, m.join_seq, m.end_seq, m.delivered_seq
                        FROM chat.members m
                        WHERE m.conversation_id = a.conversation AND m.user_id = a.member
                        ORDER BY m.join_seq DESC LIMIT 1) n
    WHERE least(a.seq, coalesce(n.end_seq, c.last_seq)) > n.delivered_seq),
  locked AS MATERIALIZED (
    SELECT m.conversation_id, m.user_id, m.join_seq, n.target
    FROM needed n JOIN chat.members m ON m.conversation_id = n.conversation_id
      AND m.user_id = n.user_id AND m.join_seq = n.join_seq
    FOR NO KEY UPDATE OF m SKIP LOCKED),
  risen AS (
    UPDATE chat.members m SET delivered_seq = l.target FROM locked l
    WHERE m.conversation_id = l.conversation_id AND m.user_id = l.user_id
      AND m.join_seq = l.join_seq AND m.delivered_seq < l.target
    RETURNING m.conversation_id, m.user_id, m.read_seq, m.delivered_seq,
              m.end_seq IS NULL AS present)
  SELECT r.conversation_id, r.user_id, r.read_seq, r.delivered_seq, r.present, NULL::bigint[]
  FROM risen r
  UNION ALL
  SELECT n.conversation_id, n.user_id, NULL, NULL, NULL, NULL FROM needed n
  WHERE (n.conversation_id, n.user_id) NOT IN (SELECT l.conversation_id, l.user_id FROM locked l)
  UNION ALL
  SELECT t.conversation_id, NULL, NULL, NULL, NULL, chat.mark_audience(t.conversation_id)
  FROM (SELECT DISTINCT r.conversation_id FROM risen r WHERE r.present) t
$$;
