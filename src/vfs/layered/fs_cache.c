/* The fs cache itself: made, freed, counted; tenants and inode numbers; rows into and out of the
 * caches. */
#include "vfs/layered/fs_cache.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/mem.h"
#include "vfs/layered/view.h"
#include "store/calls.h"

enum { NUMBERS_FIRST = 64, NUMBERS_MOST = 4096 };

cis_code cis_fs_cache_new(cis_store *store, const struct cis_fs_cache_options *options,
                          cis_fs_cache **out_fs_cache, struct cis_error *err)
{
    if (store->fs == NULL) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "this store keeps no files");
    }
    cis_fs_cache *f = cis_zalloc(sizeof *f);
    if (f == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "fs cache: out of memory");
    }
    f->store = store;
    f->options = (struct cis_fs_cache_options)CIS_FS_CACHE_OPTIONS_INIT;
    if (options != NULL) {
        memcpy(&f->options, options,
               options->size < sizeof f->options ? options->size : sizeof f->options);
    }
    f->options.entries = f->options.entries != 0 ? f->options.entries : 262144;
    f->options.inodes = f->options.inodes != 0 ? f->options.inodes : 262144;
    f->options.chunk_bytes = f->options.chunk_bytes != 0 ? f->options.chunk_bytes : 24u << 20;
    f->options.readahead = f->options.readahead != 0 ? f->options.readahead : 16;
    if (f->options.readahead > LAY_READAHEAD_MAX) {
        f->options.readahead = LAY_READAHEAD_MAX;
    }
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&f->keep, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&f->kept, NULL);
    cis_lock_alone(lay_lock_fs_cache);
    f->next_uid = 1;
    cis_random_bytes(&f->key, sizeof f->key);
    cis_code code = cis_crypto_init(err);
    code = code != CIS_OK
               ? code
               : cis_lay_sets_init(&f->entries, f->options.entries, LAY_ENTRY_WORDS, err);
    code = code != CIS_OK ? code
                          : cis_lay_sets_init(&f->inodes, f->options.inodes, LAY_INODE_WORDS, err);
    code = code != CIS_OK ? code : cis_lay_blobs_init(&f->blobs, f->options.chunk_bytes, err);
    code = code != CIS_OK ? code : cis_lay_pack_new(&f->pack, err);
    if (code != CIS_OK) {
        cis_fs_cache_free(f);
        return code;
    }
    *out_fs_cache = f;
    return CIS_OK;
}

cis_store *cis_fs_cache_store(const cis_fs_cache *fs_cache)
{
    return fs_cache->store;
}

void cis_fs_cache_free(cis_fs_cache *fs_cache)
{
    if (fs_cache == NULL) {
        return;
    }
    cis_lay_keeper_end(fs_cache);
    pthread_cond_destroy(&fs_cache->keep);
    pthread_cond_destroy(&fs_cache->kept);
    cis_lay_pack_free(fs_cache->pack);
    cis_lock_alone(lay_lock_fs_cache);
    for (struct lay_branch_cache *l = fs_cache->lines, *next; l != NULL; l = next) {
        next = l->next;
        pthread_mutex_destroy(&l->forward);
        cis_free(l);
    }
    for (struct lay_tenant *t = fs_cache->tenants, *next; t != NULL; t = next) {
        next = t->next;
        pthread_mutex_destroy(&t->numbers);
        cis_wipe(t->key, sizeof t->key);
        cis_free(t);
    }
    cis_lay_blobs_done(&fs_cache->blobs);
    cis_lay_sets_done(&fs_cache->entries);
    cis_lay_sets_done(&fs_cache->inodes);
    pthread_mutex_destroy(&fs_cache->lock);
    cis_free(fs_cache);
}

void cis_fs_cache_stats(cis_fs_cache *fs_cache, struct cis_fs_cache_stats *out)
{
    struct lay_counters *c = &fs_cache->counters;
    *out = (struct cis_fs_cache_stats){
        .entry_hits = atomic_load(&c->entry_hits),
        .entry_misses = atomic_load(&c->entry_misses),
        .inode_hits = atomic_load(&c->inode_hits),
        .inode_misses = atomic_load(&c->inode_misses),
        .chunk_hits = atomic_load(&c->chunk_hits),
        .chunk_misses = atomic_load(&c->chunk_misses),
        .store_reads = atomic_load(&c->store_reads),
        .entries = atomic_load(&fs_cache->entries.held),
        .inodes = atomic_load(&fs_cache->inodes.held),
        .chunk_bytes = cis_lay_blobs_bytes(&fs_cache->blobs),
    };
    cis_mutex_lock(&fs_cache->lock, lay_lock_fs_cache);
    for (struct lay_view *v = fs_cache->views; v != NULL; v = v->next) {
        cis_lay_view_hits(v, &out->entry_hits, &out->inode_hits);
    }
    cis_mutex_unlock(&fs_cache->lock, lay_lock_fs_cache);
}

/* ---- tenants ---- */
static struct lay_tenant *known_tenant(cis_fs_cache *fs_cache, struct cis_str name)
{
    cis_mutex_lock(&fs_cache->lock, lay_lock_fs_cache);
    struct lay_tenant *t = fs_cache->tenants;
    while (t != NULL && !cis_str_is(name, t->name)) {
        t = t->next;
    }
    cis_mutex_unlock(&fs_cache->lock, lay_lock_fs_cache);
    return t;
}

cis_code cis_lay_tenant(cis_fs_cache *fs_cache, struct cis_str name, bool may_make,
                        const struct cis_stop *stop, struct lay_tenant **out,
                        struct cis_tenant *out_row, struct cis_error *err)
{
    struct cis_tenant row;
    struct cis_str whole = name, instance;
    const struct cis_store_fs_ops *fs = fs_cache->store->fs;
    cis_fs_tenant_split(whole, &name, &instance);
    CIS_TRY(cis_store_tenant_check(name, err));
    cis_code code = fs->tenant_get(fs_cache->store, whole, &row, stop, err);
    if (code == CIS_E_NOTFOUND && may_make && instance.len == 0) {
        code = fs->tenant_create(fs_cache->store, name, getuid(), getgid(), stop, err);
        if (code == CIS_OK || code == CIS_E_EXISTS) {
            code = fs->tenant_get(fs_cache->store, name, &row, stop, err);
        }
    }
    CIS_TRY(code);
    *out_row = row;
    cis_wipe(out_row->key, sizeof out_row->key);
    struct lay_tenant *t = known_tenant(fs_cache, name);
    if (t != NULL && memcmp(t->key, row.key, sizeof t->key) == 0) {
        cis_wipe(&row, sizeof row);
        *out = t;
        return CIS_OK;
    }
    /* New here, or removed and made again: then the old one stays for the views that hold it. */
    struct lay_tenant *made = cis_zalloc(sizeof *made);
    if (made == NULL) {
        cis_wipe(&row, sizeof row);
        return cis_fail(err, CIS_E_NOMEM, "tenant: out of memory");
    }
    memcpy(made->name, name.ptr, name.len);
    memcpy(made->key, row.key, sizeof made->key);
    snprintf(made->exact, sizeof made->exact, "%s#%s", made->name, row.instance);
    cis_wipe(&row, sizeof row);
    pthread_mutex_init(&made->numbers, NULL);
    cis_lock_alone(lay_lock_numbers);
    made->batch = NUMBERS_FIRST;
    cis_mutex_lock(&fs_cache->lock, lay_lock_fs_cache);
    made->uid = (uint32_t)fs_cache->next_uid++;
    made->next = fs_cache->tenants;
    fs_cache->tenants = made;
    cis_mutex_unlock(&fs_cache->lock, lay_lock_fs_cache);
    *out = made;
    return CIS_OK;
}

cis_code cis_lay_ino_new(cis_fs_cache *fs_cache, struct lay_tenant *tenant,
                         const struct cis_stop *stop, uint64_t *out_ino, struct cis_error *err)
{
    cis_code code = CIS_OK;
    cis_mutex_lock(&tenant->numbers, lay_lock_numbers);
    if (tenant->next_ino == tenant->end_ino) {
        uint64_t first;
        code = cis_store_reserve_inodes(fs_cache->store, cis_str_of(tenant->exact), tenant->batch,
                                        &first, stop, err);
        if (code == CIS_OK) {
            tenant->next_ino = first;
            tenant->end_ino = first + tenant->batch;
            tenant->batch = tenant->batch < NUMBERS_MOST ? tenant->batch * 4 : NUMBERS_MOST;
        }
    }
    if (code == CIS_OK) {
        *out_ino = tenant->next_ino++;
    }
    cis_mutex_unlock(&tenant->numbers, lay_lock_numbers);
    return code;
}

/* ---- rows in the caches ---- */
void cis_lay_entry_put(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                       struct lay_hash hash, const struct lay_entry *entry)
{
    uint64_t row[LAY_ENTRY_WORDS] = {hash.a, hash.b,     line->uid,  entry->epoch,
                                     epoch,  entry->ino, entry->type};
    cis_lay_sets_put(&fs_cache->entries, row, &line->moving);
}

bool cis_lay_entry_get(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                       struct lay_hash hash, struct lay_entry *out)
{
    uint64_t row[LAY_ENTRY_WORDS];
    if (!cis_lay_sets_get(&fs_cache->entries, hash.a, hash.b, line->uid, epoch, row)) {
        return false;
    }
    *out = (struct lay_entry){row[LAY_W_DATA], row[LAY_W_FROM], (uint32_t)row[LAY_W_DATA + 1]};
    return true;
}

enum {
    I_MODE = LAY_W_DATA,
    I_OWNER,
    I_RDEV,
    I_SIZE,
    I_STORED,
    I_PARENT,
    I_ATIME,
    I_MTIME,
    I_CTIME,
    I_BTIME,
    I_NS_AM,
    I_NS_CB,
    I_LINKS,
};

static uint64_t pair(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

void cis_lay_inode_put(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                       const struct cis_fs_inode *row)
{
    if (row->data.len > 0) {
        struct lay_blob_key key = cis_lay_inline_key(line, row->ino, row->epoch);
        struct lay_blob *blob = cis_lay_blob_new(&key, row->data.len);
        if (blob != NULL) { /* without it the row is read again when content is wanted */
            memcpy(blob->data, row->data.ptr, row->data.len);
            cis_lay_blob_put(&fs_cache->blobs, blob);
            cis_lay_blob_unref(blob);
        }
    }
    uint64_t w[LAY_INODE_WORDS] = {row->ino, 1, line->uid, row->epoch, epoch};
    w[I_MODE] = pair(row->mode, row->is_inline ? 1 : 0);
    w[I_OWNER] = pair(row->uid, row->gid);
    w[I_RDEV] = row->rdev;
    w[I_SIZE] = row->size;
    w[I_STORED] = row->stored;
    w[I_PARENT] = row->parent;
    w[I_ATIME] = (uint64_t)row->atime.s;
    w[I_MTIME] = (uint64_t)row->mtime.s;
    w[I_CTIME] = (uint64_t)row->ctime.s;
    w[I_BTIME] = (uint64_t)row->btime.s;
    w[I_NS_AM] = pair(row->atime.ns, row->mtime.ns);
    w[I_NS_CB] = pair(row->ctime.ns, row->btime.ns);
    w[I_LINKS] = row->nlink;
    cis_lay_sets_put(&fs_cache->inodes, w, &line->moving);
}

bool cis_lay_inode_get(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                       uint64_t ino, struct cis_fs_inode *out)
{
    uint64_t w[LAY_INODE_WORDS];
    if (!cis_lay_sets_get(&fs_cache->inodes, ino, 1, line->uid, epoch, w)) {
        return false;
    }
    *out = (struct cis_fs_inode){
        .ino = ino,
        .epoch = w[LAY_W_FROM],
        .mode = (uint32_t)(w[I_MODE] >> 32),
        .is_inline = (w[I_MODE] & 1) != 0,
        .uid = (uint32_t)(w[I_OWNER] >> 32),
        .gid = (uint32_t)w[I_OWNER],
        .rdev = w[I_RDEV],
        .size = w[I_SIZE],
        .stored = w[I_STORED],
        .parent = w[I_PARENT],
        .nlink = (uint32_t)w[I_LINKS],
        .atime = {(int64_t)w[I_ATIME], (uint32_t)(w[I_NS_AM] >> 32)},
        .mtime = {(int64_t)w[I_MTIME], (uint32_t)w[I_NS_AM]},
        .ctime = {(int64_t)w[I_CTIME], (uint32_t)(w[I_NS_CB] >> 32)},
        .btime = {(int64_t)w[I_BTIME], (uint32_t)w[I_NS_CB]},
    };
    return true;
}

struct lay_blob_key cis_lay_inline_key(const struct lay_branch_cache *line, uint64_t ino,
                                       uint64_t epoch)
{
    return (struct lay_blob_key){LAY_INLINE, {line->uid, ino, epoch, 0}};
}

struct lay_blob_key cis_lay_extents_key(const struct lay_branch_cache *line, uint64_t ino,
                                        uint64_t epoch, uint64_t group)
{
    return (struct lay_blob_key){LAY_EXTENTS, {line->uid, ino, epoch, group}};
}

struct lay_blob_key cis_lay_listing_key(const struct lay_branch_cache *line, uint64_t dir,
                                        uint64_t epoch)
{
    return (struct lay_blob_key){LAY_LISTING, {line->uid, dir, epoch, 0}};
}
