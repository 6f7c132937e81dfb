/* Making, migrating and checking the schema: what `cis store` does with the rights of the URL's
 * user. Three parties: that user, who may make roles or finds them made; cis_owner, who owns schema
 * and tables and cannot log in; cis_app, as whom all work is done and who owns nothing. */
#include <inttypes.h>
#include <stdio.h>
#include "base/mem.h"
#include "base/url.h"
#include "store/postgres/internal.h"

void cis_pg_admin_done(struct pg_admin *admin)
{
    cis_pg_conn_close(admin->conn);
    cis_free(admin->store.place);
}

cis_code cis_pg_admin_open(struct pg_admin *admin, const char *url, const struct cis_stop *stop,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf place = CIS_BUF_INIT(1024);
    cis_url_redact(cis_str_of(url), &place);
    CIS_TRY(cis_buf_check(&place, "store", err));
    admin->store.place = (char *)cis_buf_take(&place, NULL);
    admin->store.connect_ms = 10000;
    CIS_TRY(cis_pg_conn_open(&admin->store, url, stop, &admin->conn, err));
    admin->conn->stop = stop;
    return CIS_OK;
}

static cis_code run_text(struct pg_conn *conn, const char *text, struct cis_error *err)
{
    CIS_TRY(cis_pg_send_text(conn, text, err));
    CIS_TRY(cis_pg_sync(conn, err));
    return cis_pg_finish(conn, err);
}

static cis_code ask_text(struct pg_conn *conn, enum pg_id id, const char *arg, PGresult **out,
                         struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_str(&args, cis_str_of(arg));
    return cis_pg_ask(conn, id, &args, out, err);
}

static cis_code version_of(struct pg_conn *conn, int *out_version, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(conn, PG_ADMIN_VERSION, NULL, &res, err));
    *out_version = (int)cis_pg_int(res, 0, 0);
    return CIS_OK;
}

/* Inside a transaction, as cis_owner. */
static cis_code climb(struct pg_conn *conn, int from, struct cis_error *err)
{
    int newest = cis_pg_schema_version();
    if (from > newest || from < 0) {
        return cis_fail(err, CIS_E_STORE,
                        "%s: schema version %d is newer than version %d of this program; use a "
                        "newer cis",
                        conn->store->place, from, newest);
    }
    for (int v = from; v < newest; v++) {
        for (const char *const *step = cis_pg_schema_steps[v]; *step != NULL; step++) {
            CIS_TRY(run_text(conn, *step, err));
        }
    }
    struct pg_args args = {0};
    cis_pg_arg_int(&args, newest);
    return cis_pg_ask(conn, PG_ADMIN_VERSION_SET, &args, NULL, err);
}

/* ---- init ---- */
static cis_code make_role(struct pg_conn *conn, const char *role, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL, *again = NULL, *who = NULL;
    char text[128];
    CIS_TRY(ask_text(conn, PG_ADMIN_ROLE, role, &res, err));
    if (PQntuples(res) == 0) {
        snprintf(text, sizeof text, "CREATE ROLE %s NOLOGIN", role);
        CIS_TRY(run_text(conn, text, err));
        CIS_TRY(ask_text(conn, PG_ADMIN_ROLE, role, &again, err));
    }
    const PGresult *now = again != NULL ? again : res;
    if (cis_pg_int(now, 0, 0) != 0 || cis_pg_int(now, 0, 1) != 0) {
        return cis_fail(err, CIS_E_DENIED,
                        "%s: the role %s is a superuser or may bypass row security",
                        conn->store->place, role);
    }
    if (cis_pg_int(now, 0, 3) == 0) {
        snprintf(text, sizeof text, "GRANT %s TO CURRENT_USER", role);
        return run_text(conn, text, err);
    }
    return CIS_OK;
}

static cis_code make_schema(struct pg_conn *conn, bool *out_new, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(conn, PG_ADMIN_SCHEMA, NULL, &res, err));
    if (PQntuples(res) == 0) {
        CIS_TRY(run_text(conn, "CREATE SCHEMA cis AUTHORIZATION cis_owner", err));
        *out_new = true;
        return CIS_OK;
    }
    if (!cis_str_is(cis_pg_str(res, 0, 0), "cis_owner")) {
        return cis_fail(err, CIS_E_STORE, "%s: there is a schema \"cis\" that is not of cis",
                        conn->store->place);
    }
    *out_new = cis_pg_int(res, 0, 1) == 0;
    return CIS_OK;
}

static cis_code grant_login(struct pg_conn *conn, const char *login, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(ask_text(conn, PG_ADMIN_ROLE, login, &res, err));
    if (PQntuples(res) == 0) {
        return cis_fail(err, CIS_E_NOTFOUND, "%s: there is no role %s", conn->store->place, login);
    }
    char *name = PQescapeIdentifier(conn->pg, login, strlen(login));
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    cis_buf_printf(&text, "GRANT cis_app TO %s", name != NULL ? name : "");
    PQfreemem(name);
    CIS_TRY(cis_buf_check(&text, "store", err));
    return run_text(conn, cis_buf_cstr(&text), err);
}

static cis_code init(struct pg_conn *conn, const char *login, struct cis_error *err)
{
    bool fresh = false;
    int version = 0;
    CIS_TRY(run_text(conn, "BEGIN", err));
    CIS_TRY(cis_pg_ask(conn, PG_ADMIN_LOCK, NULL, NULL, err));
    CIS_TRY(make_role(conn, "cis_owner", err));
    CIS_TRY(make_role(conn, "cis_app", err));
    CIS_TRY(make_schema(conn, &fresh, err));
    if (login != NULL) {
        CIS_TRY(grant_login(conn, login, err));
    }
    CIS_TRY(run_text(conn, "SET LOCAL ROLE cis_owner", err));
    CIS_TRY(run_text(conn, "GRANT USAGE ON SCHEMA cis TO cis_app", err));
    if (!fresh) {
        CIS_TRY(run_text(conn, "LOCK TABLE cis.schema IN ACCESS EXCLUSIVE MODE", err));
        CIS_TRY(version_of(conn, &version, err));
    }
    CIS_TRY(climb(conn, version, err));
    return run_text(conn, "COMMIT", err);
}

cis_code cis_pg_admin_init(const char *url, const char *login, int *out_version,
                           const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_admin_done) struct pg_admin admin = {.conn = NULL};
    CIS_TRY(cis_pg_admin_open(&admin, url, stop, err));
    CIS_TRY(init(admin.conn, login, err));
    *out_version = cis_pg_schema_version();
    return CIS_OK;
}

/* ---- migrate ---- */
cis_code cis_pg_admin_migrate(const char *url, int *out_from, int *out_to,
                              const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_admin_done) struct pg_admin admin = {.conn = NULL};
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_admin_open(&admin, url, stop, err));
    struct pg_conn *conn = admin.conn;
    CIS_TRY(cis_pg_ask(conn, PG_ADMIN_SCHEMA, NULL, &res, err));
    if (PQntuples(res) == 0 || cis_pg_int(res, 0, 1) == 0) {
        return cis_fail(err, CIS_E_NOTFOUND,
                        "%s: no store of cis in this database (make it with: cis store init)",
                        conn->store->place);
    }
    CIS_TRY(run_text(conn, "BEGIN", err));
    CIS_TRY(run_text(conn, "SET LOCAL ROLE cis_owner", err));
    /* Every writer has read this table in its transaction: now there is none. */
    CIS_TRY(run_text(conn, "LOCK TABLE cis.schema IN ACCESS EXCLUSIVE MODE", err));
    CIS_TRY(version_of(conn, out_from, err));
    CIS_TRY(climb(conn, *out_from, err));
    CIS_TRY(run_text(conn, "COMMIT", err));
    *out_to = cis_pg_schema_version();
    return CIS_OK;
}

/* ---- check ---- */
struct report {
    struct pg_conn *conn;
    cis_pg_finding *each;
    void *self;
};

static cis_code check_setting(const struct report *r, const char *name, const char *wanted,
                              const char *why, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(ask_text(r->conn, PG_ADMIN_SETTING, name, &res, err));
    struct cis_str is = cis_pg_str(res, 0, 0);
    bool good = cis_str_is(is, wanted);
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1024);
    cis_buf_str(&text, is);
    if (!good) {
        cis_buf_printf(&text, ": has to be %s (%s)", wanted, why);
    }
    r->each(r->self, !good, name, cis_buf_cstr(&text));
    return CIS_OK;
}

static cis_code check_role(const struct report *r, const char *role, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(ask_text(r->conn, PG_ADMIN_ROLE, role, &res, err));
    bool app = strcmp(role, "cis_app") == 0;
    if (PQntuples(res) == 0) {
        r->each(r->self, true, role, "no such role (make it with: cis store init)");
    } else if (cis_pg_int(res, 0, 0) != 0 || cis_pg_int(res, 0, 1) != 0) {
        r->each(r->self, true, role, "is a superuser or may bypass row security");
    } else if (app && cis_pg_int(res, 0, 2) != 0) {
        r->each(r->self, true, role, "owns tables: it has to own nothing");
    } else {
        r->each(r->self, false, role,
                app ? "owns nothing, guarded by row security" : "owns the schema");
    }
    return CIS_OK;
}

static cis_code check_names(const struct report *r, enum pg_id id, const char *what,
                            const char *good, const char *bad, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(r->conn, id, NULL, &res, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    cis_buf_text(&text, PQntuples(res) == 0 ? good : bad);
    for (int i = 0; i < PQntuples(res); i++) {
        cis_buf_byte(&text, ' ');
        cis_buf_str(&text, cis_pg_str(res, i, 0));
    }
    r->each(r->self, PQntuples(res) != 0, what, cis_buf_cstr(&text));
    return CIS_OK;
}

static cis_code check_functions(const struct report *r, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(65536);
    cis_buf_text(&text, "not as cis made them:");
    size_t none = text.len;
    CIS_TRY(cis_pg_functions_check(r->conn, &text, err));
    bool bad = text.len != none;
    r->each(r->self, bad, "functions", bad ? cis_buf_cstr(&text) : "as cis made them");
    return CIS_OK;
}

static cis_code check_reserve(const struct report *r, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(r->conn, PG_ADMIN_RESERVE, NULL, &res, err));
    r->each(r->self, false, "reserve",
            cis_pg_int(res, 0, 0) != 0
                ? "16 MiB for removing on a full disk"
                : "not there: the disk was full; made again when there is room");
    return CIS_OK;
}

static cis_code check_schema(const struct report *r, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(r->conn, PG_ADMIN_SCHEMA, NULL, &res, err));
    if (PQntuples(res) == 0 || cis_pg_int(res, 0, 1) == 0) {
        r->each(r->self, true, "schema",
                "no store of cis in this database (make it with: cis store "
                "init)");
        return CIS_OK;
    }
    int version, newest = cis_pg_schema_version();
    CIS_TRY(version_of(r->conn, &version, err));
    char text[128];
    snprintf(text, sizeof text, "version %d%s", version,
             version < newest   ? ": older than this program (cis store migrate)"
             : version > newest ? ": newer than this program (use a newer cis)"
                                : "");
    r->each(r->self, version != newest, "schema", text);
    CIS_TRY(check_names(r, PG_ADMIN_UNGUARDED, "row security", "forced on every table",
                        "not forced on:", err));
    CIS_TRY(check_names(r, PG_ADMIN_FOREIGN, "owner", "cis_owner owns every table",
                        "cis_owner does not own:", err));
    CIS_TRY(version == newest ? check_functions(r, err) : CIS_OK);
    return version == newest ? check_reserve(r, err) : CIS_OK;
}

static cis_code check_checksums(const struct report *r, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(check_setting(r, "data_checksums", "on",
                          "without it the server hands out damaged pages unseen; stop it and run "
                          "pg_checksums --enable",
                          err));
    CIS_TRY(cis_pg_ask(r->conn, PG_ADMIN_ROTTEN, NULL, &res, err));
    int64_t failures = cis_pg_int(res, 0, 0);
    if (failures != 0) {
        char text[96];
        snprintf(text, sizeof text, "%" PRId64 " pages failed their checksum (pg_stat_database)",
                 failures);
        r->each(r->self, true, "pages", text);
    }
    return CIS_OK;
}

cis_code cis_pg_admin_check(const char *url, cis_pg_finding *each, void *self,
                            const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_admin_done) struct pg_admin admin = {.conn = NULL};
    CIS_TRY(cis_pg_admin_open(&admin, url, stop, err));
    struct report r = {admin.conn, each, self};
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1024);
    int version = PQserverVersion(admin.conn->pg);
    cis_buf_printf(&text, "PostgreSQL %d.%d at %s", version / 10000, version % 10000,
                   admin.store.place);
    each(self, false, "server", cis_buf_cstr(&text));
    CIS_TRY(check_checksums(&r, err));
    CIS_TRY(check_setting(&r, "fsync", "on", "a commit has to be on the disk", err));
    CIS_TRY(check_setting(&r, "full_page_writes", "on", "a power loss tears pages", err));
    CIS_TRY(check_role(&r, "cis_owner", err));
    CIS_TRY(check_role(&r, "cis_app", err));
    return check_schema(&r, err);
}
