-- 1 MB a range: with 16 pages, autosummarize's queue of 256 is full at 5,000 messages a second, and
-- PostgreSQL logs each range that it could not take. The table first, as whoever writes to it does;
-- and rather not now than with everybody queued behind a long read.
SET LOCAL lock_timeout = '5s';
LOCK TABLE chat.entries IN ACCESS EXCLUSIVE MODE;
ALTER INDEX chat.entries_at SET (pages_per_range = 128);
REINDEX INDEX chat.entries_at;
