-- What im-auth's role may do: what its statements and functions need, and no more. Applied anew by
-- every im-migrate, after all was taken away from everybody.
GRANT SELECT, INSERT, UPDATE ON auth.accounts TO im_auth;
GRANT SELECT, INSERT, UPDATE ON auth.devices TO im_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON auth.login_failures TO im_auth;
GRANT SELECT, INSERT, DELETE ON auth.signing_keys TO im_auth;
GRANT SELECT ON auth.nobody TO im_auth;
