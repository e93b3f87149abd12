-- What accounts and devices out of a backup need, before anybody uses them.

-- Access tokens given out before the restore name accounts and devices that this data may not have:
-- im-auth makes another key when it starts, and clients fetch other tokens with their refresh tokens.
DELETE FROM auth.signing_keys;

-- Ids that were given out after the backup are not given out again: somebody remembers them. Nobody
-- made a million accounts between two backups.
SELECT setval(pg_get_serial_sequence('auth.accounts', 'user_id'),
              coalesce(max(user_id), 0) + 1000000) FROM auth.accounts;
SELECT setval(pg_get_serial_sequence('auth.devices', 'device_id'),
              coalesce(max(device_id), 0) + 1000000) FROM auth.devices;

-- If the operator wants it: devices that were logged out since the backup are logged in here.
UPDATE auth.devices SET ended_at = clock_timestamp()
WHERE ended_at IS NULL AND current_setting('im.log_out') = 'on';
