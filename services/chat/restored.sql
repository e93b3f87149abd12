-- What conversations out of a backup need, before anybody uses them.

-- Clients have seen entries that this data does not have: they forget what they had and list anew.
UPDATE chat.epoch SET value = ('x' || substr(md5(gen_random_uuid()::text), 1, 15))::bit(60)::bigint;

-- Ids that were given out after the backup are not given out again: what a client meant for one of
-- those conversations must not come into another.
SELECT setval(pg_get_serial_sequence('chat.conversations', 'id'),
              coalesce(max(id), 0) + 1000000) FROM chat.conversations;
