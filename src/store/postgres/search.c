/* Searching memory. No extension is needed: the server looks for every word in keys and texts that
 * are escaped to ASCII and folded, which misses nothing; the text itself is checked here by the
 * rules of store/text.h. It reads all of the tenant's text that the view sees. */
#include "base/mem.h"
#include "store/postgres/internal.h"
#include "store/text.h"

#define ESCAPED_MAX (4u * CIS_QUERY_MAX)

struct search {
    struct cis_view at;
    struct cis_str ns;
    uint32_t limit;
    struct cis_query query;
    cis_kv_each *each;
    void *self;
    struct cis_buf scratch;
    int64_t ids[CIS_STORE_SEARCH_MAX];
    bool exact[CIS_STORE_SEARCH_MAX];
    size_t n;   /* candidates that are not checked yet */
    bool ended; /* no more candidates */
};

/* As encode(…, 'escape') of the server does it, and folded. */
static void escape(struct cis_buf *out, struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == 0 || c >= 0x80) {
            cis_buf_printf(out, "\\%03o", c);
        } else if (c == '\\') {
            cis_buf_text(out, "\\\\");
        } else {
            cis_buf_byte(out, c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c);
        }
    }
}

static cis_code send(struct pg_conn *conn, const struct search *s, struct cis_view at,
                     struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf whole = CIS_BUF_INIT(ESCAPED_MAX);
    CIS_CLEANUP(cis_pg_array_done) struct pg_array words = PG_ARRAY_INIT;
    escape(&whole, s->query.whole);
    for (size_t i = 0; i < s->query.nwords; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf word = CIS_BUF_INIT(ESCAPED_MAX);
        escape(&word, s->query.words[i].text);
        CIS_TRY(cis_buf_check(&word, "search", err));
        cis_pg_array_bytes(&words, word.ptr, word.len);
    }
    CIS_TRY(cis_buf_check(&whole, "search", err));
    struct pg_args args = {0};
    cis_pg_args_view(&args, conn, at);
    cis_pg_arg_str(&args, s->ns);
    cis_pg_arg_int(&args, s->ns.ptr == NULL);
    cis_pg_arg_str(&args, s->query.whole);
    cis_pg_arg_bytes(&args, whole.ptr, whole.len);
    cis_pg_arg_texts(&args, &words);
    CIS_TRY(cis_pg_send(conn, PG_KV_SEARCH, &args, err));
    return cis_pg_sync(conn, err);
}

/* Best first; how many false ones are among them is not known, so there may be another round. */
static cis_code candidates(struct pg_conn *conn, struct search *s, size_t skip,
                           struct cis_error *err)
{
    s->n = 0;
    for (size_t i = 0;; i++) {
        CIS_CLEANUP(cis_pg_clear) PGresult *row = NULL;
        CIS_TRY(cis_pg_next_row(conn, PG_KV_SEARCH, &row, err));
        conn->told = false; /* nobody was told yet */
        if (row == NULL) {
            s->ended = true;
            return cis_pg_finish(conn, err);
        }
        if (i < skip) {
            continue;
        }
        if (s->n == CIS_STORE_SEARCH_MAX) {
            cis_pg_settle_rows(conn);
            return conn->lost
                       ? cis_fail(err, CIS_E_STORE, "%s: connection lost", conn->store->place)
                       : CIS_OK;
        }
        s->ids[s->n] = cis_pg_int(row, 0, 0);
        s->exact[s->n++] = cis_pg_int(row, 0, 1) != 0;
    }
}

static bool is_hit(struct search *s, const struct cis_kv_entry *entry, bool exact)
{
    struct cis_bytes key = cis_bytes_of(entry->key.ptr, entry->key.len);
    return exact || cis_query_match(&s->query, SIZE_MAX, cis_text_of(key),
                                    cis_text_of(entry->value), &s->scratch);
}

/* Checks and tells the candidates, which come in the order asked for. */
static cis_code tell(struct pg_conn *conn, struct search *s, bool *out_more, struct cis_error *err)
{
    CIS_CLEANUP(cis_pg_array_done) struct pg_array ids = PG_ARRAY_INIT;
    struct pg_args args = {0};
    for (size_t i = 0; i < s->n; i++) {
        cis_pg_array_int(&ids, s->ids[i]);
    }
    cis_pg_arg_int(&args, conn->tenant);
    cis_pg_arg_ints(&args, &ids);
    CIS_TRY(cis_pg_send(conn, PG_KV_BY_ID, &args, err));
    CIS_TRY(cis_pg_sync(conn, err));
    bool told = false;
    for (size_t i = 0;; i++) {
        CIS_CLEANUP(cis_pg_clear) PGresult *row = NULL;
        CIS_TRY(cis_pg_next_row(conn, PG_KV_BY_ID, &row, err));
        conn->told = told;
        if (row == NULL) {
            break;
        }
        struct cis_kv_entry entry;
        cis_pg_kv_entry(row, 0, &entry);
        if (conn->stop != NULL) { /* the texts that are looked at here may be large */
            CIS_TRY(cis_stop_check(conn->stop, "store", err));
        }
        if (!is_hit(s, &entry, i < s->n && s->exact[i])) {
            if (s->scratch.failed != CIS_OK) {
                return cis_buf_check(&s->scratch, "search", err);
            }
            continue;
        }
        conn->told = told = true;
        if (!s->each(s->self, &entry) || --s->limit == 0) {
            *out_more = false;
            return CIS_OK;
        }
    }
    return cis_pg_finish(conn, err);
}

static cis_code run(struct pg_conn *conn, void *arg, struct cis_error *err)
{
    struct search *s = arg;
    struct pg_own own = {s->at, false};
    if (s->at.branch != 0) {
        CIS_TRY(cis_pg_view_enter(conn, s->at, &own, err));
    }
    s->ended = false;
    size_t seen = 0;
    for (bool more = true; more && !s->ended;) {
        CIS_TRY(send(conn, s, own.view, err));
        CIS_TRY(candidates(conn, s, seen, err));
        seen += s->n;
        if (seen == 0) {
            return cis_pg_alive(conn, err);
        }
        CIS_TRY(tell(conn, s, &more, err));
    }
    return CIS_OK;
}

cis_code cis_pg_kv_search(cis_store *store, struct cis_str tenant,
                          const struct cis_kv_search_query *search, cis_kv_each *each, void *self,
                          const struct cis_stop *stop, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) struct search *s = cis_zalloc(sizeof *s);
    if (s == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "search: out of memory");
    }
    CIS_TRY(cis_query_parse(search->query, &s->query, err));
    s->at = search->at;
    s->ns = search->ns;
    s->limit = search->limit < CIS_STORE_SEARCH_MAX ? search->limit : CIS_STORE_SEARCH_MAX;
    s->each = each;
    s->self = self;
    s->scratch = CIS_BUF_INIT(CIS_TEXT_PEEK);
    bool absent = false;
    cis_code code = search->limit == 0
                        ? CIS_OK
                        : cis_pg_read((struct pg_store *)store, tenant, run, s, &absent, stop, err);
    cis_buf_done(&s->scratch);
    return code;
}
