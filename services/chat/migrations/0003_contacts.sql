-- Contacts, blocks and settings: each change one call.
--
-- Locks are taken in one order everywhere: conversation rows in id order, then users' rows in id
-- order. Only update_settings may have to leave it, for a conversation that is just being made; who
-- meets it in a deadlock tries again.

-- A contact row as it is after a change, as clients and answers need it.
CREATE TYPE chat.contact_change AS (
  user_id bigint,
  other_user_id bigint,
  state smallint,
  greeting text,
  -- Microseconds since 1970.
  since bigint,
  blocked boolean,
  -- In user_id's own log; 0: their log has no news.
  "position" bigint
);

-- The row, or what no row means.
CREATE FUNCTION chat.contact_of(p_user bigint, p_other bigint) RETURNS chat.contacts LANGUAGE sql AS $$
  SELECT p_user, p_other, coalesce(c.state, 1::smallint), coalesce(c.greeting, ''),
         coalesce(c.since, clock_timestamp()), coalesce(c.blocked, false)
  FROM (SELECT) one
  LEFT JOIN chat.contacts c ON c.user_id = p_user AND c.other_user_id = p_other
$$;

-- Stores p_new if it differs from p_old, and notes that in the own log.
CREATE FUNCTION chat.put_contact(p_old chat.contacts, p_new chat.contacts) RETURNS chat.contact_change
LANGUAGE plpgsql AS $$
DECLARE
  v_position bigint := 0;
BEGIN
  IF p_new.state <> p_old.state THEN
    p_new.since := clock_timestamp();
  END IF;
  IF p_new IS DISTINCT FROM p_old THEN
    INSERT INTO chat.contacts (user_id, other_user_id, state, greeting, since, blocked)
    VALUES (p_new.user_id, p_new.other_user_id, p_new.state, p_new.greeting, p_new.since, p_new.blocked)
    ON CONFLICT (user_id, other_user_id)
    DO UPDATE SET state = EXCLUDED.state, greeting = EXCLUDED.greeting, since = EXCLUDED.since,
      blocked = EXCLUDED.blocked;
    v_position := chat.log_own(p_new.user_id, 1::smallint, p_new.other_user_id);
  END IF;
  RETURN (p_new.user_id, p_new.other_user_id, p_new.state, p_new.greeting,
          (extract(epoch FROM p_new.since) * 1000000)::bigint, p_new.blocked, v_position);
END $$;

-- What p_user does about p_other. p_action: request, accept, decline, withdraw, remove, block, unblock.
-- Who p_other is must have been checked for request and block.
--
-- outcome: 0 done, now or by an earlier call with this request id: a row for p_user, then a row for
-- p_other if their log has news. Else one row, and nothing was changed: 1 the request id was used for
-- another request; 2 there is no such request or contact; 3 p_other refuses; 4 p_user has blocked
-- p_other; 5 too many contacts; 6 somebody else was quicker: call again.
CREATE FUNCTION chat.change_contact(
  p_action text, p_user bigint, p_other bigint, p_request uuid, p_hash bigint, p_greeting text,
  p_limit bigint)
RETURNS TABLE (outcome int, change chat.contact_change)
LANGUAGE plpgsql AS $$
DECLARE
  v_answer chat.answers;
  v_mine chat.contacts;
  v_theirs chat.contacts;
  v_new_mine chat.contacts;
  v_new_theirs chat.contacts;
  v_raise boolean;
  v_conversation bigint;
  v_changes chat.contact_change[];
BEGIN
  -- Repetitions of one request come one after the other.
  PERFORM pg_advisory_xact_lock(hashtextextended(p_request::text, p_user));
  SELECT * INTO v_answer FROM chat.answers a WHERE a.user_id = p_user AND a.request_id = p_request;
  IF FOUND THEN
    IF v_answer.request_hash <> p_hash THEN
      RETURN QUERY SELECT 1, NULL::chat.contact_change;
    ELSE
      RETURN QUERY SELECT 0, r
      FROM jsonb_populate_recordset(NULL::chat.contact_change,
                                    convert_from(v_answer.response, 'UTF8')::jsonb) r;
    END IF;
    RETURN;
  END IF;

  -- Whether a right between the two may change is guessed before the locks, for the conversation's
  -- comes first, and should not be made for what will be refused.
  v_mine := chat.contact_of(p_user, p_other);
  v_theirs := chat.contact_of(p_other, p_user);
  v_raise := CASE p_action
    WHEN 'request' THEN v_theirs.state = 2 AND NOT v_mine.blocked AND NOT v_theirs.blocked
    WHEN 'accept' THEN v_mine.state = 3
    WHEN 'remove' THEN v_mine.state = 4
    WHEN 'block' THEN NOT v_mine.blocked
    WHEN 'unblock' THEN v_mine.blocked
    ELSE false END;
  IF v_raise THEN
    v_conversation := chat.raise_pair(p_user, p_other);
  END IF;
  -- Where there is nothing between the two yet.
  IF p_action IN ('request', 'block') THEN
    INSERT INTO chat.users (user_id) VALUES (least(p_user, p_other)), (greatest(p_user, p_other))
    ON CONFLICT DO NOTHING;
  END IF;
  PERFORM 1 FROM chat.users u WHERE u.user_id IN (p_user, p_other) ORDER BY u.user_id
  FOR NO KEY UPDATE;

  v_mine := chat.contact_of(p_user, p_other);
  v_theirs := chat.contact_of(p_other, p_user);
  v_new_mine := v_mine;
  v_new_theirs := v_theirs;
  CASE p_action
  WHEN 'request' THEN
    IF v_mine.blocked THEN
      RETURN QUERY SELECT 4, NULL::chat.contact_change;
      RETURN;
    ELSIF v_theirs.blocked THEN
      RETURN QUERY SELECT 3, NULL::chat.contact_change;
      RETURN;
    ELSIF v_mine.state = 4 THEN
      NULL;
    ELSIF v_theirs.state = 2 THEN
      v_new_mine.state := 4;
      v_new_theirs.state := 4;
    ELSE
      v_new_mine.state := 2;
      v_new_theirs.state := 3;
      v_new_mine.greeting := p_greeting;
      v_new_theirs.greeting := p_greeting;
    END IF;
  WHEN 'accept' THEN
    IF v_mine.state = 3 THEN
      v_new_mine.state := 4;
      v_new_theirs.state := 4;
    END IF;
  WHEN 'decline' THEN
    IF v_mine.state = 3 THEN
      v_new_mine.state := 1;
      v_new_theirs.state := 5;
    END IF;
  WHEN 'withdraw' THEN
    IF v_mine.state = 2 THEN
      v_new_mine.state := 1;
      -- Else it had vanished by a block.
      IF v_theirs.state = 3 THEN
        v_new_theirs.state := 1;
      END IF;
    END IF;
  WHEN 'remove' THEN
    IF v_mine.state = 4 THEN
      v_new_mine.state := 1;
      v_new_theirs.state := 1;
    END IF;
  WHEN 'block' THEN
    -- An open request of theirs vanishes here, and stays as it is for them.
    v_new_mine.blocked := true;
    IF v_mine.state = 3 THEN
      v_new_mine.state := 1;
    END IF;
  WHEN 'unblock' THEN
    v_new_mine.blocked := false;
  END CASE;

  IF v_new_mine.state = v_mine.state AND p_action IN ('accept', 'decline', 'withdraw', 'remove') THEN
    RETURN QUERY SELECT 2, NULL::chat.contact_change;
    RETURN;
  END IF;
  IF NOT v_raise AND ((v_new_mine.state = 4) <> (v_mine.state = 4) OR v_new_mine.blocked <> v_mine.blocked) THEN
    RETURN QUERY SELECT 6, NULL::chat.contact_change;
    RETURN;
  END IF;
  -- Open requests count for the one who makes them only, so that nobody can be shut off by many.
  IF v_new_mine.state <> v_mine.state AND v_new_mine.state IN (2, 4) AND (
       (SELECT count(*) FROM chat.contacts c
        WHERE c.user_id = p_user AND (c.state = 4 OR (c.state = 2 AND v_new_mine.state = 2))) >= p_limit
       OR v_new_mine.state = 4 AND (SELECT count(*) FROM chat.contacts c
                                    WHERE c.user_id = p_other AND c.state = 4) >= p_limit) THEN
    RETURN QUERY SELECT 5, NULL::chat.contact_change;
    RETURN;
  END IF;

  -- A greeting goes with an open request.
  IF v_new_mine.state NOT IN (2, 3) THEN
    v_new_mine.greeting := '';
  END IF;
  IF v_new_theirs.state NOT IN (2, 3) THEN
    v_new_theirs.greeting := '';
  END IF;
  IF p_user < p_other THEN
    v_changes := ARRAY[chat.put_contact(v_mine, v_new_mine)];
    v_changes := v_changes || chat.put_contact(v_theirs, v_new_theirs);
  ELSE
    v_changes := ARRAY[chat.put_contact(v_theirs, v_new_theirs)];
    v_changes := chat.put_contact(v_mine, v_new_mine) || v_changes;
  END IF;
  IF (v_changes[2])."position" = 0 THEN
    v_changes := v_changes[1:1];
  END IF;
  IF p_action = 'remove' THEN
    -- What was written while they were contacts no longer invites an answer.
    UPDATE chat.members m SET closed_seq = c.last_seq, version = c.version
    FROM chat.conversations c
    WHERE c.id = v_conversation AND m.conversation_id = c.id;
  END IF;

  INSERT INTO chat.answers (user_id, request_id, request_hash, response)
  VALUES (p_user, p_request, p_hash, convert_to(to_jsonb(v_changes)::text, 'UTF8'));
  RETURN QUERY SELECT 0, v_changes[i] FROM generate_subscripts(v_changes, 1) i ORDER BY i;
END $$;

-- p_reachability: null leaves it. outcome: 0 done, with the settings and their position in the own
-- log (0: no news); 1 the request id was used for another request.
CREATE FUNCTION chat.update_settings(
  p_user bigint, p_request uuid, p_hash bigint, p_reachability smallint,
  OUT outcome int, OUT reachability smallint, OUT "position" bigint)
LANGUAGE plpgsql AS $$
DECLARE
  v_answer chat.answers;
  v_response jsonb;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(p_request::text, p_user));
  SELECT * INTO v_answer FROM chat.answers a WHERE a.user_id = p_user AND a.request_id = p_request;
  IF FOUND THEN
    outcome := CASE WHEN v_answer.request_hash = p_hash THEN 0 ELSE 1 END;
    IF outcome = 0 THEN
      v_response := convert_from(v_answer.response, 'UTF8')::jsonb;
      reachability := (v_response ->> 'reachability')::smallint;
      "position" := (v_response ->> 'position')::bigint;
    END IF;
    RETURN;
  END IF;

  outcome := 0;
  "position" := 0;
  -- In the order of locks; guessed before them, to spare those who change nothing. Index: members_user.
  IF p_reachability <> coalesce((SELECT u.reachability FROM chat.users u WHERE u.user_id = p_user), 1) THEN
    PERFORM 1 FROM chat.members m JOIN chat.conversations c ON c.id = m.conversation_id
    WHERE m.user_id = p_user AND c.kind = 1 ORDER BY c.id FOR NO KEY UPDATE OF c;
  END IF;
  INSERT INTO chat.users (user_id) VALUES (p_user) ON CONFLICT DO NOTHING;
  SELECT u.reachability INTO reachability FROM chat.users u WHERE u.user_id = p_user FOR NO KEY UPDATE;
  IF p_reachability <> reachability THEN
    reachability := p_reachability;
    UPDATE chat.users u SET reachability = p_reachability WHERE u.user_id = p_user;
    "position" := chat.log_own(p_user, 2::smallint, 0);
    -- A statement of its own, which sees the conversations too that were made before the user's row
    -- was had (see raise_pair). Only their rows are locked out of order.
    UPDATE chat.conversations c SET version = c.version + 1
    FROM chat.members m
    WHERE m.user_id = p_user AND c.id = m.conversation_id AND c.kind = 1;
  END IF;
  INSERT INTO chat.answers (user_id, request_id, request_hash, response)
  VALUES (p_user, p_request, p_hash,
          convert_to(jsonb_build_object('reachability', reachability, 'position', "position")::text, 'UTF8'));
END $$;
