-- Two attempts of one refresh may reach us in the other order than they were sent, and the client keeps
-- the answer to its last one. So what a token was exchanged for stays good until one of it is used.
ALTER TABLE auth.devices
  -- Besides secret_hash: the others that previous_secret_hash was exchanged for, the newest first.
  ADD COLUMN other_secret_hashes bytea[] NOT NULL DEFAULT '{}';

-- As in 0001. outcome: ok, unknown (also expired or ended), account_locked, reused (which ended the device).
CREATE OR REPLACE FUNCTION auth.refresh(
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
  ELSIF p_secret = device.secret_hash OR p_secret = ANY (device.other_secret_hashes) THEN
    UPDATE auth.devices d
      SET previous_secret_hash = p_secret, rotated_at = p_now, secret_hash = p_next_secret,
          other_secret_hashes = '{}', refresh_expires_at = p_expires, last_used_at = p_now
      WHERE d.device_id = device.device_id;
    outcome := 'ok';
  ELSIF device.previous_secret_hash = p_secret
        AND p_now <= device.rotated_at + interval '1 minute' THEN
    -- The answer was lost, or is under way. The minute runs from the first use.
    UPDATE auth.devices d
      SET secret_hash = p_next_secret,
          other_secret_hashes = (device.secret_hash || device.other_secret_hashes)[1:8],
          refresh_expires_at = p_expires, last_used_at = p_now
      WHERE d.device_id = device.device_id;
    outcome := 'ok';
  ELSE
    -- Whoever knows the family had a token of this device, which is used up.
    UPDATE auth.devices d SET ended_at = clock_timestamp() WHERE d.device_id = device.device_id;
    outcome := 'reused';
  END IF;
END $$;
