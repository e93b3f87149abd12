-- What im-chat's role may do: what its statements and functions need, and no more. Applied anew by
-- every im-migrate, after all was taken away from everybody.
GRANT SELECT, UPDATE ON chat.epoch TO im_chat;
GRANT SELECT, INSERT, UPDATE ON chat.users TO im_chat;
GRANT SELECT, INSERT, UPDATE ON chat.conversations TO im_chat;
GRANT SELECT, INSERT, UPDATE ON chat.members TO im_chat;
-- What was said cannot be changed or taken back, by whatever mistake.
GRANT SELECT, INSERT ON chat.entries TO im_chat;
GRANT SELECT, INSERT, UPDATE ON chat.contacts TO im_chat;
GRANT SELECT, INSERT, UPDATE ON chat.own_log TO im_chat;
GRANT SELECT, INSERT, DELETE ON chat.answers TO im_chat;
