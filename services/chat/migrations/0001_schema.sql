CREATE SCHEMA chat;

-- Names the data: with the timeline of the database it makes the epoch that clients remember. A
-- restored backup gets another value.
CREATE TABLE chat.epoch (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  value bigint NOT NULL
);
INSERT INTO chat.epoch (value)
VALUES (('x' || substr(md5(gen_random_uuid()::text), 1, 15))::bit(60)::bigint);

-- Positive, never 0. Differs when the data was restored (value) or a standby took over (timeline).
CREATE FUNCTION chat.current_epoch() RETURNS bigint LANGUAGE sql AS $$
  SELECT (hashint8extended(value, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint)
          & 9223372036854775807) | 1
  FROM chat.epoch
$$;

-- What the chat service keeps of an account; made when first needed.
CREATE TABLE chat.users (
  user_id bigint PRIMARY KEY,
  -- The newest position of the own log. Taking the next one locks the row.
  log_position bigint NOT NULL DEFAULT 0,
  -- im.chat.v1.Reachability: 1 contacts, 2 anyone.
  reachability smallint NOT NULL DEFAULT 1
) WITH (fillfactor = 70);

CREATE TABLE chat.conversations (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- im.chat.v1.ConversationKind: 1 direct, 2 group.
  kind smallint NOT NULL,
  title text NOT NULL DEFAULT '',
  open_history boolean NOT NULL DEFAULT false,
  -- The pair of a direct conversation, low < high.
  low_user_id bigint,
  high_user_id bigint,
  last_seq bigint NOT NULL DEFAULT 0,
  -- The running count of countable entries.
  last_count bigint NOT NULL DEFAULT 0,
  last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Raised, under the row's lock, by whatever changes who may do what: members, roles, contacts,
  -- blocks, settings. Who remembers a state remembers it with its version.
  version bigint NOT NULL DEFAULT 1,
  CHECK (kind = 2 OR low_user_id < high_user_id)
) WITH (fillfactor = 50);
-- No other index: what an append changes must not be indexed, so that its update stays HOT.
CREATE UNIQUE INDEX conversations_pair ON chat.conversations (low_user_id, high_user_id)
  WHERE kind = 1;

-- One row per stay; never deleted.
CREATE TABLE chat.members (
  conversation_id bigint NOT NULL,
  user_id bigint NOT NULL,
  -- The seq of the entry that began the stay; 0 in direct conversations.
  join_seq bigint NOT NULL,
  -- The first entry they may see.
  first_seq bigint NOT NULL,
  -- The entry that ended the stay; null while it lasts. With the count and the time there.
  end_seq bigint,
  end_count bigint,
  end_at timestamptz,
  -- Whether the member ended it, and so may come back.
  left_by_self boolean NOT NULL DEFAULT false,
  -- im.chat.v1.Role: 1 member, 2 admin, 3 founder.
  role smallint NOT NULL DEFAULT 1,
  read_seq bigint NOT NULL DEFAULT 0,
  -- The running count at read_seq.
  read_count bigint NOT NULL DEFAULT 0,
  delivered_seq bigint NOT NULL DEFAULT 0,
  -- The last message they sent in this stay.
  sent_seq bigint NOT NULL DEFAULT 0,
  -- Direct: whether the member opened it. To who did not it is not there until it holds something.
  opened boolean NOT NULL DEFAULT false,
  -- Direct: messages up to here no longer invite an answer (the two were contacts and are not).
  -- Somebody whom the member wrote to after this may answer.
  closed_seq bigint NOT NULL DEFAULT 0,
  -- conversations.version of the last change of the row's rights, so that a refresh reads only these.
  version bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (conversation_id, user_id, join_seq)
) WITH (fillfactor = 70);
CREATE INDEX members_user ON chat.members (user_id, conversation_id);
CREATE INDEX members_version ON chat.members (conversation_id, version);
CREATE UNIQUE INDEX members_present ON chat.members (conversation_id, user_id) WHERE end_seq IS NULL;

CREATE TABLE chat.entries (
  conversation_id bigint NOT NULL,
  seq bigint NOT NULL,
  sender_user_id bigint NOT NULL,
  at timestamptz NOT NULL,
  request_id uuid NOT NULL,
  -- 64 bits of a hash of the request: the same id with another request is refused.
  request_hash bigint NOT NULL,
  -- The number of the field of im.chat.v1.Entry.body that `content` is the serialised message of.
  kind smallint NOT NULL,
  content bytea NOT NULL,
  -- The running count of countable entries, this one included.
  count bigint NOT NULL,
  PRIMARY KEY (conversation_id, seq)
);
CREATE UNIQUE INDEX entries_request ON chat.entries (conversation_id, sender_user_id, request_id);
-- For the catch-up of gateways: what was stored since. Small ranges and autosummarize, or all new
-- pages would be read.
CREATE INDEX entries_at ON chat.entries USING brin (at) WITH (pages_per_range = 16, autosummarize = on);

-- How things stand from user_id's side. Two rows a pair, changed together.
CREATE TABLE chat.contacts (
  user_id bigint NOT NULL,
  other_user_id bigint NOT NULL,
  -- im.chat.v1.ContactState: 1 none, 2 request sent, 3 request received, 4 contact, 5 declined.
  state smallint NOT NULL DEFAULT 1,
  greeting text NOT NULL DEFAULT '',
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Whether user_id has blocked the other.
  blocked boolean NOT NULL DEFAULT false,
  PRIMARY KEY (user_id, other_user_id)
) WITH (fillfactor = 70);
CREATE INDEX contacts_blocked ON chat.contacts (other_user_id, user_id) WHERE blocked;

-- Whom the user has blocked, and who has blocked the user.
CREATE FUNCTION chat.blocked_with(p_user bigint) RETURNS SETOF bigint
LANGUAGE sql STABLE AS $$
  SELECT k.other_user_id FROM chat.contacts k WHERE k.user_id = p_user AND k.blocked
  UNION ALL
  SELECT k.user_id FROM chat.contacts k WHERE k.other_user_id = p_user AND k.blocked
$$;

-- The own log: which record of an account changed at which position. What it says stands in the
-- record's own table. Updated in place, never deleted.
CREATE TABLE chat.own_log (
  user_id bigint NOT NULL,
  -- 1 contact (object: the other user), 2 settings (object: 0), 3 read mark (object: conversation).
  kind smallint NOT NULL,
  object bigint NOT NULL,
  position bigint NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (user_id, kind, object)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX own_log_position ON chat.own_log (user_id, position);
CREATE INDEX own_log_changed ON chat.own_log (changed_at);

-- Answers to mutations that make no entry, for 24 hours.
CREATE TABLE chat.answers (
  user_id bigint NOT NULL,
  request_id uuid NOT NULL,
  request_hash bigint NOT NULL,
  -- The serialised response.
  response bytea NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (user_id, request_id)
);
CREATE INDEX answers_at ON chat.answers (at);

-- Notes a change in the own log: takes the next position under the lock of the user's row.
CREATE FUNCTION chat.log_own(p_user bigint, p_kind smallint, p_object bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_position bigint;
BEGIN
  INSERT INTO chat.users (user_id, log_position) VALUES (p_user, 1)
  ON CONFLICT (user_id) DO UPDATE SET log_position = chat.users.log_position + 1
  RETURNING log_position INTO v_position;
  INSERT INTO chat.own_log (user_id, kind, object, position) VALUES (p_user, p_kind, p_object, v_position)
  ON CONFLICT (user_id, kind, object)
  DO UPDATE SET position = EXCLUDED.position, changed_at = clock_timestamp();
  RETURN v_position;
END $$;

-- The direct conversation of a pair, made if it is not there, and its version raised: for whatever
-- changes a right between the two. Returns its id, and holds its row's lock until the end.
CREATE FUNCTION chat.raise_pair(p_one bigint, p_other bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_id bigint;
  v_version bigint;
BEGIN
  INSERT INTO chat.conversations (kind, low_user_id, high_user_id)
  VALUES (1, least(p_one, p_other), greatest(p_one, p_other))
  ON CONFLICT (low_user_id, high_user_id) WHERE kind = 1
  DO UPDATE SET version = chat.conversations.version + 1
  RETURNING id, version INTO v_id, v_version;
  IF v_version = 1 THEN
    -- A change of settings raises all of the account's conversations, under its row's lock: it either
    -- sees this one, or is seen by whoever reads this one's state.
    INSERT INTO chat.users (user_id) VALUES (least(p_one, p_other)), (greatest(p_one, p_other))
    ON CONFLICT DO NOTHING;
    -- Not FOR SHARE: whoever goes on to write both own logs would have to raise it, and meet others.
    PERFORM 1 FROM chat.users WHERE user_id IN (p_one, p_other) ORDER BY user_id FOR NO KEY UPDATE;
    INSERT INTO chat.members (conversation_id, user_id, join_seq, first_seq)
    VALUES (v_id, p_one, 0, 1), (v_id, p_other, 0, 1);
  END IF;
  RETURN v_id;
END $$;

-- The direct conversation of a pair, made if it is not there, for p_one.
CREATE FUNCTION chat.open_direct(p_one bigint, p_other bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_id bigint;
BEGIN
  SELECT id INTO v_id FROM chat.conversations
  WHERE kind = 1 AND low_user_id = least(p_one, p_other) AND high_user_id = greatest(p_one, p_other);
  IF NOT FOUND THEN
    v_id := chat.raise_pair(p_one, p_other);
  END IF;
  UPDATE chat.members m SET opened = true
  WHERE m.conversation_id = v_id AND m.user_id = p_one AND NOT m.opened;
  RETURN v_id;
END $$;

-- Whether the user has ever been a member and may know of the conversation.
CREATE FUNCTION chat.shows(p_user bigint, p_conversation bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT 1 FROM chat.members m JOIN chat.conversations c ON c.id = m.conversation_id
                 WHERE m.conversation_id = p_conversation AND m.user_id = p_user
                   AND (c.kind = 2 OR c.last_seq > 0 OR m.opened))
$$;
