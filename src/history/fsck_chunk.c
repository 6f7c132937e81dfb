/* Chunks: every one that is named exists; with data, what each reads as has the keyed hash that it
 * is stored by. A bad chunk is told by every file that names it. */
#include "history/fsck.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "store/chunk.h"
#include "store/calls.h"

#define PAGE 4096u
#define GROUP 16u

struct chunk {
    uint64_t id;
    uint8_t hash[32];
};
struct chunks {
    struct fsck *f;
    struct {
        struct chunk *at;
        size_t n, cap;
        struct cis_bound *bound;
    } page;
    struct numbers ids; /* all, ascending */
    struct numbers bad; /* damaged, ascending */
    uint64_t last;
    uint32_t seen;
    uint8_t key[32];
    uint8_t *content;
    cis_code code;
};

static bool take_chunk(void *self, const struct cis_fs_chunk_info *info)
{
    struct chunks *c = self;
    c->seen++;
    c->last = info->id;
    c->f->counts.chunks++;
    c->f->counts.chunk_bytes += info->bytes;
    struct chunk *x = vec_add(&c->page);
    if (x == NULL) {
        c->code = cis_history_nomem(c->f->err);
        return false;
    }
    x->id = info->id;
    memcpy(x->hash, info->hash, sizeof x->hash);
    c->code = cis_numbers_add(&c->ids, info->id, c->f->err);
    return c->code == CIS_OK;
}

static cis_code read_group(struct chunks *c, const struct chunk *at, size_t n)
{
    const struct cis_history *h = c->f->h;
    struct cis_fs_read reads[GROUP];
    for (size_t i = 0; i < n; i++) {
        reads[i] = (struct cis_fs_read){
            .chunk = at[i].id, .len = CIS_FS_BLOCK, .dst = c->content + i * CIS_FS_BLOCK};
    }
    CIS_TRY(cis_store_chunk_read(h->store, h->tenant, reads, n, h->stop, c->f->err));
    for (size_t i = 0; i < n; i++) {
        uint8_t hash[32];
        bool bad = reads[i].code != CIS_OK;
        if (!bad) {
            cis_chunk_hash(c->key, (struct cis_bytes){reads[i].dst, CIS_FS_BLOCK}, hash);
            bad = memcmp(hash, at[i].hash, sizeof hash) != 0;
        }
        if (bad) {
            CIS_TRY(cis_numbers_add(&c->bad, at[i].id, c->f->err));
        }
    }
    return CIS_OK;
}

static cis_code read_all(struct chunks *c)
{
    const struct cis_history *h = c->f->h;
    do {
        c->seen = 0;
        c->page.n = 0;
        CIS_TRY(cis_store_chunk_list(h->store, h->tenant,
                                     &(struct cis_fs_chunk_query){.after = c->last, .limit = PAGE},
                                     take_chunk, c, h->stop, c->f->err));
        CIS_TRY(c->code);
        for (size_t i = 0; i < c->page.n && c->f->data; i += GROUP) {
            size_t n = c->page.n - i < GROUP ? c->page.n - i : GROUP;
            CIS_TRY(read_group(c, c->page.at + i, n));
        }
    } while (c->seen == PAGE);
    return CIS_OK;
}

/* ---- who names them ---- */
struct use {
    uint64_t chunk, ino, block;
};
struct using
{
    struct chunks *c;
    struct {
        struct use *at;
        size_t n, cap;
        struct cis_bound *bound;
    } uses;
    struct cis_fs_key after;
    uint32_t seen;
    cis_code code;
};

static bool take_extent(void *self, const struct cis_fs_key *key,
                        const struct cis_fs_dirent *dirent, const struct cis_fs_inode *inode,
                        const struct cis_fs_extent *extent)
{
    struct using *u = self;
    (void)dirent;
    (void)inode;
    u->seen++;
    u->after = *key;
    u->after.name = (struct cis_str){NULL, 0};
    if (extent->chunk == 0 || (cis_numbers_has(&u->c->ids, extent->chunk) &&
                               !cis_numbers_has(&u->c->bad, extent->chunk))) {
        return true;
    }
    struct use *x = vec_add(&u->uses);
    if (x == NULL) {
        u->code = cis_history_nomem(u->c->f->err);
        return false;
    }
    *x = (struct use){extent->chunk, key->ino, key->block};
    return true;
}

static bool note_id(void *self, const struct cis_fs_chunk_info *info)
{
    *(uint64_t *)self = info->id;
    return false;
}

/* A chunk stored since the list was read is there all the same. */
static cis_code look_again(struct chunks *c, uint64_t chunk, bool *out_there)
{
    const struct cis_history *h = c->f->h;
    uint64_t found = 0;
    CIS_TRY(cis_store_chunk_list(h->store, h->tenant,
                                 &(struct cis_fs_chunk_query){.after = chunk - 1, .limit = 1},
                                 note_id, &found, h->stop, c->f->err));
    *out_there = found == chunk;
    return CIS_OK;
}

static cis_code tell_uses(struct using *u, const struct cis_branch *b)
{
    struct fsck *f = u->c->f;
    char label[64];
    for (size_t i = 0; i < u->uses.n; i++) {
        const struct use *x = &u->uses.at[i];
        bool listed = cis_numbers_has(&u->c->ids, x->chunk), there = listed;
        if (!listed) {
            CIS_TRY(look_again(u->c, x->chunk, &there));
        }
        if (!listed && there) {
            continue;
        }
        CIS_TRY(cis_fsck_found(f, "chunk", x->ino,
                               "bytes %" PRIu64 " to %" PRIu64 ": chunk %" PRIu64 " %s",
                               x->block * CIS_FS_BLOCK, (x->block + 1) * CIS_FS_BLOCK - 1, x->chunk,
                               there ? "is damaged" : "is not there"));
    }
    snprintf(label, sizeof label, "branch %" PRIu64 ": ", b->id);
    u->uses.n = 0;
    return cis_fsck_tell(f, (struct cis_view){b->id, b->head}, label);
}

static cis_code scan_branch(struct using *u, const struct cis_branch *b)
{
    const struct cis_history *h = u->c->f->h;
    struct cis_error why = {0};
    bool first = true;
    do {
        u->seen = 0;
        cis_code code =
            cis_store_scan(h->store, h->tenant,
                           &(struct cis_fs_scan_query){.table = CIS_FS_EXTENTS,
                                                       .branch = b->id,
                                                       .after = first ? NULL : &u->after,
                                                       .limit = PAGE},
                           take_extent, u, h->stop, &why);
        CIS_TRY(u->code);
        if (cis_fsck_is_damage(code)) {
            CIS_TRY(cis_fsck_found(u->c->f, "branch", 0,
                                   "blocks of branch %" PRIu64 " cannot be read: %s", b->id,
                                   why.msg));
            break;
        }
        if (code != CIS_OK) {
            return cis_fail(u->c->f->err, code, "%s", why.msg);
        }
        first = false;
    } while (u->seen == PAGE);
    return tell_uses(u, b);
}

cis_code cis_fsck_chunks(struct fsck *f)
{
    struct chunks c = {.f = f};
    struct using u = {.c = &c};
    struct cis_tenant tenant;
    cis_code code = cis_store_tenant_get(f->h->store, f->h->tenant, &tenant, f->h->stop, f->err);
    if (code == CIS_OK) {
        memcpy(c.key, tenant.key, sizeof c.key);
        c.content = cis_alloc(GROUP * CIS_FS_BLOCK);
        code = c.content != NULL ? read_all(&c) : cis_history_nomem(f->err);
    }
    for (size_t i = 0; i < f->branches.n && code == CIS_OK && !f->stopped; i++) {
        code = scan_branch(&u, &f->branches.at[i]);
    }
    vec_done(&u.uses);
    cis_free(c.content);
    vec_done(&c.page);
    cis_numbers_done(&c.ids);
    cis_numbers_done(&c.bad);
    return code;
}
