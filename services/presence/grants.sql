-- What im-presence's role may do: what its statements need, and no more. Applied anew by every
-- im-migrate, after all was taken away from everybody.
GRANT SELECT, INSERT, UPDATE, DELETE ON presence.leases TO im_presence;
GRANT SELECT, INSERT, UPDATE ON presence.last_seen TO im_presence;
