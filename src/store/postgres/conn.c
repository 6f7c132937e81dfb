/* One connection: always non-blocking and always in pipeline mode. What was sent is remembered in a
 * ring, so that every result is read for the statement it belongs to, whatever failed before it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "store/postgres/internal.h"

static const struct {
    const char *name, *types, *text;
} statements[PG_COUNT] = {
#define PG(id, types, text) [PG_##id] = {#id, (types), (text)},
#include "store/postgres/statements.def"
#undef PG
};

enum { MARK_SYNC = 0xffff, MARK_TEXT = 0xfffe, MARK_PREPARE = 0x8000 };
#define SETTLE_NS (5 * CIS_NS_PER_S)

static const char *statement_of(enum pg_id id)
{
    return id < PG_COUNT ? statements[id].name : "session";
}

/* ---- failures ---- */
static struct cis_str first_line(const char *text)
{
    struct cis_str rest = cis_str_of(text != NULL ? text : ""), line;
    cis_str_split(&rest, '\n', &line);
    return line;
}

static cis_code lose(struct pg_conn *conn, struct cis_error *err)
{
    conn->lost = true;
    struct cis_str why = first_line(PQerrorMessage(conn->pg));
    return cis_fail(err, CIS_E_STORE, "%s: connection lost: " CIS_STR_FMT, conn->store->place,
                    CIS_STR_ARG(why));
}

static bool state_is(const struct pg_conn *conn, const char *state)
{
    return strcmp(conn->sqlstate, state) == 0;
}

static cis_code full(const char *place, struct cis_error *err)
{
    cis_code code = cis_fail(err, CIS_E_STORE,
                             "%s: the server's disk is full; remove files, then: cis fs gc", place);
    if (err != NULL) {
        err->sys = ENOSPC;
    }
    return code;
}

static cis_code check(struct pg_conn *conn, enum pg_id id, const char *text, struct cis_error *err)
{
    struct cis_str why = first_line(text);
    const char *place = conn->store->place;
    if (strncmp(conn->sqlstate, "57P", 3) == 0 || strncmp(conn->sqlstate, "08", 2) == 0 ||
        PQstatus(conn->pg) == CONNECTION_BAD) {
        conn->lost = true;
        return cis_fail(err, CIS_E_STORE, "%s: connection lost: " CIS_STR_FMT, place,
                        CIS_STR_ARG(why));
    }
    if (state_is(conn, "57014") && conn->stop != NULL) { /* cancelled, maybe by us */
        CIS_TRY(cis_stop_check(conn->stop, "store", err));
    }
    if (state_is(conn, "40001") || state_is(conn, "40P01")) {
        conn->again = true;
    }
    if ((id == PG_SCHEMA || id == PG_SCHEMA_ROOM) && state_is(conn, "22012")) {
        return cis_fail(err, CIS_E_STORE,
                        "%s: the schema was changed to another version, this program writes "
                        "version %d; end it and use the cis that did it",
                        place, cis_pg_schema_version());
    }
    if (state_is(conn, PG_STATE_FULL)) {
        return full(place, err);
    }
    if (state_is(conn, PG_STATE_QUOTA)) { /* "AFTER QUOTA" */
        unsigned long long after = 0, quota = 0;
        (void)sscanf(text, "%20llu %20llu", &after, &quota);
        return cis_stored_refuse(after, quota, err);
    }
    if (id == PG_HELD && state_is(conn, "22012")) {
        conn->again = true;
        return cis_fail(err, CIS_E_EXPIRED, "the tenant was deleted");
    }
    if (strncmp(conn->sqlstate, "XX00", 4) == 0) {
        return cis_fail(err, CIS_E_DAMAGED, "%s: %s: " CIS_STR_FMT, place, statement_of(id),
                        CIS_STR_ARG(why));
    }
    if (state_is(conn, "55P03")) {
        return cis_fail(err, CIS_E_STORE, "%s: locked by another writer for too long", place);
    }
    cis_code code = state_is(conn, "42501") ? CIS_E_DENIED : CIS_E_STORE;
    return cis_fail(err, code, "%s: %s: " CIS_STR_FMT " (%s)", place, statement_of(id),
                    CIS_STR_ARG(why), conn->sqlstate);
}

/* With such an error the server's process ends, whatever its state says: it tells nothing more, and
 * not what became of a transaction that it was committing. A disk that fails at the sync of a
 * COMMIT is one: what was to be synced may be there after the recovery. */
static bool ends_session(const char *severity)
{
    return severity != NULL && (strcmp(severity, "PANIC") == 0 || strcmp(severity, "FATAL") == 0);
}

static cis_code fail_result(struct pg_conn *conn, uint16_t mark, const PGresult *res,
                            struct cis_error *err)
{
    ExecStatusType status = PQresultStatus(res);
    enum pg_id id = mark == MARK_TEXT || mark == MARK_SYNC ? PG_COUNT : (mark & ~MARK_PREPARE);
    if (status == PGRES_PIPELINE_ABORTED) { /* the failure before it was told */
        return cis_fail(err, CIS_E_STORE, "%s: %s: not run", conn->store->place, statement_of(id));
    }
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    snprintf(conn->sqlstate, sizeof conn->sqlstate, "%s", state != NULL ? state : "");
    conn->failed = id;
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    cis_code code = check(conn, id, text != NULL ? text : PQresultErrorMessage(res), err);
    conn->lost |= ends_session(PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED));
    return code;
}

/* ---- connecting ---- */
static void no_notice(void *self, const char *text)
{
    (void)self;
    (void)text;
}

static cis_code wait_socket(struct pg_conn *conn, const struct cis_stop *stop, short events,
                            struct cis_error *err)
{
    static const struct cis_stop never = {CIS_NEVER, NULL};
    cis_code code =
        cis_stop_wait(stop != NULL ? stop : &never, PQsocket(conn->pg), events, "store", err);
    conn->ended |= code != CIS_OK;
    return code;
}

static cis_code connect_once(struct pg_conn *conn, const char *url, const struct cis_stop *stop,
                             struct cis_error *err)
{
    static const char *const keys[] = {"dbname", "fallback_application_name", "tcp_user_timeout",
                                       NULL};
    const char *const values[] = {url, "cis", "30000", NULL};
    conn->pg = PQconnectStartParams(keys, values, 1);
    if (conn->pg == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "store: out of memory");
    }
    PQsetNoticeProcessor(conn->pg, no_notice, NULL);
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (PQstatus(conn->pg) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
           state != PGRES_POLLING_FAILED) {
        CIS_TRY(wait_socket(conn, stop, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, err));
        state = PQconnectPoll(conn->pg);
    }
    if (state != PGRES_POLLING_OK) {
        struct cis_str why = first_line(PQerrorMessage(conn->pg));
        return cis_fail(err, CIS_E_STORE, "%s: cannot connect: " CIS_STR_FMT, conn->store->place,
                        CIS_STR_ARG(why));
    }
    if (PQserverVersion(conn->pg) < 130000) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "%s: PostgreSQL %d: 13 is the oldest that works",
                        conn->store->place, PQserverVersion(conn->pg) / 10000);
    }
    if (PQsetnonblocking(conn->pg, 1) != 0 || PQenterPipelineMode(conn->pg) != 1) {
        return lose(conn, err);
    }
    return CIS_OK;
}

/* No statement may find a function or an operator that a user of the database has put into a schema
 * of its search path: the statement would run it with the rights of this session, which may be a
 * superuser's. So this is the first thing that every session hears, before any name is looked up;
 * it is no option of the connection because poolers refuse those. What it answers is read with
 * whatever comes next. */
static cis_code pin_search_path(struct pg_conn *conn, struct cis_error *err)
{
    CIS_TRY(cis_pg_send_text(
        conn, "SELECT pg_catalog.set_config('search_path', '" PG_SEARCH_PATH "', false)", err));
    return cis_pg_sync(conn, err);
}

void cis_pg_conn_close(struct pg_conn *conn)
{
    if (conn != NULL) {
        PQfinish(conn->pg);
        cis_chunk_codec_free(conn->codec);
        cis_free(conn);
    }
}

cis_code cis_pg_conn_open(struct pg_store *store, const char *url, const struct cis_stop *stop,
                          struct pg_conn **out_conn, struct cis_error *err)
{
    struct pg_conn *conn = cis_zalloc(sizeof *conn);
    if (conn == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "store: out of memory");
    }
    conn->store = store;
    uint64_t limit = cis_clock_after(cis_clock_mono_ns(), store->connect_ms * CIS_NS_PER_MS);
    struct cis_stop own = {limit, NULL};
    if (stop != NULL) {
        own.cancel = stop->cancel;
        own.deadline_ns = stop->deadline_ns < limit ? stop->deadline_ns : limit;
    }
    cis_code code = connect_once(conn, url, &own, err);
    if (code == CIS_E_DEADLINE && (stop == NULL || stop->deadline_ns > limit)) {
        code = cis_fail(err, CIS_E_STORE, "%s: cannot connect within %u ms", store->place,
                        store->connect_ms);
    }
    conn->ended = false;
    if (code == CIS_OK) {
        code = pin_search_path(conn, err);
    }
    if (code != CIS_OK) {
        cis_pg_conn_close(conn);
        return code;
    }
    *out_conn = conn;
    return CIS_OK;
}

bool cis_pg_conn_alive(struct pg_conn *conn)
{
    struct pollfd fd = {.fd = PQsocket(conn->pg), .events = POLLIN};
    if (fd.fd < 0 || PQstatus(conn->pg) != CONNECTION_OK) {
        return false;
    }
    if (poll(&fd, 1, 0) == 0) {
        return true;
    }
    /* Something was said though nothing was asked: a notice, or the end. */
    return (fd.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0 && PQconsumeInput(conn->pg) == 1 &&
           PQstatus(conn->pg) == CONNECTION_OK && poll(&fd, 1, 0) == 0;
}

/* ---- sending ---- */
static cis_code remember(struct pg_conn *conn, uint16_t mark, struct cis_error *err)
{
    if (conn->queued == PG_QUEUE_MAX) {
        return cis_fail(err, CIS_E_INTERNAL, "store: more than %u statements under way",
                        PG_QUEUE_MAX);
    }
    conn->queue[(conn->first + conn->queued++) % PG_QUEUE_MAX] = mark;
    conn->unsynced = mark != MARK_SYNC;
    conn->syncs += mark == MARK_SYNC;
    return CIS_OK;
}

static Oid type_of(char letter)
{
    switch (letter) {
    case 'i':
        return 20; /* bigint */
    case 'b':
        return 17; /* bytea */
    case 't':
        return 25; /* text */
    case 'I':
        return 1016; /* bigint[] */
    case 'B':
        return 1001; /* bytea[] */
    default:
        return 1009; /* text[] */
    }
}

static cis_code prepare(struct pg_conn *conn, enum pg_id id, struct cis_error *err)
{
    Oid types[PG_ARGS_MAX];
    int n = 0;
    for (const char *t = statements[id].types; *t != 0 && n < PG_ARGS_MAX; t++) {
        types[n++] = type_of(*t);
    }
    CIS_TRY(remember(conn, (uint16_t)(MARK_PREPARE | id), err));
    return PQsendPrepare(conn->pg, statements[id].name, statements[id].text, n, types) == 1
               ? CIS_OK
               : lose(conn, err);
}

cis_code cis_pg_send(struct pg_conn *conn, enum pg_id id, const struct pg_args *args,
                     struct cis_error *err)
{
    static const int binary[PG_ARGS_MAX] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const struct pg_args none;
    const struct pg_args *a = args != NULL ? args : &none;
    if (a->failed) {
        return cis_fail(err, CIS_E_NOMEM, "store: %s: parameters too large for memory",
                        statements[id].name);
    }
    CIS_TRY(cis_check((size_t)a->n == strlen(statements[id].types), err));
    if (!conn->prepared[id]) {
        CIS_TRY(prepare(conn, id, err));
        conn->prepared[id] = true; /* taken back when it fails */
    }
    CIS_TRY(remember(conn, (uint16_t)id, err));
    for (int i = 0; i < a->n; i++) {
        conn->unsent = cis_size_add(conn->unsent, a->ptr[i] != NULL ? (size_t)a->len[i] : 0);
    }
    return PQsendQueryPrepared(conn->pg, statements[id].name, a->n, a->ptr, a->len, binary, 1) == 1
               ? CIS_OK
               : lose(conn, err);
}

cis_code cis_pg_send_text(struct pg_conn *conn, const char *text, struct cis_error *err)
{
    CIS_TRY(remember(conn, MARK_TEXT, err));
    return PQsendQueryParams(conn->pg, text, 0, NULL, NULL, NULL, NULL, 1) == 1 ? CIS_OK
                                                                                : lose(conn, err);
}

cis_code cis_pg_sync(struct pg_conn *conn, struct cis_error *err)
{
    CIS_TRY(remember(conn, MARK_SYNC, err));
    conn->unsent = 0;
    return PQpipelineSync(conn->pg) == 1 && PQflush(conn->pg) >= 0 ? CIS_OK : lose(conn, err);
}

enum { DRAIN_BYTES = 256 * 1024 };

cis_code cis_pg_drain(struct pg_conn *conn, struct cis_error *err)
{
    if (conn->unsent < DRAIN_BYTES) {
        return CIS_OK; /* a small commit is one packet each way */
    }
    conn->unsent = 0;
    for (;;) {
        int unsent = PQflush(conn->pg);
        if (unsent <= 0) {
            return unsent == 0 ? CIS_OK : lose(conn, err);
        }
        /* What the server answers meanwhile is taken, or it would stop reading. */
        CIS_TRY(wait_socket(conn, conn->stop, POLLIN | POLLOUT, err));
        if (PQconsumeInput(conn->pg) != 1) {
            return lose(conn, err);
        }
    }
}

/* ---- receiving ---- */
static cis_code get(struct pg_conn *conn, PGresult **out, struct cis_error *err)
{
    for (;;) {
        int unsent = PQflush(conn->pg);
        if (unsent < 0) {
            return lose(conn, err);
        }
        if (!PQisBusy(conn->pg)) {
            *out = PQgetResult(conn->pg);
            return CIS_OK;
        }
        CIS_TRY(wait_socket(conn, conn->stop, (short)(POLLIN | (unsent != 0 ? POLLOUT : 0)), err));
        if (PQconsumeInput(conn->pg) != 1) {
            return lose(conn, err);
        }
    }
}

static void pop(struct pg_conn *conn)
{
    conn->syncs -= conn->queue[conn->first] == MARK_SYNC;
    conn->first = (conn->first + 1) % PG_QUEUE_MAX;
    conn->queued--;
    conn->single = false;
}

static cis_code read_sync(struct pg_conn *conn, struct cis_error *err)
{
    for (int i = 0; i < 3; i++) { /* a separator may come before it */
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(get(conn, &res, err));
        if (res != NULL && PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            pop(conn);
            return CIS_OK;
        }
        if (res != NULL) {
            return fail_result(conn, MARK_SYNC, res, err);
        }
    }
    return lose(conn, err);
}

/* The whole result of the entry at the head of the ring, and the separator after it. */
static cis_code read_entry(struct pg_conn *conn, PGresult **out, struct cis_error *err)
{
    uint16_t mark = conn->queue[conn->first];
    if (mark == MARK_SYNC) {
        return read_sync(conn, err);
    }
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL, *end = NULL;
    CIS_TRY(get(conn, &res, err));
    if (res == NULL) {
        return lose(conn, err);
    }
    ExecStatusType status = PQresultStatus(res);
    bool good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
    cis_code code = good ? CIS_OK : fail_result(conn, mark, res, err);
    if (conn->lost) {
        return code;
    }
    if (!good && mark != MARK_TEXT && (mark & MARK_PREPARE) != 0) {
        conn->prepared[mark & ~MARK_PREPARE] = false;
    }
    CIS_TRY(get(conn, &end, code == CIS_OK ? err : NULL));
    pop(conn);
    if (code == CIS_OK) {
        *out = cis_take(&res);
    }
    return code;
}

/* Reads up to the entry of `id`, which stays. */
static cis_code skip_to(struct pg_conn *conn, enum pg_id id, struct cis_error *err)
{
    while (conn->queued != 0 && conn->queue[conn->first] != id) {
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        CIS_TRY(read_entry(conn, &res, err));
    }
    return conn->queued != 0
               ? CIS_OK
               : cis_fail(err, CIS_E_INTERNAL, "store: %s was not sent", statements[id].name);
}

cis_code cis_pg_next(struct pg_conn *conn, enum pg_id id, PGresult **out_result,
                     struct cis_error *err)
{
    CIS_TRY(skip_to(conn, id, err));
    return read_entry(conn, out_result, err);
}

cis_code cis_pg_next_row(struct pg_conn *conn, enum pg_id id, PGresult **out_row,
                         struct cis_error *err)
{
    if (!conn->single) {
        CIS_TRY(skip_to(conn, id, err));
        (void)PQsetSingleRowMode(conn->pg); /* refused: then all rows come as one result, below */
        conn->single = true;
    }
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL, *end = NULL;
    CIS_TRY(get(conn, &res, err));
    if (res == NULL) {
        return lose(conn, err);
    }
    if (PQresultStatus(res) == PGRES_SINGLE_TUPLE) {
        conn->told = true;
        *out_row = cis_take(&res);
        return CIS_OK;
    }
    cis_code code =
        PQresultStatus(res) == PGRES_TUPLES_OK ? CIS_OK : fail_result(conn, id, res, err);
    if (code == CIS_OK && PQntuples(res) != 0) {
        code = cis_fail(err, CIS_E_INTERNAL, "store: %s: rows did not come one by one",
                        statements[id].name);
    }
    if (!conn->lost) {
        CIS_TRY(get(conn, &end, code == CIS_OK ? err : NULL));
        pop(conn);
    }
    *out_row = NULL;
    return code;
}

cis_code cis_pg_finish(struct pg_conn *conn, struct cis_error *err)
{
    cis_code code = CIS_OK;
    while (conn->queued != 0 && !conn->lost) {
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        cis_code one = read_entry(conn, &res, code == CIS_OK ? err : NULL);
        code = code == CIS_OK ? one : code;
        if (conn->ended) {
            return code;
        }
    }
    return code;
}

cis_code cis_pg_ask(struct pg_conn *conn, enum pg_id id, const struct pg_args *args,
                    PGresult **out_result, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
    CIS_TRY(cis_pg_send(conn, id, args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    CIS_TRY(cis_pg_next(conn, id, &res, err));
    CIS_TRY(cis_pg_finish(conn, err));
    if (out_result != NULL) {
        *out_result = cis_take(&res);
    }
    return CIS_OK;
}

/* ---- giving up ---- */
static void cancel_query(struct pg_conn *conn)
{
    char text[256];
    PGcancel *cancel = PQgetCancel(conn->pg);
    if (cancel != NULL) {
        (void)PQcancel(cancel, text, (int)sizeof text);
        PQfreeCancel(cancel);
    }
}

static void drain(struct pg_conn *conn)
{
    while (conn->queued != 0 && !conn->lost && !conn->ended) {
        CIS_CLEANUP(cis_pg_clear) PGresult *res = NULL;
        if (conn->single) {
            if (cis_pg_next_row(conn, conn->queue[conn->first], &res, NULL) != CIS_OK) {
                conn->lost = true;
            }
        } else {
            (void)read_entry(conn, &res, NULL);
        }
    }
}

void cis_pg_settle_rows(struct pg_conn *conn)
{
    const struct cis_stop *stop = conn->stop;
    cis_pg_settle(conn);
    conn->stop = stop;
}

void cis_pg_settle(struct pg_conn *conn)
{
    struct cis_stop own = {cis_clock_after(cis_clock_mono_ns(), SETTLE_NS), NULL};
    bool busy = conn->queued != 0 && (conn->ended || conn->single);
    conn->stop = &own;
    if (!conn->lost && conn->unsynced) {
        conn->lost = cis_pg_sync(conn, NULL) != CIS_OK;
    }
    if (!conn->lost && busy) {
        cancel_query(conn);
    }
    conn->ended = false;
    drain(conn);
    /* A late cancellation may still hit the first ROLLBACK. */
    for (int i = 0;
         i < 3 && !conn->lost && !conn->ended && PQtransactionStatus(conn->pg) != PQTRANS_IDLE;
         i++) {
        if (cis_pg_send_text(conn, "ROLLBACK", NULL) != CIS_OK ||
            cis_pg_sync(conn, NULL) != CIS_OK) {
            break;
        }
        drain(conn);
    }
    conn->lost |= conn->ended || conn->queued != 0 ||
                  (conn->pg != NULL && PQtransactionStatus(conn->pg) != PQTRANS_IDLE);
    conn->stop = NULL;
    conn->ended = conn->again = conn->single = false;
}
