/* Chunks that no extent names. Candidates are those that were stamped before the cutoff: ten
 * minutes ago, or when the oldest pin was made, whichever is earlier. Whoever is about to name a
 * chunk stamps it first, so what gets named while the extents are read here is stamped later than
 * the cutoff, and the store looks at the stamp again when it deletes. */
#include "history/gc_roots.h"
#include "store/calls.h"

#define CANDIDATES (4u << 20) /* of one round: 32 MiB of numbers */
#define PAGE 4096u
#define BATCH 1000u

struct collection {
    const struct cis_history *h;
    int64_t before_ms;
    struct numbers ids; /* candidates, ascending */
    struct numbers sizes;
    uint8_t *named; /* one bit a candidate */
    uint64_t last;  /* chunk listed last */
    uint32_t seen;
    struct cis_fs_key after;
    cis_code code;
    struct cis_error *err;
};

static bool oldest_pin(void *self, const struct cis_fs_pin *pin)
{
    struct collection *s = self;
    s->before_ms = pin->since_ms < s->before_ms ? pin->since_ms : s->before_ms;
    return true;
}

static bool take_chunk(void *self, const struct cis_fs_chunk_info *info)
{
    struct collection *s = self;
    s->seen++;
    s->last = info->id;
    if (info->stamp_ms < s->before_ms) {
        uint64_t *size = vec_add(&s->sizes);
        s->code =
            size != NULL ? cis_numbers_add(&s->ids, info->id, s->err) : cis_history_nomem(s->err);
        if (size != NULL) {
            *size = info->bytes;
        }
    }
    return s->code == CIS_OK;
}

static cis_code candidates(struct collection *s, bool *out_more)
{
    s->ids.n = s->sizes.n = 0;
    do {
        s->seen = 0;
        CIS_TRY(cis_store_chunk_list(s->h->store, s->h->tenant,
                                     &(struct cis_fs_chunk_query){.after = s->last, .limit = PAGE},
                                     take_chunk, s, s->h->stop, s->err));
        CIS_TRY(s->code);
    } while (s->seen == PAGE && s->ids.n < CANDIDATES);
    *out_more = s->seen == PAGE;
    return CIS_OK;
}

static bool mark(void *self, const struct cis_fs_key *key, const struct cis_fs_dirent *dirent,
                 const struct cis_fs_inode *inode, const struct cis_fs_extent *extent)
{
    struct collection *s = self;
    (void)dirent;
    (void)inode;
    s->seen++;
    s->after = *key;
    s->after.name = (struct cis_str){NULL, 0};
    size_t i = cis_numbers_at(&s->ids, extent->chunk);
    if (i < s->ids.n && s->ids.at[i] == extent->chunk) {
        s->named[i / 8] |= (uint8_t)(1u << (i % 8));
    }
    return true;
}

static cis_code mark_branch(struct collection *s, uint64_t branch)
{
    bool first = true;
    do {
        s->seen = 0;
        CIS_TRY(cis_store_scan(s->h->store, s->h->tenant,
                               &(struct cis_fs_scan_query){.table = CIS_FS_EXTENTS,
                                                           .branch = branch,
                                                           .after = first ? NULL : &s->after,
                                                           .limit = PAGE},
                               mark, s, s->h->stop, s->err));
        first = false;
    } while (s->seen == PAGE);
    return CIS_OK;
}

static cis_code remove_unnamed(struct collection *s, bool dry_run, struct cis_gc_counts *out)
{
    uint64_t batch[BATCH], bytes = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->ids.n; i++) {
        if ((s->named[i / 8] & 1u << (i % 8)) == 0) {
            batch[n++] = s->ids.at[i];
            bytes += s->sizes.at[i];
        } else {
            out->chunks_kept++;
        }
        if (n == BATCH || (n != 0 && i + 1 == s->ids.n)) {
            uint64_t removed = n;
            if (!dry_run) {
                CIS_TRY(cis_store_chunk_remove(s->h->store, s->h->tenant,
                                               &(struct cis_fs_remove_request){
                                                   .ids = batch, .n = n, .before_ms = s->before_ms},
                                               &removed, s->h->stop, s->err));
            }
            out->chunks += removed;
            out->bytes += removed == n ? bytes : bytes / n * removed;
            n = 0;
            bytes = 0;
        }
    }
    return CIS_OK;
}

static cis_code round_trip(struct collection *s, bool dry_run, struct cis_gc_counts *out)
{
    CIS_CLEANUP(cis_branches_done) struct cis_branches branches = {0};
    cis_free(s->named);
    s->named = cis_zalloc(cis_size_add(s->ids.n / 8, 1));
    if (s->named == NULL) {
        return cis_history_nomem(s->err);
    }
    CIS_TRY(cis_branches_load(s->h, &branches, s->err));
    for (size_t i = 0; i < branches.n; i++) {
        CIS_TRY(mark_branch(s, branches.at[i].id));
    }
    return remove_unnamed(s, dry_run, out);
}

static void collection_done(struct collection *s)
{
    cis_numbers_done(&s->ids);
    cis_numbers_done(&s->sizes);
    cis_free(s->named);
}

cis_code cis_gc_chunks(const struct cis_history *h, const struct cis_retention *keep,
                       struct cis_gc_counts *out, struct cis_error *err)
{
    CIS_CLEANUP(collection_done) struct collection s = {.h = h, .err = err};
    int64_t now;
    CIS_TRY(cis_store_clock(h->store, NULL, &now, h->stop, err));
    s.before_ms = now - cis_retention_grace_ms(keep);
    CIS_TRY(cis_store_pins(h->store, h->tenant, oldest_pin, &s, h->stop, err));
    for (bool more = true; more;) {
        CIS_TRY(candidates(&s, &more));
        if (s.ids.n != 0) {
            CIS_TRY(round_trip(&s, keep->dry_run, out));
        }
    }
    return CIS_OK;
}
