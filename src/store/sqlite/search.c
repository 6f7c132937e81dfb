/* Searching memory. A guest's query never becomes FTS syntax: its words are quoted strings, joined
 * by AND. The trigram index finds substrings of three characters and more; shorter words are looked
 * for in what the others found, or, when there are only short ones, in the newest entries up to
 * SCAN_BYTES. The index holds every version of an entry; a hit counts when the view sees that one.
 */
#include "base/mem.h"
#include "store/sqlite/internal.h"
#include "store/text.h"

#define SCAN_BYTES (64u * 1024u * 1024u)
#define TRIGRAM 3u

struct search {
    struct sql_conn *conn;
    const struct cis_query *query;
    struct cis_view view;
    struct cis_str ns; /* ptr NULL: the whole tenant */
    uint32_t limit;
    int64_t ids[CIS_STORE_SEARCH_MAX]; /* hits so far, best first */
    uint32_t n;
    struct cis_buf scratch;
};

static bool known(const struct search *s, int64_t id)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->ids[i] == id) {
            return true;
        }
    }
    return false;
}

static void add(struct search *s, int64_t id)
{
    if (s->n < s->limit && !known(s, id)) {
        s->ids[s->n++] = id;
    }
}

static void bind_scope(const struct search *s, sqlite3_stmt *st, int at)
{
    cis_sql_bind_view(st, s->view);
    cis_sql_bind_str(st, at, s->ns);
    sqlite3_bind_int(st, at + 1, s->ns.ptr == NULL);
}

static cis_code find_exact(struct search *s, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(s->conn, SQL_KV_EXACT, &st, err));
    cis_sql_bind_str(st, 3, s->query->whole);
    bind_scope(s, st, 4);
    sqlite3_bind_int64(st, 6, s->limit);
    for (bool row = true; row;) {
        CIS_TRY(cis_sql_row(s->conn, st, "searching memory", &row, err));
        if (row) {
            add(s, sqlite3_column_int64(st, 0));
        }
    }
    return CIS_OK;
}

static void quote(struct cis_buf *out, struct cis_str text)
{
    cis_buf_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"') {
            cis_buf_byte(out, '"');
        }
        cis_buf_byte(out, (uint8_t)text.ptr[i]);
    }
    cis_buf_byte(out, '"');
}

/* ("whole query") OR ("word" AND "word" …): the phrase adds to the rank of those that have it. */
static void match_text(const struct cis_query *q, struct cis_buf *out)
{
    quote(out, q->whole);
    size_t n = 0;
    for (size_t i = 0; i < q->nwords; i++) {
        if (q->words[i].chars >= TRIGRAM) {
            cis_buf_text(out, n++ == 0 ? " OR (" : " AND ");
            quote(out, q->words[i].text);
        }
    }
    if (n != 0) {
        cis_buf_byte(out, ')');
    }
}

static cis_code check_row(struct search *s, sqlite3_stmt *st, size_t below, size_t *seen,
                          struct cis_error *err)
{
    struct cis_str key = cis_text_of(cis_sql_bytes(st, 1));
    struct cis_bytes value = cis_sql_bytes(st, 2);
    *seen += key.len + value.len;
    if (cis_query_match(s->query, below, key, cis_text_of(value), &s->scratch)) {
        add(s, sqlite3_column_int64(st, 0));
    }
    /* The database's own work is interrupted; this is beside it. */
    return s->conn->stop != NULL ? cis_stop_check(s->conn->stop, "store", err) : CIS_OK;
}

static cis_code find_indexed(struct search *s, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf match = CIS_BUF_INIT(8 * CIS_QUERY_MAX);
    match_text(s->query, &match);
    CIS_TRY(cis_buf_check(&match, "search", err));
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(s->conn, SQL_KV_MATCH, &st, err));
    sqlite3_bind_text(st, 3, cis_buf_cstr(&match), (int)match.len, SQLITE_STATIC);
    bind_scope(s, st, 4);
    size_t seen = 0;
    for (bool row = true; row && s->n < s->limit;) {
        CIS_TRY(cis_sql_row(s->conn, st, "searching memory", &row, err));
        if (row) {
            CIS_TRY(check_row(s, st, TRIGRAM, &seen, err));
        }
    }
    return CIS_OK;
}

static cis_code find_by_scan(struct search *s, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(s->conn, SQL_KV_SCAN, &st, err));
    bind_scope(s, st, 3);
    size_t seen = 0;
    for (bool row = true; row && s->n < s->limit && seen < SCAN_BYTES;) {
        CIS_TRY(cis_sql_row(s->conn, st, "searching memory", &row, err));
        if (row) {
            CIS_TRY(check_row(s, st, SIZE_MAX, &seen, err));
        }
    }
    return CIS_OK;
}

static cis_code find_all(struct search *s, struct cis_error *err)
{
    size_t longest = 0;
    for (size_t i = 0; i < s->query->nwords; i++) {
        size_t chars = s->query->words[i].chars;
        longest = chars > longest ? chars : longest;
    }
    CIS_TRY(find_exact(s, err));
    CIS_TRY(longest >= TRIGRAM ? find_indexed(s, err) : find_by_scan(s, err));
    return s->scratch.failed == CIS_OK ? CIS_OK : cis_buf_check(&s->scratch, "search", err);
}

static cis_code tell(struct search *s, cis_kv_each *each, void *self, struct cis_error *err)
{
    for (uint32_t i = 0; i < s->n; i++) {
        CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
        CIS_TRY(cis_sql_get(s->conn, SQL_KV_BY_ID, &st, err));
        sqlite3_bind_int64(st, 1, s->ids[i]);
        bool row;
        CIS_TRY(cis_sql_row(s->conn, st, "reading a hit", &row, err));
        if (row) {
            struct cis_kv_entry entry;
            cis_sql_kv_entry(st, &entry);
            if (!each(self, &entry)) {
                return CIS_OK;
            }
        }
    }
    return CIS_OK;
}

cis_code cis_sql_kv_search(cis_store *store, struct cis_str tenant,
                           const struct cis_kv_search_query *search, cis_kv_each *each, void *self,
                           const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) struct cis_query *q = cis_alloc(sizeof *q);
    CIS_CLEANUP(cis_freep) struct search *s = cis_alloc(sizeof *s);
    if (q == NULL || s == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "search: out of memory");
    }
    CIS_TRY(cis_query_parse(search->query, q, err));
    CIS_CLEANUP(cis_sql_give) struct sql_conn *conn = NULL;
    CIS_TRY(cis_sql_take((struct sql_store *)store, tenant, false, stop, &conn, err));
    if (conn == NULL || search->limit == 0) {
        return CIS_OK;
    }
    *s = (struct search){.conn = conn,
                         .query = q,
                         .ns = search->ns,
                         .limit = search->limit < CIS_STORE_SEARCH_MAX ? search->limit
                                                                       : CIS_STORE_SEARCH_MAX,
                         .scratch = CIS_BUF_INIT(CIS_TEXT_PEEK)};
    CIS_TRY(cis_sql_view_open(conn, search->at, &s->view, err));
    cis_code code = find_all(s, err);
    cis_buf_done(&s->scratch);
    return code == CIS_OK ? tell(s, each, self, err) : code;
}
