-- chat.append for one entry, which is what comes while little is said: without arrays it takes
-- PostgreSQL a third less. Returns when it was stored; null if nothing was, since the row is locked or
-- not as remembered, or since the request is known: chat.append says which.
CREATE FUNCTION chat.append_one(
  p_conversation bigint, p_seq bigint, p_version bigint, p_count bigint,
  p_sender bigint, p_join bigint, p_request uuid, p_hash bigint, p_kind smallint, p_content bytea)
RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
  v_at timestamptz;
BEGIN
  -- A statement of its own, so that those after it see what was committed before the lock was had.
  SELECT greatest(c.last_at, clock_timestamp()) INTO v_at FROM chat.conversations c
  WHERE c.id = p_conversation AND c.last_seq = p_seq AND c.version = p_version
  FOR NO KEY UPDATE SKIP LOCKED;
  -- Index: entries_request.
  IF v_at IS NULL OR EXISTS (
      SELECT 1 FROM chat.entries e WHERE e.conversation_id = p_conversation
        AND e.sender_user_id = p_sender AND e.request_id = p_request) THEN
    RETURN NULL;
  END IF;
  UPDATE chat.conversations c SET last_seq = p_seq + 1, last_count = p_count, last_at = v_at
  WHERE c.id = p_conversation;
  INSERT INTO chat.entries (conversation_id, seq, sender_user_id, at, request_id, request_hash, kind,
                            content, count)
  VALUES (p_conversation, p_seq + 1, p_sender, v_at, p_request, p_hash, p_kind, p_content, p_count);
  -- Sending reads one's own.
  UPDATE chat.members m
  SET sent_seq = p_seq + 1, read_seq = p_seq + 1, read_count = p_count, delivered_seq = p_seq + 1
  WHERE m.conversation_id = p_conversation AND m.user_id = p_sender AND m.join_seq = p_join;
  RETURN v_at;
END $$;
