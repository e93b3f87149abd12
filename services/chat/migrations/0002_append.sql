-- Stores what a writer has decided, if the rows are still as it remembers them: all of it or nothing.
--
-- c_*: one element per conversation, in rising id: its id, and the last_seq and version that the
-- writer remembers; its last_seq and last_count afterwards.
-- e_*: one element per entry, in the order of seq within a conversation. e_conversation is the index
-- into c_* (from 1); content is cut out of the one e_contents (a bytea array would be escaped twice).
-- s_*: one element per conversation and sender: the member's stay, and their last entry here.
-- p_wait: wait for locked rows (lock_timeout applies) rather than pass over them.
--
-- Returns one row per conversation. outcome: 0 stored (with `at`); 1 locked by somebody else; 2 not as
-- remembered; 3 a request id is known already (`entry` says which element of e_*; one row each).
-- Unless all are 0 nothing was stored.
CREATE FUNCTION chat.append(
  c_id bigint[], c_seq bigint[], c_version bigint[], c_new_seq bigint[], c_new_count bigint[],
  e_conversation int[], e_seq bigint[], e_sender bigint[], e_request uuid[], e_hash bigint[],
  e_kind smallint[], e_count bigint[], e_offset int[], e_length int[], e_contents bytea,
  s_conversation bigint[], s_user bigint[], s_join bigint[], s_seq bigint[], s_count bigint[],
  p_wait boolean)
RETURNS TABLE (outcome int, conversation_id bigint, entry int, at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
  v_ids bigint[];
  v_seqs bigint[];
  v_versions bigint[];
  v_at timestamptz[];
BEGIN
  -- A statement of its own, so that those after it see what was committed before the locks were had.
  IF p_wait THEN
    SELECT array_agg(l.id), array_agg(l.last_seq), array_agg(l.version) INTO v_ids, v_seqs, v_versions
    FROM (SELECT c.id, c.last_seq, c.version FROM chat.conversations c
          WHERE c.id = ANY (c_id) ORDER BY c.id FOR NO KEY UPDATE) l;
  ELSE
    SELECT array_agg(l.id), array_agg(l.last_seq), array_agg(l.version) INTO v_ids, v_seqs, v_versions
    FROM (SELECT c.id, c.last_seq, c.version FROM chat.conversations c
          WHERE c.id = ANY (c_id) ORDER BY c.id FOR NO KEY UPDATE SKIP LOCKED) l;
  END IF;
  IF v_ids IS DISTINCT FROM c_id OR v_seqs <> c_seq OR v_versions <> c_version THEN
    RETURN QUERY
    SELECT CASE WHEN l.id IS NULL THEN 1 ELSE 2 END, c.id, NULL::int, NULL::timestamptz
    FROM unnest(c_id, c_seq, c_version) AS c (id, seq, version)
    LEFT JOIN unnest(v_ids, v_seqs, v_versions) AS l (id, seq, version) ON l.id = c.id
    WHERE l.id IS NULL OR l.seq <> c.seq OR l.version <> c.version;
    RETURN;
  END IF;

  -- Index: entries_request.
  RETURN QUERY
  SELECT 3, known.conversation_id, e.nr::int, NULL::timestamptz
  FROM unnest(e_conversation, e_sender, e_request) WITH ORDINALITY AS e (c, sender, request, nr)
  JOIN chat.entries known ON known.conversation_id = c_id[e.c] AND known.sender_user_id = e.sender
    AND known.request_id = e.request;
  IF FOUND THEN
    RETURN;
  END IF;

  WITH advanced AS (
    UPDATE chat.conversations t
    SET last_seq = c.new_seq, last_count = c.new_count, last_at = greatest(t.last_at, clock_timestamp())
    FROM unnest(c_id, c_new_seq, c_new_count) AS c (id, new_seq, new_count)
    WHERE t.id = c.id
    RETURNING t.id, t.last_at)
  SELECT array_agg(a.last_at ORDER BY a.id) INTO v_at FROM advanced a;

  INSERT INTO chat.entries (conversation_id, seq, sender_user_id, at, request_id, request_hash, kind,
                            content, count)
  SELECT c_id[e.c], e.seq, e.sender, v_at[e.c], e.request, e.hash, e.kind,
         substring(e_contents FROM e.start + 1 FOR e.length), e.count
  FROM unnest(e_conversation, e_seq, e_sender, e_request, e_hash, e_kind, e_count, e_offset, e_length)
    AS e (c, seq, sender, request, hash, kind, count, start, length);

  -- Sending reads one's own.
  UPDATE chat.members m
  SET sent_seq = s.seq, read_seq = s.seq, read_count = s.count, delivered_seq = s.seq
  FROM unnest(s_conversation, s_user, s_join, s_seq, s_count) AS s (conversation, member, joined, seq, count)
  WHERE m.conversation_id = s.conversation AND m.user_id = s.member AND m.join_seq = s.joined;

  RETURN QUERY SELECT 0, c.id, NULL::int, c.at FROM unnest(c_id, v_at) AS c (id, at);
END $$;

-- Whether there is a block between the user and one of the others. What comes after holds until the
-- end of the transaction: whoever blocks locks this row, too.
CREATE FUNCTION chat.refused(p_user bigint, p_others bigint[]) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chat.users (user_id) VALUES (p_user) ON CONFLICT DO NOTHING;
  PERFORM 1 FROM chat.users u WHERE u.user_id = p_user FOR NO KEY UPDATE;
  RETURN EXISTS (SELECT 1 FROM chat.blocked_with(p_user) AS b (id) WHERE b.id = ANY (p_others));
END $$;

-- A change of a group's members or settings: one entry, the stays it begins and ends, the title.
-- Waits for the row's lock (lock_timeout applies).
-- p_begin: users whose stay begins; p_begin_first: the first entry they may see. p_end: users whose
-- stay ends; p_by_self: by their own doing. p_title: null leaves it.
-- outcome: 0 stored; 2 the row is not as remembered; 3 the request id is known; 4 p_sender and one of
-- p_begin have blocked each other meanwhile.
CREATE FUNCTION chat.change(
  p_conversation bigint, p_seq bigint, p_version bigint,
  p_sender bigint, p_request uuid, p_hash bigint, p_kind smallint, p_content bytea,
  p_begin bigint[], p_begin_role smallint[], p_begin_first bigint, p_end bigint[], p_by_self boolean,
  p_title text, OUT outcome int, OUT stored_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
  v_row chat.conversations;
  v_next bigint := p_seq + 1;
BEGIN
  SELECT * INTO v_row FROM chat.conversations WHERE id = p_conversation FOR NO KEY UPDATE;
  PERFORM 1 FROM chat.entries e WHERE e.conversation_id = p_conversation AND e.sender_user_id = p_sender
    AND e.request_id = p_request;
  IF FOUND THEN
    outcome := 3;
    RETURN;
  END IF;
  IF v_row.last_seq IS DISTINCT FROM p_seq OR v_row.version IS DISTINCT FROM p_version THEN
    outcome := 2;
    RETURN;
  END IF;
  IF p_begin <> ARRAY[p_sender] AND chat.refused(p_sender, p_begin) THEN
    outcome := 4;
    RETURN;
  END IF;
  stored_at := greatest(v_row.last_at, clock_timestamp());
  UPDATE chat.conversations SET last_seq = v_next, last_at = stored_at, version = p_version + 1,
    title = coalesce(p_title, title)
  WHERE id = p_conversation;
  INSERT INTO chat.entries (conversation_id, seq, sender_user_id, at, request_id, request_hash, kind,
                            content, count)
  VALUES (p_conversation, v_next, p_sender, stored_at, p_request, p_hash, p_kind, p_content,
          v_row.last_count);
  UPDATE chat.members m
  SET end_seq = v_next, end_count = v_row.last_count, end_at = stored_at, left_by_self = p_by_self,
      version = p_version + 1
  WHERE m.conversation_id = p_conversation AND m.user_id = ANY (p_end) AND m.end_seq IS NULL;
  -- What was before a stay counts as read.
  INSERT INTO chat.members (conversation_id, user_id, join_seq, first_seq, role, read_seq, read_count,
                            delivered_seq, version)
  SELECT p_conversation, b.member, v_next, p_begin_first, b.role, v_next, v_row.last_count, v_next,
         p_version + 1
  FROM unnest(p_begin, p_begin_role) AS b (member, role);
  outcome := 0;
END $$;

-- A group with its first entry. outcome: 0 made; 3 the request id is known: made_id and made_hash are
-- those of the first request; 4 p_founder and one of p_members have blocked each other meanwhile.
CREATE FUNCTION chat.create_group(
  p_founder bigint, p_request uuid, p_hash bigint, p_title text, p_open_history boolean,
  p_members bigint[], p_kind smallint, p_content bytea,
  OUT outcome int, OUT made_id bigint, OUT made_hash bigint)
LANGUAGE plpgsql AS $$
DECLARE
  v_response bytea;
  v_at timestamptz;
BEGIN
  -- Repetitions of one request come one after the other.
  PERFORM pg_advisory_xact_lock(hashtextextended(p_request::text, p_founder));
  SELECT a.response, a.request_hash INTO v_response, made_hash FROM chat.answers a
  WHERE a.user_id = p_founder AND a.request_id = p_request;
  IF FOUND THEN
    outcome := 3;
    -- The answer to another request is no number.
    made_id := 0;
    IF made_hash = p_hash THEN
      made_id := convert_from(v_response, 'UTF8')::bigint;
    END IF;
    RETURN;
  END IF;
  IF chat.refused(p_founder, p_members) THEN
    outcome := 4;
    made_id := 0;
    RETURN;
  END IF;
  v_at := clock_timestamp();
  INSERT INTO chat.conversations (kind, title, open_history, last_seq, last_at)
  VALUES (2, p_title, p_open_history, 1, v_at)
  RETURNING id INTO made_id;
  INSERT INTO chat.entries (conversation_id, seq, sender_user_id, at, request_id, request_hash, kind,
                            content, count)
  VALUES (made_id, 1, p_founder, v_at, p_request, p_hash, p_kind, p_content, 0);
  INSERT INTO chat.members (conversation_id, user_id, join_seq, first_seq, role, read_seq, delivered_seq)
  SELECT made_id, m.member, 1, 1, CASE WHEN m.member = p_founder THEN 3 ELSE 1 END, 1, 1
  FROM unnest(p_members) AS m (member);
  INSERT INTO chat.answers (user_id, request_id, request_hash, response)
  VALUES (p_founder, p_request, p_hash, convert_to(made_id::text, 'UTF8'));
  outcome := 0;
  made_hash := p_hash;
END $$;
