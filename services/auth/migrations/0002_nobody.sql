-- The key by which names that nobody has are spread over the hashing parameters that accounts have; kept,
-- so that a name stays where it is over restarts and at all instances.
CREATE TABLE auth.nobody (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  key bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);
INSERT INTO auth.nobody DEFAULT VALUES;
