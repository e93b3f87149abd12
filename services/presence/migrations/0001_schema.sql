CREATE SCHEMA presence;

-- One row per run of a gateway, written by im-presence while its link to it lives. As long as it
-- has not expired, the gateway's devices may be connected, even if nothing is heard of it.
CREATE TABLE presence.leases (
  gateway_id text PRIMARY KEY,
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- When a person was last seen: written when a session starts and ends. Of no meaning while they are
-- here.
CREATE TABLE presence.last_seen (
  user_id bigint PRIMARY KEY,
  at timestamptz NOT NULL
) WITH (fillfactor = 70);
