-- Accounts, devices, tokens and keys of im-auth. No other service reads these tables.
--
-- Each function is one mutation: it is called as one autocommit statement, so that a process that
-- is stopped in the middle holds no lock. Where several rows are locked, the account's comes first,
-- then its failures', then its devices'. Times come from the caller, who has a clock that tests can set; only ended_at is
-- this database's own, since im-auth's instances find new revocations by it.

CREATE SCHEMA auth;

CREATE TABLE auth.accounts (
  user_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_name text NOT NULL UNIQUE,           -- folded to lower case
  display_name text NOT NULL DEFAULT '',
  bio text NOT NULL DEFAULT '',
  password_hash text NOT NULL,              -- Argon2id with its parameters, as libsodium writes it
  password_version int NOT NULL DEFAULT 1,  -- counts passwords, not hashes of the same one
  created_at timestamptz NOT NULL,
  locked_at timestamptz                     -- by the operator
);

-- One row for each log-in, kept after its end: device ids are never given out again, and ending a
-- device twice is no error.
CREATE TABLE auth.devices (
  device_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id bigint NOT NULL REFERENCES auth.accounts,
  name text NOT NULL,
  platform text NOT NULL,
  logged_in_at timestamptz NOT NULL,
  last_used_at timestamptz NOT NULL,
  -- A refresh token is a family, the same for all of a device, and a secret, new with each.
  family_hash bytea NOT NULL UNIQUE,
  secret_hash bytea NOT NULL,
  previous_secret_hash bytea,               -- the one that secret_hash was given for
  rotated_at timestamptz,                   -- when previous_secret_hash was used first
  refresh_expires_at timestamptz NOT NULL,
  ended_at timestamptz
);
CREATE INDEX devices_of_user ON auth.devices (user_id, last_used_at DESC, device_id DESC)
  WHERE ended_at IS NULL;
CREATE INDEX devices_by_end ON auth.devices (ended_at) WHERE ended_at IS NOT NULL;

-- Wrong passwords by name, whether the name exists or not. Hashed: people type their password here.
CREATE TABLE auth.login_failures (
  name_hash bytea PRIMARY KEY,
  failures int NOT NULL,
  last_at timestamptz NOT NULL,
  locked_until timestamptz
);
CREATE INDEX login_failures_by_time ON auth.login_failures (last_at);

CREATE TABLE auth.signing_keys (
  key_id text PRIMARY KEY,
  private_pem text NOT NULL,
  jwk text NOT NULL,
  active_from timestamptz NOT NULL
);

CREATE FUNCTION auth.at(micros bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
  $$ SELECT timestamptz '1970-01-01 00:00:00+00' + micros * interval '1 microsecond' $$;
CREATE FUNCTION auth.micros(at timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE AS
  $$ SELECT (extract(epoch FROM at) * 1000000)::bigint $$;

-- No row: the name is taken.
CREATE FUNCTION auth.register(
  p_now timestamptz, p_user_name text, p_display_name text, p_password_hash text,
  p_device_name text, p_platform text, p_family bytea, p_secret bytea, p_expires timestamptz)
RETURNS TABLE (user_id bigint, device_id bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  new_user bigint;
BEGIN
  INSERT INTO auth.accounts (user_name, display_name, password_hash, created_at)
    VALUES (p_user_name, p_display_name, p_password_hash, p_now)
    ON CONFLICT (user_name) DO NOTHING RETURNING user_id INTO new_user;
  IF new_user IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY
    INSERT INTO auth.devices (user_id, name, platform, logged_in_at, last_used_at, family_hash,
                              secret_hash, refresh_expires_at)
      VALUES (new_user, p_device_name, p_platform, p_now, p_now, p_family, p_secret, p_expires)
      RETURNING user_id, device_id;
END $$;

-- A wrong password. After five the name is locked for 30 s, and twice as long with each further
-- one, up to an hour; a day after the last they are forgotten. While it is locked nothing counts.
CREATE FUNCTION auth.record_failure(
  p_now timestamptz, p_name_hash bytea, OUT counted boolean, OUT locked_until timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  known auth.login_failures;
BEGIN
  counted := true;
  LOOP
    SELECT * INTO known FROM auth.login_failures WHERE name_hash = p_name_hash FOR UPDATE;
    EXIT WHEN FOUND;
    INSERT INTO auth.login_failures (name_hash, failures, last_at) VALUES (p_name_hash, 1, p_now)
      ON CONFLICT DO NOTHING;
    IF FOUND THEN
      RETURN;
    END IF;
  END LOOP;
  IF known.locked_until > p_now THEN
    counted := false;
    locked_until := known.locked_until;
    RETURN;
  END IF;
  known.failures := CASE WHEN known.last_at < p_now - interval '1 day' THEN 1
                         ELSE known.failures + 1 END;
  IF known.failures >= 5 THEN
    locked_until := p_now + least(interval '30 seconds' * 2 ^ least(known.failures - 5, 10),
                                  interval '1 hour');
  END IF;
  UPDATE auth.login_failures f
    SET failures = known.failures, last_at = p_now, locked_until = record_failure.locked_until
    WHERE f.name_hash = p_name_hash;
END $$;

-- The right password was given for this version of it. outcome: ok, login_locked (with
-- locked_until: wrong ones came meanwhile), account_locked, changed.
CREATE FUNCTION auth.log_in(
  p_now timestamptz, p_name_hash bytea, p_user_id bigint, p_version int, p_new_hash text,
  p_device_name text, p_platform text, p_family bytea, p_secret bytea, p_expires timestamptz,
  OUT outcome text, OUT device_id bigint, OUT locked_until timestamptz,
  OUT display_name text, OUT bio text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  account auth.accounts;
BEGIN
  SELECT * INTO account FROM auth.accounts WHERE user_id = p_user_id FOR NO KEY UPDATE;
  IF account.password_version IS DISTINCT FROM p_version THEN
    outcome := 'changed';
    RETURN;
  END IF;
  SELECT f.locked_until INTO locked_until FROM auth.login_failures f
    WHERE f.name_hash = p_name_hash AND f.locked_until > p_now FOR UPDATE;
  IF FOUND THEN
    outcome := 'login_locked';
    RETURN;
  END IF;
  IF account.locked_at IS NOT NULL THEN
    outcome := 'account_locked';
    RETURN;
  END IF;
  DELETE FROM auth.login_failures WHERE name_hash = p_name_hash;
  IF p_new_hash IS NOT NULL THEN
    UPDATE auth.accounts SET password_hash = p_new_hash WHERE user_id = p_user_id;
  END IF;
  INSERT INTO auth.devices AS d (user_id, name, platform, logged_in_at, last_used_at, family_hash,
                                 secret_hash, refresh_expires_at)
    VALUES (p_user_id, p_device_name, p_platform, p_now, p_now, p_family, p_secret, p_expires)
    RETURNING d.device_id INTO device_id;
  outcome := 'ok';
  display_name := account.display_name;
  bio := account.bio;
END $$;

-- outcome: ok, unknown (also expired or ended), account_locked, reused (which ended the device).
CREATE FUNCTION auth.refresh(
  p_now timestamptz, p_family bytea, p_secret bytea, p_next_secret bytea, p_expires timestamptz,
  OUT outcome text, OUT user_id bigint, OUT device_id bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  device auth.devices;
BEGIN
  SELECT * INTO device FROM auth.devices WHERE family_hash = p_family FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'unknown';
    RETURN;
  END IF;
  user_id := device.user_id;
  device_id := device.device_id;
  PERFORM FROM auth.accounts a WHERE a.user_id = device.user_id AND a.locked_at IS NOT NULL;
  IF FOUND THEN
    outcome := 'account_locked';
  ELSIF device.ended_at IS NOT NULL OR device.refresh_expires_at <= p_now THEN
    outcome := 'unknown';
  ELSIF device.secret_hash = p_secret THEN
    UPDATE auth.devices d
      SET previous_secret_hash = p_secret, rotated_at = p_now, secret_hash = p_next_secret,
          refresh_expires_at = p_expires, last_used_at = p_now
      WHERE d.device_id = device.device_id;
    outcome := 'ok';
  ELSIF device.previous_secret_hash = p_secret
        AND p_now <= device.rotated_at + interval '1 minute' THEN
    -- The answer was lost: the secret that was in it is void. The minute runs from the first use.
    UPDATE auth.devices d
      SET secret_hash = p_next_secret, refresh_expires_at = p_expires, last_used_at = p_now
      WHERE d.device_id = device.device_id;
    outcome := 'ok';
  ELSE
    -- Whoever knows the family had a token of this device: used up, or void.
    UPDATE auth.devices d SET ended_at = clock_timestamp() WHERE d.device_id = device.device_id;
    outcome := 'reused';
  END IF;
END $$;

-- Ends the devices of an account but p_keep (0: all) and returns those that this ended. Locked in
-- the order of their ids, so that two who do it at once wait for each other and no more.
CREATE FUNCTION auth.end_devices(p_user_id bigint, p_keep bigint)
RETURNS TABLE (device_id bigint, expires_at timestamptz) LANGUAGE sql AS $$
  WITH locked AS MATERIALIZED (
    SELECT l.device_id FROM auth.devices l
      WHERE l.user_id = p_user_id AND l.device_id <> p_keep AND l.ended_at IS NULL
      ORDER BY l.device_id FOR NO KEY UPDATE)
  UPDATE auth.devices d SET ended_at = clock_timestamp()
    FROM locked WHERE d.device_id = locked.device_id AND d.ended_at IS NULL
    RETURNING d.device_id, d.refresh_expires_at
$$;

-- The right password was given for this version of it. outcome: ok, changed, login_locked (with
-- locked_until); ended: the devices that this ended.
CREATE FUNCTION auth.change_password(
  p_now timestamptz, p_name_hash bytea, p_user_id bigint, p_version int, p_new_hash text,
  p_keep bigint, OUT outcome text, OUT locked_until timestamptz, OUT ended bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  account auth.accounts;
BEGIN
  ended := '{}';
  SELECT * INTO account FROM auth.accounts WHERE user_id = p_user_id FOR NO KEY UPDATE;
  IF account.password_version IS DISTINCT FROM p_version THEN
    outcome := 'changed';
    RETURN;
  END IF;
  SELECT f.locked_until INTO locked_until FROM auth.login_failures f
    WHERE f.name_hash = p_name_hash AND f.locked_until > p_now FOR UPDATE;
  IF FOUND THEN
    outcome := 'login_locked';
    RETURN;
  END IF;
  DELETE FROM auth.login_failures WHERE name_hash = p_name_hash;
  UPDATE auth.accounts SET password_hash = p_new_hash, password_version = password_version + 1
    WHERE user_id = p_user_id;
  ended := ARRAY(SELECT e.device_id FROM auth.end_devices(p_user_id, p_keep) e);
  outcome := 'ok';
END $$;

-- What the operator does to an account, by name. null: there is none. Else the number of devices
-- that were ended.
CREATE FUNCTION auth.lock_account(p_now timestamptz, p_user_name text) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
  found_user bigint;
BEGIN
  UPDATE auth.accounts SET locked_at = coalesce(locked_at, p_now) WHERE user_name = p_user_name
    RETURNING user_id INTO found_user;
  IF found_user IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT count(*) FROM auth.end_devices(found_user, 0));
END $$;

CREATE FUNCTION auth.unlock_account(p_user_name text, p_name_hash bytea) RETURNS int
LANGUAGE plpgsql AS $$
BEGIN
  UPDATE auth.accounts SET locked_at = NULL WHERE user_name = p_user_name;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  DELETE FROM auth.login_failures WHERE name_hash = p_name_hash;
  RETURN 0;
END $$;

CREATE FUNCTION auth.reset_password(p_user_name text, p_name_hash bytea, p_new_hash text)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  found_user bigint;
BEGIN
  UPDATE auth.accounts SET password_hash = p_new_hash, password_version = password_version + 1
    WHERE user_name = p_user_name RETURNING user_id INTO found_user;
  IF found_user IS NULL THEN
    RETURN NULL;
  END IF;
  DELETE FROM auth.login_failures WHERE name_hash = p_name_hash;
  RETURN (SELECT count(*) FROM auth.end_devices(found_user, 0));
END $$;

-- Adds a key unless one was added meanwhile that is active later than p_due_before.
CREATE FUNCTION auth.add_key(
  p_key_id text, p_private_pem text, p_jwk text, p_active_from timestamptz,
  p_due_before timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7310562);
  IF NOT EXISTS (SELECT FROM auth.signing_keys WHERE active_from > p_due_before) THEN
    INSERT INTO auth.signing_keys (key_id, private_pem, jwk, active_from)
      VALUES (p_key_id, p_private_pem, p_jwk, p_active_from);
  END IF;
END $$;
