-- What the database does in the background must not slow messages down.

-- ANALYZE holds a snapshot while it samples 300 rows for a unit of its target, up to 30,000 pages by
-- default. As long as it does, the old versions of a row that every message updates cannot be pruned:
-- two seconds on ten million entries, in which messages cost PostgreSQL twice as much. All queries
-- are by key, so that a tenth of the sample is enough; nothing is looked for in contents.
ALTER TABLE chat.entries
  ALTER conversation_id SET STATISTICS 10,
  ALTER seq SET STATISTICS 10,
  ALTER sender_user_id SET STATISTICS 10,
  ALTER at SET STATISTICS 10,
  ALTER request_id SET STATISTICS 10,
  ALTER request_hash SET STATISTICS 0,
  ALTER kind SET STATISTICS 10,
  ALTER content SET STATISTICS 0,
  ALTER count SET STATISTICS 0;
ALTER TABLE chat.conversations
  ALTER id SET STATISTICS 10,
  ALTER kind SET STATISTICS 10,
  ALTER title SET STATISTICS 10,
  ALTER open_history SET STATISTICS 10,
  ALTER low_user_id SET STATISTICS 10,
  ALTER high_user_id SET STATISTICS 10,
  ALTER last_seq SET STATISTICS 10,
  ALTER last_count SET STATISTICS 10,
  ALTER last_at SET STATISTICS 10,
  ALTER version SET STATISTICS 10;
ALTER TABLE chat.members
  ALTER conversation_id SET STATISTICS 10,
  ALTER user_id SET STATISTICS 10,
  ALTER join_seq SET STATISTICS 10,
  ALTER first_seq SET STATISTICS 10,
  ALTER end_seq SET STATISTICS 10,
  ALTER end_count SET STATISTICS 10,
  ALTER end_at SET STATISTICS 10,
  ALTER left_by_self SET STATISTICS 10,
  ALTER role SET STATISTICS 10,
  ALTER read_seq SET STATISTICS 10,
  ALTER read_count SET STATISTICS 10,
  ALTER delivered_seq SET STATISTICS 10,
  ALTER sent_seq SET STATISTICS 10,
  ALTER opened SET STATISTICS 10,
  ALTER closed_seq SET STATISTICS 10,
  ALTER version SET STATISTICS 10;
ALTER TABLE chat.own_log
  ALTER user_id SET STATISTICS 10,
  ALTER kind SET STATISTICS 10,
  ALTER object SET STATISTICS 10,
  ALTER "position" SET STATISTICS 10,
  ALTER changed_at SET STATISTICS 10;
