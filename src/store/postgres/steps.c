/* The schema as a list of versions, each a list of statements; versions are only ever appended.
 * They run as cis_owner. Every table but `schema` begins with the tenant and is guarded: also its
 * owner sees and writes only rows of the tenant in the setting cis.tenant, and fails without that
 * setting.
 *
 * Rows of dirent, inode, extent, memory and epoch are written once; the hot rows (branch, usage,
 * ref, pin) have room on their page so that updates stay on it. Chunks are not compressed by the
 * server: they are by store/chunk.h, and what is stored as it is can be read in slices. */
#include "store/cost.h"
#include "store/postgres/internal.h"

#define GUARD(table)                                                                               \
    "ALTER TABLE cis." table " ENABLE ROW LEVEL SECURITY",                                         \
        "ALTER TABLE cis." table " FORCE ROW LEVEL SECURITY",                                      \
        "CREATE POLICY tenant ON cis." table                                                       \
        " USING (tenant = current_setting('cis.tenant')::bigint)"                                  \
        " WITH CHECK (tenant = current_setting('cis.tenant')::bigint)",                            \
        "GRANT SELECT, INSERT, UPDATE, DELETE ON cis." table " TO cis_app"
#define N " bigint NOT NULL"
#define B " bytea NOT NULL"
#define HOT                                                                                        \
    " WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, "                                 \
    "autovacuum_vacuum_threshold = 1000)"
#define FUNCTION(head, body)                                                                       \
    "CREATE FUNCTION cis." head " LANGUAGE sql SECURITY DEFINER "                                  \
    "SET search_path = " PG_SEARCH_PATH " AS $$ " body " $$"

static const char *const version_1[] = {
    "CREATE TABLE cis.schema (one boolean PRIMARY KEY CHECK (one), version bigint NOT NULL)",
    "GRANT SELECT ON cis.schema TO cis_app",

    /* Names of tenants: the application reaches them through four functions. */
    "CREATE TABLE cis.tenant (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name bytea NOT "
    "NULL"
    " UNIQUE, created_ms bigint NOT NULL)",
    "ALTER TABLE cis.tenant ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE cis.tenant FORCE ROW LEVEL SECURITY",
    "CREATE POLICY directory ON cis.tenant TO cis_owner USING (true) WITH CHECK (true)",
    FUNCTION("tenant_id(wanted bytea) RETURNS bigint STABLE",
             "SELECT t.id FROM cis.tenant t WHERE t.name = wanted"),
    FUNCTION("tenant_make(wanted bytea, at_ms bigint) RETURNS bigint",
             "INSERT INTO cis.tenant (name, created_ms) VALUES (wanted, at_ms) "
             "ON CONFLICT DO NOTHING RETURNING id"),
    FUNCTION("tenant_names() RETURNS TABLE (id bigint, name bytea, created_ms bigint) STABLE",
             "SELECT t.id, t.name, t.created_ms FROM cis.tenant t"),
    FUNCTION("tenant_drop() RETURNS bigint",
             "DELETE FROM cis.tenant t WHERE t.id = current_setting('cis.tenant')::bigint "
             "RETURNING t.id"),
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA cis FROM PUBLIC",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA cis TO cis_app",

    "CREATE TABLE cis.tree (tenant bigint PRIMARY KEY, created_ms" N ", quota_files" N
    ", quota_bytes" N ", quota_stored" N ", quota_snapshots" N ", hash_key" B ", current" B ")",
    GUARD("tree"),
    "CREATE TABLE cis.usage (tenant bigint PRIMARY KEY, stored" N ", next_ino" N ")" HOT,
    GUARD("usage"),
    "CREATE TABLE cis.token (tenant" N ", fenced" N ", token" B ", PRIMARY KEY (tenant, token))",
    GUARD("token"),

    "CREATE SEQUENCE cis.branch_id START 2",
    "CREATE SEQUENCE cis.fence_id",
    "GRANT USAGE ON SEQUENCE cis.branch_id, cis.fence_id TO cis_app",
    "CREATE TABLE cis.ref (tenant" N ", branch" N ", created_ms" N
    ", fence bigint NOT NULL DEFAULT 0"
    ", until_ms bigint NOT NULL DEFAULT 0, name" B ", holder bytea NOT NULL DEFAULT ''"
    ", PRIMARY KEY (tenant, name))" HOT,
    "CREATE INDEX ref_by_branch ON cis.ref (tenant, branch)",
    GUARD("ref"),
    "CREATE TABLE cis.branch (tenant" N ", id" N ", parent" N ", fork_epoch" N ", head" N
    ", floor" N ", created_ms" N ", files" N ", bytes" N ", kv_bytes" N ", kv_keys" N
    ", PRIMARY KEY (tenant, id))" HOT,
    "CREATE INDEX branch_by_parent ON cis.branch (tenant, parent, fork_epoch)",
    GUARD("branch"),
    "CREATE TABLE cis.lineage (tenant" N ", branch" N ", depth" N ", ancestor" N ", max_epoch" N
    ", PRIMARY KEY (tenant, branch, depth))",
    GUARD("lineage"),
    "CREATE TABLE cis.epoch (tenant" N ", branch" N ", epoch" N ", time_ms" N ", files" N
    ", bytes" N ", kv_bytes" N ", kv_keys" N ", run bytea, kind" B ", note" B ", keys" B
    ", PRIMARY KEY (tenant, branch, epoch))",
    "CREATE UNIQUE INDEX epoch_by_run ON cis.epoch (tenant, run) WHERE run IS NOT NULL",
    GUARD("epoch"),
    "CREATE TABLE cis.snapshot (tenant" N ", n bigint GENERATED ALWAYS AS IDENTITY, branch" N
    ", epoch" N ", created_ms" N ", files" N ", bytes" N ", name" B ", id" B ", note" B
    ", PRIMARY KEY (tenant, name))",
    "CREATE INDEX snapshot_by_view ON cis.snapshot (tenant, branch, epoch)",
    GUARD("snapshot"),
    "CREATE TABLE cis.pin (tenant" N ", id bigint GENERATED ALWAYS AS IDENTITY, branch" N
    ", epoch" N ", since_ms" N ", until_ms" N ", PRIMARY KEY (tenant, id))" HOT,
    "CREATE INDEX pin_by_view ON cis.pin (tenant, branch, epoch)",
    GUARD("pin"),

    "CREATE TABLE cis.dirent (tenant" N ", branch" N ", parent" N ", epoch" N ", ino" N
    ", mode integer NOT NULL, name" B ", PRIMARY KEY (tenant, branch, parent, name, epoch))",
    GUARD("dirent"),
    "CREATE TABLE cis.inode (tenant" N ", branch" N ", ino" N ", epoch" N ", attr" B ", data" B
    ", PRIMARY KEY (tenant, branch, ino, epoch))",
    "ALTER TABLE cis.inode ALTER COLUMN data SET STORAGE MAIN",
    GUARD("inode"),
    "CREATE TABLE cis.extent (tenant" N ", branch" N ", ino" N ", block" N ", epoch" N ", chunk" N
    ", PRIMARY KEY (tenant, branch, ino, block, epoch))",
    GUARD("extent"),
    "CREATE TABLE cis.chunk (tenant" N ", id bigint GENERATED ALWAYS AS IDENTITY, stamp_ms" N
    ", bytes" N ", hash" B ", head" B ", data" B
    ", PRIMARY KEY (tenant, id), UNIQUE (tenant, hash)) WITH (fillfactor = 80)",
    "ALTER TABLE cis.chunk ALTER COLUMN data SET STORAGE EXTERNAL",
    GUARD("chunk"),

    "CREATE TABLE cis.memory (tenant" N ", branch" N ", epoch" N
    ", id bigint GENERATED ALWAYS AS IDENTITY, updated_ms" N ", gone" N ", public" N ", ns" B
    ", key" B ", category" B ", value" B
    ", PRIMARY KEY (tenant, branch, ns, key, epoch), UNIQUE (tenant, id))",
    "ALTER TABLE cis.memory ALTER COLUMN value SET STORAGE EXTERNAL",
    GUARD("memory"),
    "CREATE TABLE cis.run (tenant" N ", n bigint GENERATED ALWAYS AS IDENTITY, exit_code" N
    ", started_ms" N ", ended_ms" N ", version" N ", id" B ", skill" B ", status" B ", report" B
    ", PRIMARY KEY (tenant, n), UNIQUE (tenant, id))",
    GUARD("run"),
    "CREATE TABLE cis.config (tenant" N ", skill" B ", key" B ", value" B
    ", PRIMARY KEY (tenant, skill, key))",
    GUARD("config"),
    "CREATE TABLE cis.skill (tenant" N ", installed_ms" N ", name" B ", version" B ", source" B
    ", sha256" B ", manifest" B ", grants" B ", signer" B ", digest" B
    ", PRIMARY KEY (tenant, name))",
    GUARD("skill"),
    NULL,
};

/* Who may read a branch; ended_ms is when that was taken back, 0: it was not. Rows go with their
 * branch's name and with either tenant: that is the server's own work, whatever program removes
 * them. The reader sees what is published to it and can write none of it. It sees no other row of
 * the publisher: published branches are read in sessions of the publisher's. */
static const char *const version_2[] = {
    "CREATE TABLE cis.publish (tenant" N
    ", reader bigint NOT NULL REFERENCES cis.tenant (id) ON DELETE CASCADE, since_ms" N
    ", ended_ms" N ", ref" B ", PRIMARY KEY (tenant, ref, reader)"
    ", FOREIGN KEY (tenant, ref) REFERENCES cis.ref (tenant, name) ON DELETE CASCADE)",
    "CREATE INDEX publish_by_reader ON cis.publish (reader)",
    GUARD("publish"),
    "CREATE POLICY reader ON cis.publish FOR SELECT"
    " USING (reader = current_setting('cis.tenant')::bigint AND ended_ms = 0)",
    FUNCTION("tenant_name(wanted bigint) RETURNS bytea STABLE",
             "SELECT t.name FROM cis.tenant t WHERE t.id = wanted"),
    "REVOKE ALL ON FUNCTION cis.tenant_name(bigint) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION cis.tenant_name(bigint) TO cis_app",
    NULL,
};

/* When a token was written, by the server's clock: what is old is told by one clock. */
static const char *const version_3[] = {
    "ALTER TABLE cis.token ADD COLUMN at_ms bigint NOT NULL DEFAULT"
    " (extract(epoch from clock_timestamp()) * 1000)::bigint",
    "CREATE INDEX token_by_age ON cis.token (tenant, at_ms)",
    NULL,
};

/* All rows count in the stored bytes (store/cost.h). Triggers add up in a setting of the
 * transaction what a statement adds and removes, and cis.settle, its last statement, puts the sum
 * into one of some rows: commits of one tenant wait there for each other only if it has a quota of
 * stored bytes, and then they have to. */
#define ADD_UP                                                                                     \
    "PERFORM set_config('cis.grown', (coalesce(nullif(current_setting('cis.grown', true), ''), "   \
    "'0')::bigint + n)::text, true); "
#define TRIGGER_FUNCTION(name, body)                                                               \
    "CREATE FUNCTION cis." name "() RETURNS trigger LANGUAGE plpgsql AS $$ " body " $$",           \
        "REVOKE ALL ON FUNCTION cis." name "() FROM PUBLIC"
#define COUNT(table, cost)                                                                         \
    TRIGGER_FUNCTION("count_" table,                                                               \
                     "DECLARE n bigint; BEGIN SELECT sum(" cost(                                   \
                         "x.") ") INTO n FROM moved x; IF TG_OP = 'DELETE' THEN n := -n; END IF; " \
                               "IF n IS NOT NULL THEN " ADD_UP "END IF; RETURN NULL; END"),        \
        "CREATE TRIGGER count_add AFTER INSERT ON cis." table                                      \
        " REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION cis.count_" table     \
        "()",                                                                                      \
        "CREATE TRIGGER count_remove AFTER DELETE ON cis." table                                   \
        " REFERENCING OLD TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION cis.count_" table     \
        "()",
#define RECOUNT(table, column, cost)                                                               \
    TRIGGER_FUNCTION("recount_" table, "DECLARE n bigint := " cost("NEW.") " - " cost(             \
                                           "OLD.") "; BEGIN " ADD_UP "RETURN NULL; END"),          \
        "CREATE TRIGGER count_change AFTER UPDATE ON cis." table " FOR EACH ROW WHEN (OLD." column \
        " IS DISTINCT FROM NEW." column ") EXECUTE FUNCTION cis.recount_" table "()",
#define SUM(table, cost)                                                                           \
    " + (SELECT coalesce(sum(" cost("x.") "), 0) FROM cis." table " x WHERE x.tenant = $1)"
static const char *const version_4[] = {
    "CREATE TABLE cis.stored (tenant" N ", slot" N ", bytes" N ", PRIMARY KEY (tenant, slot))" HOT,
    GUARD("stored"),
    "CREATE FUNCTION cis.count_all(bigint) RETURNS bigint LANGUAGE sql STABLE AS $$ "
    "SELECT (0" CIS_COST_TABLES(SUM) ")::bigint $$",
    "DO $$ DECLARE t bigint; BEGIN FOR t IN SELECT id FROM cis.tenant LOOP "
    "PERFORM set_config('cis.tenant', t::text, true); "
    "INSERT INTO cis.stored (tenant, slot, bytes) VALUES (t, 0, cis.count_all(t)); "
    "END LOOP; END $$",
    CIS_COST_TABLES(COUNT) CIS_COST_CHANGES(RECOUNT)
    /* halves of the quota, and bytes: what there may be after a write that adds some */
    "CREATE FUNCTION cis.settle(halves bigint, extra bigint) RETURNS void LANGUAGE plpgsql AS $$ "
    "DECLARE t bigint := current_setting('cis.tenant')::bigint; n bigint := "
    "coalesce(nullif(current_setting('cis.grown', true), ''), '0')::bigint; q bigint; "
    "total numeric; "
    "BEGIN IF n = 0 THEN RETURN; END IF; "
    "PERFORM set_config('cis.grown', '0', true); "
    "SELECT quota_stored INTO q FROM cis.tree WHERE tenant = t; "
    "IF n > 0 AND q <> 0 THEN "
    "PERFORM 1 FROM cis.usage WHERE tenant = t FOR NO KEY UPDATE; "
    "SELECT quota_stored INTO q FROM cis.tree WHERE tenant = t; END IF; "
    "INSERT INTO cis.stored AS s (tenant, slot, bytes) VALUES (t, pg_backend_pid() % 16, n) "
    "ON CONFLICT (tenant, slot) DO UPDATE SET bytes = s.bytes + excluded.bytes; "
    "IF n > 0 AND q <> 0 THEN "
    "SELECT sum(bytes) INTO total FROM cis.stored WHERE tenant = t; "
    "IF total > div(q::numeric * halves, 2) + extra THEN "
    "RAISE EXCEPTION USING ERRCODE = 'CIS01', MESSAGE = total::text || ' ' || q::text; END IF; "
    "END IF; END $$",
    "REVOKE ALL ON FUNCTION cis.settle(bigint, bigint), cis.count_all(bigint) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION cis.settle(bigint, bigint), cis.count_all(bigint) TO cis_app",
    NULL,
};
#undef SUM

/* Every function looks names up in PostgreSQL's own schema, whoever calls it and with whatever
 * search path: a user of the database who may create functions puts none of them in between. */
#define FIXED(name) "ALTER FUNCTION cis." name " SET search_path = " PG_SEARCH_PATH,
#define FIXED_COUNT(table, cost) FIXED("count_" table "()")
#define FIXED_RECOUNT(table, column, cost) FIXED("recount_" table "()")
static const char *const version_5[] = {
    CIS_COST_TABLES(FIXED_COUNT) CIS_COST_CHANGES(FIXED_RECOUNT) FIXED("count_all(bigint)")
        FIXED("settle(bigint, bigint)") NULL,
};
#undef FIXED

/* Keys of commits are read in parts, so they are not compressed by the server: what was is written
 * anew where it has several. */
static const char *const version_6[] = {
    "ALTER TABLE cis.epoch ALTER COLUMN keys SET STORAGE EXTERNAL",
    "DO $$ DECLARE t bigint; BEGIN FOR t IN SELECT id FROM cis.tenant LOOP "
    "PERFORM set_config('cis.tenant', t::text, true); "
    "UPDATE cis.epoch SET keys = keys || ''::bytea WHERE tenant = t AND length(keys) > 250000; "
    "END LOOP; END $$",
    NULL,
};

/* A reserve on the disk (reserve.c): one small row a page, so that a dump and the log hold little
 * of it. It is dropped, not emptied: that writes no new page. schema.room: the bytes of all tables
 * up to which what grows may take, and a quarter of the reserve more for a write that grows by
 * little, since one that finds room in the tables needs a page here and there. 0: the reserve is
 * there. */
#define DEFINER(head, body)                                                                        \
    "CREATE FUNCTION cis." head " LANGUAGE plpgsql SECURITY DEFINER "                              \
    "SET search_path = " PG_SEARCH_PATH " AS $$ " body " $$"
#define RESERVE_PAGES "2048"
#define RESERVE_HALF "8388608"
#define RESERVE_QUARTER "4194304"
#define RESERVE_LITTLE "262144"
static const char *const version_7[] = {
    "ALTER TABLE cis.schema ADD COLUMN room bigint NOT NULL DEFAULT 0",
    "CREATE FUNCTION cis.reserve_size() RETURNS bigint LANGUAGE sql STABLE "
    "SET search_path = " PG_SEARCH_PATH " AS $$ "
    "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c "
    "WHERE c.relnamespace = to_regnamespace('cis') AND c.relkind = 'r' $$",
    /* Before a write that grows: pages that one which is refused has added stay, so that it is not
     * begun again and again. What vacuum cuts off counts no more. */
    "CREATE FUNCTION cis.reserve_begin(most bigint) RETURNS bigint LANGUAGE plpgsql "
    "SET search_path = " PG_SEARCH_PATH " AS $$ DECLARE n bigint := cis.reserve_size(); "
    "BEGIN IF n > most + " RESERVE_QUARTER " THEN "
    "RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'the rest is kept for removing'; "
    "END IF; RETURN n; END $$",
    /* Behind it, if the tables were not less when it began. */
    "CREATE FUNCTION cis.reserve_look() RETURNS void LANGUAGE plpgsql "
    "SET search_path = " PG_SEARCH_PATH " AS $$ "
    "DECLARE old bigint := nullif(current_setting('cis.size', true), '')::bigint; n bigint; "
    "most bigint; BEGIN IF old IS NULL THEN RETURN; END IF; "
    "n := cis.reserve_size(); SELECT room INTO most FROM cis.schema; "
    "IF most <> 0 AND n > old AND n > most + (CASE WHEN n - old <= " RESERVE_LITTLE
    " THEN " RESERVE_QUARTER " ELSE 0 END) THEN "
    "RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'the rest is kept for removing'; "
    "END IF; END $$",
    /* 1: there is room that was not there */
    DEFINER("reserve_spend() RETURNS bigint",
            "DECLARE n bigint; BEGIN PERFORM set_config('lock_timeout', '5s', true); "
            "UPDATE cis.schema SET room = cis.reserve_size() - " RESERVE_HALF
            " WHERE room = 0 AND to_regclass('cis.reserve') IS NOT NULL; "
            "GET DIAGNOSTICS n = ROW_COUNT; "
            "IF n <> 0 THEN DROP TABLE cis.reserve; END IF; "
            "SELECT count(*) INTO n FROM cis.schema WHERE room <> 0; RETURN n; END"),
    DEFINER("reserve_make() RETURNS bigint",
            "BEGIN PERFORM set_config('lock_timeout', '5s', true); "
            "IF to_regclass('cis.reserve') IS NULL THEN UPDATE cis.schema SET room = 0; END IF; "
            "IF to_regclass('cis.reserve') IS NOT NULL THEN RETURN 0; END IF; "
            "CREATE TABLE cis.reserve WITH (fillfactor = 10, autovacuum_enabled = false) AS "
            "SELECT ''::character(400) AS page FROM generate_series(1, " RESERVE_PAGES "); "
            "ALTER TABLE cis.reserve ENABLE ROW LEVEL SECURITY; "
            "ALTER TABLE cis.reserve FORCE ROW LEVEL SECURITY; RETURN 1; END"),
    "REVOKE ALL ON FUNCTION cis.reserve_size(), cis.reserve_begin(bigint), cis.reserve_look(), "
    "cis.reserve_spend(), cis.reserve_make() FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION cis.reserve_size(), cis.reserve_begin(bigint), "
    "cis.reserve_look(), cis.reserve_spend(), cis.reserve_make() TO cis_app",
    "DO $$ BEGIN PERFORM cis.reserve_make(); EXCEPTION WHEN disk_full THEN "
    "UPDATE cis.schema SET room = cis.reserve_size() + " RESERVE_HALF "; END $$",
    NULL,
};

const char *const *const cis_pg_schema_steps[] = {version_1, version_2, version_3, version_4,
                                                  version_5, version_6, version_7, NULL};

int cis_pg_schema_version(void)
{
    int n = 0;
    while (cis_pg_schema_steps[n] != NULL) {
        n++;
    }
    return n;
}
