/* Running an operation: reads are repeated on another connection when theirs was lost; a write is
 * one transaction, repeated after a deadlock or a connection lost before its COMMIT was sent. When
 * the connection is lost later, the outcome is asked for, never guessed and never tried blindly:
 * every transaction writes a random token, and whoever wants to know whether it was committed tries
 * to insert the same token as a fence. The server lets only one of the two stand. */
#include "base/clock.h"
#include "base/crypto.h"
#include "store/postgres/internal.h"

enum { TOKEN_BYTES = 16, PRUNE_ONE_OF = 64 };

struct token {
    uint8_t bytes[TOKEN_BYTES]; /* random */
    uint64_t made_ns;           /* by a clock that goes on while the host sleeps */
};

static cis_code absent(struct cis_str tenant, bool *out_absent, struct cis_error *err)
{
    if (out_absent != NULL) {
        *out_absent = true;
        return CIS_OK;
    }
    return cis_fail(err, CIS_E_NOTFOUND, "tenant " CIS_STR_FMT ": no such tenant",
                    CIS_STR_ARG(tenant));
}

cis_code cis_pg_alive(struct pg_conn *conn, struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_ask(conn, PG_ALIVE, &args, &res, err));
    if (PQntuples(res) != 0) {
        return CIS_OK;
    }
    conn->again = true;
    return cis_fail(err, CIS_E_EXPIRED, "the tenant was deleted");
}

cis_code cis_pg_rows(struct pg_conn *conn, enum pg_id id, pg_row_each *each, void *self,
                     struct cis_error *err)
{
    for (bool more = true; more;) {
        CIS_CLEANUP(cis_pg_clear) PGresult *row = NULL;
        CIS_TRY(cis_pg_next_row(conn, id, &row, err));
        if (row == NULL) {
            CIS_TRY(cis_pg_finish(conn, err));
            return conn->told ? CIS_OK : cis_pg_alive(conn, err);
        }
        CIS_TRY(each(self, row, &more, err));
    }
    return CIS_OK;
}

/* Attempts at which the reserve is asked for: before it there may be others that fail. */
#define HELPS_MAX 3

/* After a failure: is it worth another try, on another connection? */
static bool try_again(struct pg_conn *conn, struct cis_str tenant, int attempt)
{
    if (attempt >= PG_RETRIES || (conn->told && !conn->goes_on) || conn->ended) {
        return false;
    }
    if (conn->again) {
        struct cis_str name, instance;
        cis_fs_tenant_split(tenant, &name, &instance);
        cis_pg_tenant_forget(conn->store, name, conn->tenant);
    }
    return conn->again || conn->lost;
}

cis_code cis_pg_read(struct pg_store *store, struct cis_str tenant, pg_work *work, void *arg,
                     bool *out_absent, const struct cis_stop *stop, struct cis_error *err)
{
    int64_t told = 0; /* whose rows an attempt may have told that was cut off; 0: nobody's */
    for (int attempt = 0;; attempt++) {
        CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
        CIS_TRY(cis_pg_take(store, tenant, false, stop, &conn, err));
        if (told != 0 && (conn == NULL || conn->tenant != told)) {
            return cis_fail(err, CIS_E_EXPIRED,
                            "tenant " CIS_STR_FMT ": was deleted while it was read",
                            CIS_STR_ARG(tenant));
        }
        if (conn == NULL) {
            return absent(tenant, out_absent, err);
        }
        cis_code code = work(conn, arg, err);
        told = told == 0 && (conn->told || conn->lost) ? conn->tenant : told;
        if (code == CIS_OK || !try_again(conn, tenant, attempt)) {
            return code;
        }
    }
}

/* ---- writes ---- */
static void token_new(struct token *token)
{
    cis_random_bytes(token->bytes, sizeof token->bytes);
    token->made_ns = cis_clock_boot_ns();
}

static cis_code send_token(struct pg_conn *conn, enum pg_id id, const struct token *token,
                           struct cis_error *err)
{
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_bytes(&args, token->bytes, sizeof token->bytes);
    return cis_pg_send(conn, id, &args, err);
}

static cis_code send_begin(struct pg_conn *conn, const struct pg_write *write,
                           struct cis_error *err)
{
    struct pg_args version = {0}, limit = {0};
    cis_pg_arg_int(&version, cis_pg_schema_version());
    cis_pg_arg_int(&limit, write->slow ? 0 : conn->store->commit_ms);
    struct pg_args tenant = {0};
    cis_pg_arg_int(&tenant, conn->tenant);
    CIS_TRY(cis_pg_send(conn, PG_BEGIN, NULL, err));
    CIS_TRY(cis_pg_send(conn, PG_LIMIT, &limit, err));
    if (write->lazy) {
        CIS_TRY(cis_pg_send(conn, PG_LAZY, NULL, err));
    }
    CIS_TRY(cis_pg_send(conn, write->frees ? PG_SCHEMA : PG_SCHEMA_ROOM, &version, err));
    if (write->closes) {
        return cis_pg_send(conn, PG_CLOSE, &tenant, err);
    }
    CIS_TRY(cis_pg_send(conn, PG_HOLD, &tenant, err));
    return cis_pg_send(conn, PG_HELD, &tenant, err);
}

/* COMMIT and what work left unread. From here on the run's own deadline does not count. */
static cis_code send_commit(struct pg_conn *conn, const struct pg_write *write,
                            const struct token *token, struct cis_error *err)
{
    if (!write->closes) {
        struct cis_stored_share share = cis_stored_share(write->room);
        struct pg_args room = {0};
        cis_pg_arg_u64(&room, share.halves);
        cis_pg_arg_u64(&room, share.extra);
        CIS_TRY(cis_pg_send(conn, PG_SETTLE, &room, err));
    }
    if (!write->frees) {
        CIS_TRY(cis_pg_send(conn, PG_RESERVE_LOOK, NULL, err));
    }
    if (!write->repeatable) {
        CIS_TRY(send_token(conn, PG_TOKEN_PUT, token, err));
    }
    CIS_TRY(cis_pg_send(conn, PG_COMMIT, NULL, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_next(conn, PG_COMMIT, &res, err));
    CIS_TRY(cis_pg_finish(conn, err));
    /* In a transaction that had failed, COMMIT succeeds as ROLLBACK. */
    return strcmp(PQcmdStatus(res), "COMMIT") == 0
               ? CIS_OK
               : cis_fail(err, CIS_E_STORE, "%s: the transaction was rolled back",
                          conn->store->place);
}

static cis_code fence(struct pg_conn *conn, const struct token *token, bool *out_committed,
                      struct cis_error *err)
{
    struct pg_args tenant = {0};
    cis_pg_arg_int(&tenant, conn->tenant);
    CIS_TRY(cis_pg_send(conn, PG_HOLD, &tenant, err));
    CIS_TRY(send_token(conn, PG_TOKEN_FENCE, token, err)); /* waits for a COMMIT at work */
    CIS_TRY(send_token(conn, PG_TOKEN_GET, token, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_next(conn, PG_TOKEN_GET, &res, err));
    CIS_TRY(cis_pg_finish(conn, err));
    /* No row: the tenant was deleted, and nothing of the commit is there, whether it happened. */
    *out_committed = PQntuples(res) != 0 && cis_pg_int(res, 0, 0) == 0;
    return CIS_OK;
}

/* The statements of the fence are one transaction of their own: there is one sync for both. */
static cis_code ask_outcome(struct pg_store *store, struct cis_str tenant, int64_t id,
                            const struct token *token, bool *out_committed, struct cis_error *err)
{
    struct cis_stop own = {cis_clock_after(cis_clock_mono_ns(), store->commit_ms * CIS_NS_PER_MS),
                           NULL};
    struct cis_error why = {0};
    /* A host that slept meanwhile: the token may be forgotten by now, and its absence says nothing.
     */
    bool late = cis_clock_boot_ns() - token->made_ns > PG_TOKEN_KEPT_MS / 2 * CIS_NS_PER_MS;
    while (!late && cis_stop_check(&own, "", NULL) == CIS_OK) {
        CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
        cis_code code = cis_pg_take_free(store, &own, &conn, &why);
        if (code == CIS_OK) {
            code = cis_pg_bind(conn, id, &why);
        }
        if (code == CIS_OK) {
            code = fence(conn, token, out_committed, &why);
        }
        if (code == CIS_OK) {
            return CIS_OK;
        }
        struct cis_stop nap = {cis_clock_after(cis_clock_mono_ns(), 50 * CIS_NS_PER_MS), NULL};
        (void)cis_stop_wait(&nap, -1, 0, "", NULL);
    }
    return cis_fail(err, CIS_E_STORE,
                    "tenant " CIS_STR_FMT ": the connection was lost during the commit and the "
                    "server cannot be asked: whether it was committed is not known (%s)",
                    CIS_STR_ARG(tenant), why.msg);
}

enum outcome { DONE, AGAIN, FAILED };

static enum outcome attempt_write(struct pg_conn *conn, struct cis_str tenant,
                                  const struct pg_write *write, struct token *token, int attempt,
                                  bool *out_sent, cis_code *out_code, struct cis_error *err)
{
    cis_code code = send_begin(conn, write, err);
    if (code == CIS_OK) {
        code = write->work(conn, write->arg, err);
    }
    if (code == CIS_OK && conn->stop != NULL) {
        code = cis_stop_check(conn->stop, "commit", err);
    }
    if (code == CIS_OK) {
        struct cis_stop own = {
            cis_clock_after(cis_clock_mono_ns(), conn->store->commit_ms * CIS_NS_PER_MS), NULL};
        conn->stop = &own;
        *out_sent = true;
        code = send_commit(conn, write, token, err);
        conn->lost |= conn->ended;
        conn->stop = NULL;
    }
    *out_code = code;
    if (code == CIS_OK) {
        return DONE;
    }
    if (!conn->lost) {
        bool full = strcmp(conn->sqlstate, PG_STATE_FULL) == 0;
        *out_sent = false; /* the server said that it failed */
        if (write->explain != NULL && conn->sqlstate[0] != 0) {
            struct cis_error better = {0};
            cis_code other = write->explain(conn, write->arg, &better);
            if (other != CIS_OK && err != NULL) {
                *err = better;
            }
            *out_code = other != CIS_OK ? other : code;
        }
        if (full && attempt < HELPS_MAX) {
            conn->again |= cis_pg_reserve_help(conn, write->frees);
        }
    }
    return try_again(conn, tenant, attempt) ? AGAIN : FAILED;
}

/* Now and then, by chance: a program that commits once prunes as often as one that stays. */
static void prune_tokens(struct pg_conn *conn, const struct token *token)
{
    if (token->bytes[0] % PRUNE_ONE_OF != 0) {
        return;
    }
    struct pg_args args = {0};
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_int(&args, PG_TOKEN_KEPT_MS);
    if (cis_pg_send(conn, PG_TOKEN_PRUNE, &args, NULL) == CIS_OK &&
        cis_pg_sync(conn, NULL) == CIS_OK) {
        (void)cis_pg_finish(conn, NULL); /* another commit will try again */
    }
}

cis_code cis_pg_write(struct pg_store *store, struct cis_str tenant, const struct pg_write *write,
                      const struct cis_stop *stop, struct cis_error *err)
{
    for (int attempt = 0;; attempt++) {
        struct token token;
        cis_code code = CIS_OK;
        bool sent = false;
        int64_t id;
        token_new(&token);
        {
            CIS_CLEANUP(cis_pg_give) struct pg_conn *conn = NULL;
            CIS_TRY(cis_pg_take(store, tenant, write->create, stop, &conn, err));
            if (conn == NULL) {
                return absent(tenant, NULL, err);
            }
            id = conn->tenant;
            conn->sqlstate[0] = 0;
            switch (attempt_write(conn, tenant, write, &token, attempt, &sent, &code, err)) {
            case DONE:
                if (!write->repeatable) {
                    prune_tokens(conn, &token);
                }
                return CIS_OK;
            case FAILED:
                if (!sent || write->repeatable) {
                    return code;
                }
                break;
            case AGAIN:
                break;
            }
        }
        if (sent && !write->repeatable) {
            bool committed;
            CIS_TRY(ask_outcome(store, tenant, id, &token, &committed, err));
            if (committed) {
                return CIS_OK;
            }
            if (attempt >= PG_RETRIES) {
                return code;
            }
        }
    }
}
