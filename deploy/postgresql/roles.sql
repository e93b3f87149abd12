-- The database's roles, run in it by a superuser before every im-migrate; what is there already stays.
--
--   im_owner                        owns the schemas and all in them: migrations, backup, check
--   im_auth, im_chat, im_presence   one per service: only what services/*/grants.sql gives them
--
-- A database from before these roles is brought over: what is in it changes its owner.
DO $$
DECLARE
  role_name text;
  command text;
BEGIN
  FOREACH role_name IN ARRAY ARRAY['im_owner', 'im_auth', 'im_chat', 'im_presence'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', role_name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- Somebody sets up another database of the same cluster.
      END;
    END IF;
  END LOOP;

  FOR command IN
    SELECT format('ALTER DATABASE %I OWNER TO im_owner', d.datname)
    FROM pg_database d WHERE d.datname = current_database() AND d.datdba <> 'im_owner'::regrole
    UNION ALL
    SELECT format('ALTER SCHEMA %I OWNER TO im_owner', n.nspname)
    FROM pg_namespace n
    WHERE n.nspname IN ('auth', 'chat', 'presence') AND n.nspowner <> 'im_owner'::regrole
    UNION ALL
    SELECT format('ALTER TABLE %I.%I OWNER TO im_owner', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relowner <> 'im_owner'::regrole
      AND (n.nspname IN ('auth', 'chat', 'presence')
           OR n.nspname = 'public' AND c.relname = 'im_migrations')
    UNION ALL
    SELECT format('ALTER TYPE %s OWNER TO im_owner', t.oid::regtype)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE n.nspname IN ('auth', 'chat', 'presence') AND t.typowner <> 'im_owner'::regrole
      AND (c.relkind = 'c' OR t.typtype IN ('e', 'd'))
    UNION ALL
    SELECT format('ALTER ROUTINE %s OWNER TO im_owner', p.oid::regprocedure)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('auth', 'chat', 'presence') AND p.proowner <> 'im_owner'::regrole
  LOOP
    EXECUTE command;
  END LOOP;

  -- Nobody gets in, makes temporary tables or runs functions only because he is there.
  EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO im_auth, im_chat, im_presence', current_database());
  REVOKE ALL ON SCHEMA public FROM PUBLIC;
  ALTER DEFAULT PRIVILEGES FOR ROLE im_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
  ALTER DEFAULT PRIVILEGES FOR ROLE im_owner REVOKE USAGE ON TYPES FROM PUBLIC;

  -- The one role of before. In docker-compose the superuser has this name, and keeps it.
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'im' AND NOT rolsuper) THEN
    DROP ROLE im;
  END IF;
END $$;
