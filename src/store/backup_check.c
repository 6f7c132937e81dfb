/* Is this a row that a store of cis may hold? Asked of every row that goes into a backup or comes
 * out of one. What the rows mean to each other as trees: backup_tree.c. */
#include "store/backup.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/crypto.h"
#include "base/mem.h"
#include "store/backup_tree.h"
#include "store/commit.h"

/* Limits are those of columns of bytes, in their order; a table without any has 0. */
const struct cis_backup_shape cis_backup_shapes[CIS_BACKUP_TABLES] = {
#define TABLE(id, types, ...) {#id, types, {__VA_ARGS__}},
#include "store/backup.def"
#undef TABLE
};

/* ---- numbers that came, in ascending order: runs without gaps ---- */
#define RUNS_MAX (64u << 20) /* bytes: four million gaps */

struct run {
    uint64_t first, last;
};
struct numbers {
    struct cis_buf runs;
};

static cis_code numbers_add(struct numbers *set, uint64_t n, const char *what,
                            struct cis_error *err)
{
    struct run *last =
        set->runs.len != 0 ? (struct run *)(void *)(set->runs.ptr + set->runs.len) - 1 : NULL;
    if (last != NULL && n <= last->last) {
        return cis_fail(err, CIS_E_DAMAGED, "%s %" PRIu64 " comes after %" PRIu64, what, n,
                        last->last);
    }
    if (last != NULL && n == last->last + 1) {
        last->last = n;
        return CIS_OK;
    }
    struct run run = {n, n};
    cis_buf_add(&set->runs, &run, sizeof run);
    return cis_buf_check(&set->runs, what, err);
}

static bool numbers_has(const struct numbers *set, uint64_t n)
{
    const struct run *runs = (const struct run *)(const void *)set->runs.ptr;
    size_t low = 0, high = set->runs.len / sizeof *runs;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (runs[mid].last < n) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < set->runs.len / sizeof *runs && runs[low].first <= n;
}

/* ---- the object ---- */
struct cis_backup_check {
    char tenant[CIS_TENANT_MAX + 1];
    int table; /* of the last row, -1: the tenant has none yet */
    uint8_t key[32];
    struct numbers chunks, branches;
    cis_chunk_codec *codec;
    struct cis_backup_counts counts;
    cis_backup_tree *tree; /* NULL: trees are not checked */
    uint8_t content[CIS_FS_BLOCK];
};

cis_code cis_backup_check_new(cis_backup_check **out_check, struct cis_error *err)
{
    cis_backup_check *c = cis_zalloc(sizeof *c);
    if (c == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "backup: out of memory");
    }
    c->chunks.runs = CIS_BUF_INIT(RUNS_MAX);
    c->branches.runs = CIS_BUF_INIT(RUNS_MAX);
    cis_code code = cis_chunk_codec_new(&c->codec, err);
    if (code != CIS_OK) {
        cis_backup_check_free(c);
        return code;
    }
    *out_check = c;
    return CIS_OK;
}

void cis_backup_check_free(cis_backup_check *c)
{
    if (c != NULL) {
        cis_wipe(c->key, sizeof c->key);
        cis_buf_done(&c->chunks.runs);
        cis_buf_done(&c->branches.runs);
        cis_chunk_codec_free(c->codec);
        cis_backup_tree_free(c->tree);
        cis_free(c);
    }
}

cis_code cis_backup_check_trees(cis_backup_check *c, const struct cis_stop *stop,
                                struct cis_error *err)
{
    return cis_backup_tree_new(stop, &c->tree, err);
}

cis_code cis_backup_check_end(cis_backup_check *c, struct cis_error *err)
{
    struct cis_error why = {0};
    if (c->tree == NULL || c->counts.tenants == 0 || c->table < 0) {
        return CIS_OK;
    }
    cis_code code = cis_backup_tree_end(c->tree, &why);
    cis_backup_tree_begin(c->tree);
    return code == CIS_OK          ? CIS_OK
           : code != CIS_E_DAMAGED ? cis_fail(err, code, "%s", why.msg)
                                   : cis_fail(err, code, "tenant %s: %s", c->tenant, why.msg);
}

const struct cis_backup_counts *cis_backup_check_counts(const cis_backup_check *check)
{
    return &check->counts;
}

cis_code cis_backup_check_tenant(cis_backup_check *c, struct cis_str name, struct cis_error *err)
{
    if (!cis_tenant_valid(name)) {
        return cis_fail(err, CIS_E_DAMAGED, "a tenant with an impossible name");
    }
    if (c->counts.tenants != 0 && cis_str_cmp(name, cis_str_of(c->tenant)) <= 0) {
        return cis_fail(err, CIS_E_DAMAGED, "tenant " CIS_STR_FMT " comes after %s",
                        CIS_STR_ARG(name), c->tenant);
    }
    if (c->counts.tenants != 0 && c->table < 0) {
        return cis_fail(err, CIS_E_DAMAGED, "tenant %s: the backup holds nothing of it", c->tenant);
    }
    memcpy(c->tenant, name.ptr, name.len);
    c->tenant[name.len] = 0;
    c->table = -1;
    if (c->tree != NULL) {
        cis_backup_tree_begin(c->tree);
    }
    c->counts.tenants++;
    cis_buf_reset(&c->chunks.runs);
    cis_buf_reset(&c->branches.runs);
    return CIS_OK;
}

/* ---- rows ---- */
#define BAD(...) cis_fail(err, CIS_E_DAMAGED, __VA_ARGS__)

static struct cis_str text(const struct cis_backup_value *v)
{
    return (struct cis_str){(const char *)v->b.ptr, v->b.len};
}

static cis_code branch_there(const cis_backup_check *c, int64_t branch, struct cis_error *err)
{
    return numbers_has(&c->branches, (uint64_t)branch)
               ? CIS_OK
               : BAD("branch %" PRId64 " is missing", branch);
}

static cis_code check_tree(cis_backup_check *c, const struct cis_backup_value *v,
                           struct cis_error *err)
{
    if (v[1].b.len != sizeof c->key || !cis_fs_ref_valid(text(&v[2]))) {
        return BAD("impossible values");
    }
    memcpy(c->key, v[1].b.ptr, sizeof c->key);
    return CIS_OK;
}

static cis_code check_branch(cis_backup_check *c, const struct cis_backup_value *v,
                             struct cis_error *err)
{
    if (v[1].i != 0) {
        CIS_TRY(branch_there(c, v[1].i, err)); /* parents are older, so they have come */
    }
    return numbers_add(&c->branches, (uint64_t)v[0].i, "branch", err);
}

/* Of a ref or a snapshot: its branch, and whether it may have its name. */
static cis_code check_name(const cis_backup_check *c, const struct cis_backup_value *branch,
                           bool good, struct cis_error *err)
{
    return good ? branch_there(c, branch->i, err) : BAD("an impossible name");
}

static cis_code check_epoch(const struct cis_backup_value *v, struct cis_error *err)
{
    struct cis_key key;
    size_t at = 0;
    bool dropped = v[10].b.len == 1 && v[10].b.ptr[0] == CIS_KEYS_DROPPED; /* gc forgot them */
    bool more = v[10].b.len != 0 && !dropped;
    if (v[7].b.len != 0 && !cis_run_id_valid(text(&v[7]))) {
        return BAD("a run's id of %zu bytes", v[7].b.len);
    }
    while (more) {
        CIS_TRY(cis_keys_next(v[10].b, &at, &key, &more, err));
    }
    return CIS_OK;
}

static cis_code check_chunk(cis_backup_check *c, const struct cis_backup_value *v,
                            struct cis_error *err)
{
    uint8_t hash[32];
    uint32_t off, len, n;
    if (v[2].b.len != 32 || v[3].b.len != CIS_CHUNK_HEAD || v[4].b.len == 0) {
        return BAD("impossible values");
    }
    n = cis_chunk_len(v[3].b.ptr);
    CIS_TRY(cis_chunk_plan(v[3].b.ptr, (uint32_t)v[4].b.len, 0, n, &off, &len, err));
    CIS_TRY(cis_chunk_unpack(c->codec, v[3].b.ptr, v[4].b, 0, n, c->content, err));
    cis_chunk_hash(c->key, cis_bytes_of(c->content, n), hash);
    if (memcmp(hash, v[2].b.ptr, sizeof hash) != 0) {
        return BAD("its hash differs");
    }
    CIS_TRY(numbers_add(&c->chunks, (uint64_t)v[0].i, "chunk", err));
    c->counts.chunks++;
    c->counts.bytes += CIS_CHUNK_HEAD + v[4].b.len;
    return CIS_OK;
}

static cis_code check_dirent(const struct cis_backup_value *v, struct cis_error *err)
{
    return cis_fs_name_valid(text(&v[5])) && (v[4].i & ~(int64_t)S_IFMT) == 0
               ? CIS_OK
               : BAD("an impossible name or type");
}

static cis_code check_inode(const struct cis_backup_value *v, struct cis_fs_inode *inode,
                            struct cis_error *err)
{
    CIS_TRY(cis_inode_unpack(v[3].b, inode, err));
    bool held = inode->is_inline || S_ISLNK(inode->mode); /* its content is in the row */
    return inode->gone || !held || v[4].b.len == inode->size
               ? CIS_OK
               : BAD("inode %" PRId64 ": size %" PRIu64 ", content of %zu bytes", v[1].i,
                     inode->size, v[4].b.len);
}

static cis_code check_extent(const cis_backup_check *c, const struct cis_backup_value *v,
                             struct cis_error *err)
{
    return v[4].i == 0 || numbers_has(&c->chunks, (uint64_t)v[4].i)
               ? CIS_OK
               : BAD("block %" PRId64 " of inode %" PRId64 " names chunk %" PRId64
                     ", which is missing",
                     v[2].i, v[1].i, v[4].i);
}

static cis_code check_memory(const struct cis_backup_value *v, struct cis_error *err)
{
    return v[4].i <= 1 && v[5].i <= 1 && v[6].b.len != 0 && v[7].b.len != 0
               ? CIS_OK
               : BAD("impossible values");
}

static cis_code check_run(const struct cis_backup_value *v, struct cis_error *err)
{
    return cis_run_id_valid(text(&v[5])) && cis_run_status_valid(text(&v[7])) &&
                   cis_run_report_valid(text(&v[8])) && v[1].i >= INT32_MIN && v[1].i <= INT32_MAX
               ? CIS_OK
               : BAD("impossible values");
}

static cis_code check_config(const struct cis_backup_value *v, struct cis_error *err)
{
    return v[0].b.len != 0 && v[1].b.len != 0 ? CIS_OK : BAD("impossible values");
}

static cis_code check_skill(const struct cis_backup_value *v, struct cis_error *err)
{
    struct cis_skill_row row = {.name = text(&v[1]),
                                .version = text(&v[2]),
                                .source = text(&v[3]),
                                .sha256 = text(&v[4]),
                                .manifest = text(&v[5]),
                                .grants = text(&v[6]),
                                .signer = text(&v[7]),
                                .digest = text(&v[8]),
                                .installed_ms = v[0].i};
    return cis_skill_row_check(&row, err);
}

static cis_code check_publish(const struct cis_backup_value *v, struct cis_error *err)
{
    return cis_fs_ref_valid(text(&v[2])) && cis_tenant_valid(text(&v[3])) &&
                   (v[4].b.len == 16 || v[4].b.len == 0)
               ? CIS_OK
               : BAD("impossible values");
}

static cis_code check_columns(enum cis_backup_table table, const struct cis_backup_value *v,
                              struct cis_error *err)
{
    const struct cis_backup_shape *shape = &cis_backup_shapes[table];
    for (size_t i = 0, blob = 0; shape->types[i] != 0; i++) {
        char type = shape->types[i];
        if (type == 'b' ? v[i].b.len > shape->limits[blob]
                        : (type == 'n' && v[i].i < 0) || (type == 'p' && v[i].i <= 0)) {
            return BAD("impossible values");
        }
        blob += type == 'b';
    }
    return CIS_OK;
}

static cis_code check_row(cis_backup_check *c, enum cis_backup_table table,
                          const struct cis_backup_value *v, struct cis_fs_inode *inode,
                          struct cis_error *err)
{
    CIS_TRY(check_columns(table, v, err));
    switch (table) {
    case CIS_BACKUP_TREE:
        return check_tree(c, v, err);
    case CIS_BACKUP_BRANCH:
        return check_branch(c, v, err);
    case CIS_BACKUP_LINEAGE:
        CIS_TRY(branch_there(c, v[0].i, err));
        return branch_there(c, v[2].i, err);
    case CIS_BACKUP_REF:
        return check_name(c, &v[0], cis_fs_ref_valid(text(&v[2])), err);
    case CIS_BACKUP_SNAPSHOT:
        /* The reflog's entries are among them (store/fs.h). */
        return check_name(c, &v[1],
                          cis_fs_ref_valid(text(&v[6])) || cis_fs_reflog_valid(text(&v[6])), err);
    case CIS_BACKUP_EPOCH:
        return check_epoch(v, err);
    case CIS_BACKUP_CHUNK:
        return check_chunk(c, v, err);
    case CIS_BACKUP_DIRENT:
        return check_dirent(v, err);
    case CIS_BACKUP_INODE:
        return check_inode(v, inode, err);
    case CIS_BACKUP_EXTENT:
        return check_extent(c, v, err);
    case CIS_BACKUP_MEMORY:
        return check_memory(v, err);
    case CIS_BACKUP_RUN:
        return check_run(v, err);
    case CIS_BACKUP_PUBLISH:
        return check_publish(v, err);
    case CIS_BACKUP_CONFIG:
        return check_config(v, err);
    case CIS_BACKUP_SKILL:
        return check_skill(v, err);
    case CIS_BACKUP_PIN:
        return branch_there(c, v[1].i, err);
    case CIS_BACKUP_TABLES:
        break;
    }
    return CIS_OK;
}

cis_code cis_backup_check_row(cis_backup_check *c, enum cis_backup_table table,
                              const struct cis_backup_value *v, struct cis_error *err)
{
    static const char *const names[CIS_BACKUP_TABLES] = {
        "tree", "branch", "lineage", "ref",    "snapshot", "pin",    "commit", "chunk",
        "name", "inode",  "extent",  "memory", "run",      "config", "skill",  "publish"};
    if (c->counts.tenants == 0 || (c->table < 0) != (table == CIS_BACKUP_TREE) ||
        (int)table < c->table) {
        return cis_fail(err, CIS_E_DAMAGED, "rows that are out of order");
    }
    struct cis_error why = {0};
    struct cis_fs_inode inode = {0};
    cis_code code = check_row(c, table, v, &inode, &why);
    if (code == CIS_OK && c->tree != NULL) {
        code = cis_backup_tree_row(c->tree, table, v, &inode, &why);
    }
    if (code == CIS_OK) {
        c->table = (int)table;
        c->counts.rows++;
        return CIS_OK;
    }
    bool numbered = table == CIS_BACKUP_CHUNK || table == CIS_BACKUP_BRANCH;
    char number[24] = "";
    if (numbered) {
        snprintf(number, sizeof number, " %" PRId64, v[0].i);
    }
    return cis_fail(err, code, "tenant %s: %s%s: %s", c->tenant, names[table], number, why.msg);
}
