-- Of those of the users whose own log changed since then, the first record that did. Planned each time
-- with the time known, or all records of all of the users would be read. Index: own_log_changed.
CREATE FUNCTION chat.own_log_news(p_users bigint[], p_since timestamptz)
RETURNS TABLE (user_id bigint, first_position bigint)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
BEGIN
  RETURN QUERY
  SELECT l.user_id, min(l."position") FROM chat.own_log l
  WHERE l.changed_at >= p_since AND l.user_id = ANY (p_users)
  GROUP BY l.user_id;
END $$;
