/* What a fork's chain of branches has changed. A look-up in a fork asks every branch between it and
 * the first; but mostly they have changed little of a large tree. So a view that is read again and
 * again gets the set of inodes (and of directories with other names) that any branch but the first
 * of its lineage has rows of; who is not in it is looked up in that first branch alone.
 *
 * Rows at a view never change, so a set stays right as long as the connection lives. It holds what
 * other branches have at any epoch, which is more than the view sees, and that is right too. */
#include "base/mem.h"
#include "base/wraps.h"
#include "store/sqlite/read.h"

#define TOUCHED_MAX 4096 /* rows; a chain with more is asked branch by branch */
#define WORTH 16         /* reads at a view before its set is made */

static uint64_t slot_of(uint64_t ino, size_t cap)
{
    return (cis_mix(ino) >> 32) & (cap - 1);
}

static bool holds(const struct sql_chain *c, uint64_t ino)
{
    for (uint64_t at = slot_of(ino, c->cap); c->touched[at] != 0; at = (at + 1) & (c->cap - 1)) {
        if (c->touched[at] == ino) {
            return true;
        }
    }
    return false;
}

static void add(struct sql_chain *c, uint64_t ino)
{
    uint64_t at = slot_of(ino, c->cap);
    while (c->touched[at] != 0 && c->touched[at] != ino) {
        at = (at + 1) & (c->cap - 1);
    }
    c->touched[at] = ino;
}

/* The inodes that a branch has rows of, by one of two statements; *left counts down. */
static cis_code gather(struct sql_conn *conn, enum sql_id id, int64_t branch, struct sql_chain *c,
                       int *left, struct cis_error *err)
{
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, id, &st, err));
    sqlite3_bind_int64(st, 1, branch);
    sqlite3_bind_int64(st, 2, *left + 1);
    for (;;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "reading a branch", &row, err));
        if (!row || --*left < 0) {
            return CIS_OK;
        }
        add(c, (uint64_t)sqlite3_column_int64(st, 0));
    }
}

static cis_code build(struct sql_conn *conn, struct sql_chain *c, struct cis_error *err)
{
    c->state = SQL_CHAIN_LOUD; /* unless it comes out well */
    c->cap = (size_t)TOUCHED_MAX * 4;
    if (c->touched == NULL && (c->touched = cis_calloc(c->cap, sizeof *c->touched)) == NULL) {
        return CIS_OK; /* it goes without */
    }
    memset(c->touched, 0, c->cap * sizeof *c->touched);
    CIS_CLEANUP(cis_sql_release) sqlite3_stmt *st = NULL;
    CIS_TRY(cis_sql_get(conn, SQL_ANCESTORS, &st, err));
    sqlite3_bind_int64(st, 1, cis_sql_i64(c->at.branch));
    int64_t branch = 0, max = 0, epoch = cis_sql_i64(c->at.epoch);
    for (int left = TOUCHED_MAX;;) {
        bool row;
        CIS_TRY(cis_sql_row(conn, st, "reading the lineage", &row, err));
        if (!row) {
            break;
        }
        if (branch != 0) { /* not the last one */
            CIS_TRY(gather(conn, SQL_TOUCHED_DIRENTS, branch, c, &left, err));
            CIS_TRY(gather(conn, SQL_TOUCHED_INODES, branch, c, &left, err));
            if (left < 0) {
                return CIS_OK;
            }
        }
        branch = sqlite3_column_int64(st, 0);
        max = sqlite3_column_int64(st, 1);
    }
    c->first = (struct cis_view){(uint64_t)branch, (uint64_t)(max < epoch ? max : epoch)};
    c->state = SQL_CHAIN_QUIET;
    return CIS_OK;
}

struct sql_chain *cis_sql_chain_of(struct sql_conn *conn, struct cis_view at)
{
    struct sql_chain *oldest = &conn->chains[0];
    for (size_t i = 0; i < SQL_CHAINS; i++) {
        struct sql_chain *c = &conn->chains[i];
        if (c->at.branch == at.branch && c->at.epoch == at.epoch) {
            return c;
        }
        oldest = c->made < oldest->made ? c : oldest;
    }
    uint64_t *touched = oldest->touched; /* its memory is used again */
    *oldest = (struct sql_chain){.at = at, .touched = touched, .made = ++conn->chains_made};
    return oldest;
}

cis_code cis_sql_chain_view(struct sql_reader *r, uint64_t ino, struct cis_view *out,
                            bool *out_forked, struct cis_error *err)
{
    struct sql_chain *c = r->chain;
    *out = r->at;
    *out_forked = r->forked;
    if (!r->forked) {
        return CIS_OK;
    }
    if (c->state == SQL_CHAIN_NEW && ++c->uses > WORTH) {
        CIS_TRY(build(r->conn, c, err));
    }
    if (c->state == SQL_CHAIN_QUIET && ino != 0 && !holds(c, ino)) {
        *out = c->first;
        *out_forked = false;
    }
    return CIS_OK;
}
