/* Branches that other tenants may read. Who may is a row in the publisher's own file, looked at in
 * the transaction that pins what will be read. The catalogue only remembers whose files a reader
 * has to ask when it wants a list: no row there lets anybody in. */
#include <stdio.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "store/sqlite/fs_ops.h"
#include "store/sqlite/internal.h"

#define PUBLISHERS_MAX (64u * 1024u * 1024u)

static void conn_drop(struct sql_conn **conn)
{
    cis_sql_conn_close(*conn);
}

static void copy(char *out, size_t size, struct cis_str text)
{
    size_t n = text.len < size ? text.len : size - 1;
    memcpy(out, text.ptr, n);
    out[n] = 0;
}

static cis_code instance_of(cis_store *store, struct cis_str tenant, const struct cis_stop *stop,
                            char out[17], struct cis_error *err)
{
    struct cis_tenant row;
    CIS_TRY(cis_sql_tenant_get(store, tenant, &row, stop, err));
    memcpy(out, row.instance, 17);
    cis_wipe(row.key, sizeof row.key);
    return CIS_OK;
}

/* ---- publishing ---- */

struct publish {
    struct cis_str ref;
    const struct cis_str *to;
    size_t n;
    char (*instances)[17];
};

static cis_code put_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct publish *p = arg;
    {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *there = NULL;
        bool row;
        CIS_TRY(cis_sql_get(conn, SQL_REF_THERE, &there, err));
        cis_sql_bind_str(there, 1, p->ref);
        CIS_TRY(cis_sql_row(conn, there, "reading a branch", &row, err));
        if (!row) {
            CIS_TRY(cis_sql_tree_check(conn, err));
            return cis_fail(err, CIS_E_NOTFOUND, "branch " CIS_STR_FMT ": no such branch",
                            CIS_STR_ARG(p->ref));
        }
    }
    for (size_t i = 0; i < p->n; i++) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_PUBLISH_PUT, &st, err));
        cis_sql_bind_str(st, 1, p->ref);
        cis_sql_bind_str(st, 2, p->to[i]);
        cis_sql_bind_str(st, 3, cis_str_of(p->instances[i]));
        sqlite3_bind_int64(st, 4, cis_clock_wall_ms());
        CIS_TRY(cis_sql_done(conn, st, "publishing", err));
    }
    return CIS_OK;
}

static cis_code hint(const struct sql_store *store, struct cis_str publisher,
                     const struct publish *p, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_catalogue_open(store, stop, &conn, err));
    CIS_TRY(cis_sql_exec(conn, "BEGIN IMMEDIATE", "publishing", err));
    for (size_t i = 0; i < p->n; i++) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(conn, SQL_PUBLISHED_PUT, &st, err));
        cis_sql_bind_str(st, 1, p->to[i]);
        cis_sql_bind_str(st, 2, publisher);
        CIS_TRY(cis_sql_done(conn, st, "publishing", err));
    }
    return cis_sql_exec(conn, "COMMIT", "publishing", err);
}

cis_code cis_sql_publish_put(cis_store *store, struct cis_str tenant, struct cis_str ref,
                             const struct cis_str *to, size_t n, const struct cis_stop *stop,
                             struct cis_error *err)
{
    struct sql_store *s = (struct sql_store *)store;
    CIS_TRY(cis_fs_ref_check(ref, err));
    CIS_TRY(cis_sql_tenant_require(s, tenant, err));
    CIS_CLEANUP(cis_freep) char(*instances)[17] = cis_calloc(n != 0 ? n : 1, sizeof *instances);
    struct publish p = {ref, to, n, instances};
    if (instances == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "publishing: out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        if (cis_str_eq(to[i], tenant)) {
            return cis_fail(err, CIS_E_INVALID,
                            "tenant " CIS_STR_FMT ": it can read its own branches anyway",
                            CIS_STR_ARG(tenant));
        }
        CIS_TRY(instance_of(store, to[i], stop, instances[i], err));
    }
    CIS_TRY(hint(s, tenant, &p, stop, err));
    return cis_sql_write_existing(s, tenant, put_apply, &p, true, stop, err);
}

static cis_code end_one(struct sql_conn *conn, const struct publish *p, const struct cis_str *to,
                        struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, to != NULL ? SQL_PUBLISH_END : SQL_PUBLISH_END_ALL, &st, err));
    cis_sql_bind_str(st, 1, p->ref);
    sqlite3_bind_int64(st, 2, cis_clock_wall_ms());
    if (to != NULL) {
        cis_sql_bind_str(st, 3, *to);
    }
    CIS_TRY(cis_sql_done(conn, st, "unpublishing", err));
    if (sqlite3_changes(conn->db) > 0) {
        return CIS_OK;
    }
    struct cis_str whom = to != NULL ? *to : CIS_STR("anybody");
    return cis_fail(err, CIS_E_NOTFOUND, "branch " CIS_STR_FMT ": is not published to " CIS_STR_FMT,
                    CIS_STR_ARG(p->ref), CIS_STR_ARG(whom));
}

static cis_code remove_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct publish *p = arg;
    if (p->n == 0) {
        return end_one(conn, p, NULL, err);
    }
    for (size_t i = 0; i < p->n; i++) {
        bool again = false;
        for (size_t k = 0; k < i && !again; k++) {
            again = cis_str_eq(p->to[k], p->to[i]);
        }
        if (!again) {
            CIS_TRY(end_one(conn, p, &p->to[i], err));
        }
    }
    return CIS_OK;
}

cis_code cis_sql_publish_remove(cis_store *store, struct cis_str tenant, struct cis_str ref,
                                const struct cis_str *to, size_t n, const struct cis_stop *stop,
                                struct cis_error *err)
{
    struct publish p = {ref, to, n, NULL};
    CIS_TRY(cis_fs_ref_check(ref, err));
    return cis_sql_write_existing((struct sql_store *)store, tenant, remove_apply, &p,
                                  SQL_DURABLE | SQL_FREES, stop, err);
}

/* ---- lists ---- */

struct listing {
    struct cis_str publisher, reader; /* reader empty: all */
    const char *instance;
    cis_fs_publish_each *each;
    void *self;
    bool ended;
};

static cis_code list_file(struct sql_conn *conn, struct listing *l, struct cis_error *err)
{
    bool all = l->reader.len == 0;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, all ? SQL_PUBLISH_LIST : SQL_PUBLISH_LIST_TO, &st, err));
    if (!all) {
        cis_sql_bind_str(st, 1, l->reader);
        cis_sql_bind_str(st, 2, cis_str_of(l->instance));
    }
    for (;;) {
        bool more;
        CIS_TRY(cis_sql_row(conn, st, "listing what is published", &more, err));
        if (!more) {
            return CIS_OK;
        }
        struct cis_fs_publish row = {.since_ms = sqlite3_column_int64(st, 2)};
        copy(row.tenant, sizeof row.tenant, l->publisher);
        copy(row.ref, sizeof row.ref, cis_sql_str(st, 0));
        copy(row.to, sizeof row.to, cis_sql_str(st, 1));
        if (!l->each(l->self, &row)) {
            l->ended = true;
            return CIS_OK;
        }
    }
}

static cis_code list_of(cis_store *store, struct listing *l, const struct cis_stop *stop,
                        struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, l->publisher, false, stop, &conn, err));
    return conn != NULL ? list_file(conn, l, err) : CIS_OK;
}

cis_code cis_sql_published_by(cis_store *store, struct cis_str tenant, cis_fs_publish_each *each,
                              void *self, const struct cis_stop *stop, struct cis_error *err)
{
    struct listing l = {.publisher = tenant, .each = each, .self = self};
    return list_of(store, &l, stop, err);
}

/* Names of 65 bytes. */
static cis_code publishers(const struct sql_store *store, struct cis_str reader,
                           struct cis_buf *out, const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(conn_drop) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_catalogue_open(store, stop, &conn, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PUBLISHED_LIST, &st, err));
    cis_sql_bind_str(st, 1, reader);
    for (;;) {
        bool more;
        CIS_TRY(cis_sql_row(conn, st, "listing what is published", &more, err));
        if (!more) {
            return cis_buf_check(out, "listing what is published", err);
        }
        char name[CIS_TENANT_MAX + 1] = {0};
        struct cis_str publisher = cis_sql_str(st, 0);
        CIS_TRY(cis_store_tenant_check(publisher, err));
        memcpy(name, publisher.ptr, publisher.len);
        cis_buf_add(out, name, sizeof name);
    }
}

cis_code cis_sql_published_to(cis_store *store, struct cis_str tenant, cis_fs_publish_each *each,
                              void *self, const struct cis_stop *stop, struct cis_error *err)
{
    char instance[17];
    CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(PUBLISHERS_MAX);
    struct listing l = {.reader = tenant, .instance = instance, .each = each, .self = self};
    cis_code code = instance_of(store, tenant, stop, instance, err);
    if (code == CIS_E_NOTFOUND) { /* what nobody made has nothing published to it */
        return CIS_OK;
    }
    CIS_TRY(code);
    CIS_TRY(publishers((struct sql_store *)store, tenant, &names, stop, err));
    for (size_t at = 0; at < names.len && !l.ended; at += CIS_TENANT_MAX + 1) {
        l.publisher = cis_str_of((const char *)names.ptr + at);
        CIS_TRY(list_of(store, &l, stop, err));
    }
    return CIS_OK;
}

/* ---- reading ---- */

struct check {
    struct cis_str ref, reader;
    char instance[17]; /* the reader's */
    struct sql_pin pin;
    struct cis_fs_ref *out;
    bool was;
};

static cis_code check_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    struct check *c = *(struct check *const *)arg;
    struct sql_pin pin = c->pin;
    CIS_TRY(cis_sql_instance_check(conn, pin.instance, err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PUBLISH_GET, &st, err));
    cis_sql_bind_str(st, 1, c->ref);
    cis_sql_bind_str(st, 2, c->reader);
    cis_sql_bind_str(st, 3, cis_str_of(c->instance));
    bool row;
    CIS_TRY(cis_sql_row(conn, st, "reading what is published", &row, err));
    c->was = row && sqlite3_column_int64(st, 0) != 0;
    if (!row || c->was) {
        return cis_fail(err, CIS_E_NOTFOUND, "not published"); /* the caller says it properly */
    }
    struct cis_fs_ref ref = {
        .head = {(uint64_t)sqlite3_column_int64(st, 1), (uint64_t)sqlite3_column_int64(st, 2)},
        .files = (uint64_t)sqlite3_column_int64(st, 3),
        .bytes = (uint64_t)sqlite3_column_int64(st, 4)};
    copy(ref.name, sizeof ref.name, c->ref);
    if (pin.id == 0) {
        pin.view = ref.head;
        *c->out = ref;
    }
    return cis_sql_pin_apply(conn, &pin, err);
}

cis_code cis_sql_publish_check(cis_store *store, struct cis_str tenant,
                               const struct cis_fs_publish_query *query, struct cis_fs_ref *out,
                               uint64_t *out_pin, const struct cis_stop *stop,
                               struct cis_error *err)
{
    struct cis_fs_ref got;
    struct cis_str name;
    struct cis_error why = {0};
    uint64_t id = 0;
    struct check c = {.ref = query->ref, .reader = query->reader, .out = &got};
    const struct check *arg = &c;
    c.pin = (struct sql_pin){{0, 0}, query->pin, query->ttl_ms, &id, {NULL, 0}};
    cis_fs_tenant_split(tenant, &name, &c.pin.instance);
    CIS_TRY(cis_fs_ref_check(query->ref, err));
    CIS_TRY(cis_store_tenant_check(name, err));
    cis_code code = instance_of(store, query->reader, stop, c.instance, &why);
    if (code == CIS_OK) {
        code = cis_sql_write_existing((struct sql_store *)store, name, check_apply, &arg, false,
                                      stop, &why);
    }
    if (code == CIS_E_NOTFOUND) {
        return cis_fs_publish_refuse(tenant, query->ref, query->reader, c.was, err);
    }
    if (code != CIS_OK) {
        if (err != NULL) {
            *err = why;
        }
        return code;
    }
    if (query->pin == 0) {
        *out = got;
    }
    *out_pin = id;
    return CIS_OK;
}

/* ---- the reader goes ---- */

static cis_code forget_apply(struct sql_conn *conn, const void *arg, struct cis_error *err)
{
    const struct cis_str *reader = arg;
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_PUBLISH_FORGET, &st, err));
    cis_sql_bind_str(st, 1, *reader);
    return cis_sql_done(conn, st, "unpublishing", err);
}

/* What a crash leaves behind lets nobody in: a later tenant of the name has another instance. */
cis_code cis_sql_publish_forget(struct sql_store *store, struct cis_str tenant,
                                const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(PUBLISHERS_MAX);
    CIS_TRY(publishers(store, tenant, &names, stop, err));
    for (size_t at = 0; at < names.len; at += CIS_TENANT_MAX + 1) {
        struct cis_str publisher = cis_str_of((const char *)names.ptr + at);
        cis_code code = cis_sql_write_existing(store, publisher, forget_apply, &tenant,
                                               SQL_DURABLE | SQL_FREES, stop, err);
        if (code != CIS_E_NOTFOUND) { /* else the publisher went, and its rows with it */
            CIS_TRY(code);
        }
    }
    return CIS_OK;
}
