/* Opening and closing a view, its table of operations, what it says about itself. */
#include "vfs/layered/view.h"

#include <stdio.h>
#include <time.h>
#include "base/clock.h"

#define OWN_BUDGET (1ull << 30)
#define DIRTY_BYTES (12ull << 20)

static void close_view(cis_vfs *vfs);

static int view_statfs(cis_vfs *vfs, const struct cis_vfs_call *call, struct cis_vfs_usage *out)
{
    struct lay_view *v = lay_of(vfs);
    (void)call;
    cis_lay_lock_all(v);
    uint64_t files = v->base_files + (uint64_t)v->files, bytes = v->base_bytes + (uint64_t)v->bytes;
    *out = (struct cis_vfs_usage){
        .bytes = bytes,
        .bytes_free = v->reader[0] != 0        ? 0
                      : v->quota_bytes == 0    ? UINT64_MAX
                      : bytes < v->quota_bytes ? v->quota_bytes - bytes
                                               : 0,
        .files = files,
        .files_free = v->reader[0] != 0        ? 0
                      : v->quota_files == 0    ? UINT64_MAX
                      : files < v->quota_files ? v->quota_files - files
                                               : 0,
    };
    cis_lay_unlock_all(v);
    return 0;
}

static const struct cis_vfs_ops view_ops = {
    .size = sizeof(struct cis_vfs_ops),
    .name = "layered",
    .close = close_view,
    .lookup = cis_lay_lookup,
    .peek = cis_lay_peek,
    .ref = cis_lay_ref,
    .forget = cis_lay_forget,
    .getattr = cis_lay_getattr,
    .setattr = cis_lay_setattr,
    .readlink = cis_lay_readlink,
    .make = cis_lay_make,
    .link = cis_lay_link,
    .unlink = cis_lay_unlink,
    .rmdir = cis_lay_rmdir,
    .rename = cis_lay_rename,
    .open = cis_lay_open_file,
    .create = cis_lay_create,
    .release = cis_lay_release_file,
    .read = cis_lay_read,
    .write = cis_lay_write,
    .sync = cis_lay_sync,
    .allocate = cis_lay_allocate,
    .seek = cis_lay_seek,
    .readdir = cis_lay_readdir,
    .statfs = view_statfs,
    .flush = cis_lay_flush,
};

void cis_lay_view_hits(struct lay_view *v, uint64_t *entry_hits, uint64_t *inode_hits)
{
    for (size_t i = 0; i < LAY_STRIPES; i++) {
        cis_mutex_lock(&v->stripes[i].lock, lay_lock_stripes);
        *entry_hits += v->stripes[i].entry_hits;
        *inode_hits += v->stripes[i].inode_hits;
        cis_mutex_unlock(&v->stripes[i].lock, lay_lock_stripes);
    }
}

static void view_list(struct lay_view *v)
{
    cis_fs_cache *f = v->fs_cache;
    cis_mutex_lock(&f->lock, lay_lock_fs_cache);
    v->next = f->views;
    v->link = &f->views;
    if (v->next != NULL) {
        v->next->link = &v->next;
    }
    f->views = v;
    cis_lay_keeper_start(f);
    cis_mutex_unlock(&f->lock, lay_lock_fs_cache);
}

static void view_unlist(struct lay_view *v)
{
    cis_fs_cache *f = v->fs_cache;
    uint64_t entry_hits = 0, inode_hits = 0;
    cis_mutex_lock(&f->lock, lay_lock_fs_cache);
    cis_lay_keeper_leave(v);
    cis_lay_view_hits(v, &entry_hits, &inode_hits);
    *v->link = v->next;
    if (v->next != NULL) {
        v->next->link = v->link;
    }
    cis_mutex_unlock(&f->lock, lay_lock_fs_cache);
    atomic_fetch_add(&f->counters.entry_hits, entry_hits);
    atomic_fetch_add(&f->counters.inode_hits, inode_hits);
}

static void overlay_free(struct lay_view *v)
{
    cis_lock_alone(lay_lock_stripes);
    cis_lay_drop_all(v);
    cis_lay_table_done(&v->nodes);
    cis_lay_table_done(&v->names);
}

static void view_free(struct lay_view *v)
{
    cis_lock_alone(lay_lock_spilling);
    cis_lay_load_free(v, cis_take(&v->load));
    overlay_free(v);
    cis_lay_unpin(v);
    cis_lay_branch_cache_leave(v->fs_cache, v->line);
    for (size_t i = 0; i < LAY_STRIPES; i++) {
        pthread_mutex_destroy(&v->stripes[i].lock);
        cis_free(v->stripes[i].refs.slots);
    }
    for (size_t i = 0; i < LAY_WRITE_LOCKS; i++) {
        pthread_mutex_destroy(&v->writes[i]);
    }
    pthread_mutex_destroy(&v->committing);
    pthread_mutex_destroy(&v->spilling);
    pthread_mutex_destroy(&v->pinning);
    cis_free(v);
}

static void close_view(cis_vfs *vfs)
{
    struct lay_view *v = lay_of(vfs);
    view_unlist(v);
    view_free(v);
}

static void real_time(struct timespec *out)
{
    clock_gettime(CLOCK_REALTIME, out);
}

static struct lay_view *view_new(cis_fs_cache *fs_cache, const struct cis_layered_options *o)
{
    struct lay_view *v = cis_zalloc(sizeof *v);
    if (v == NULL) {
        return NULL;
    }
    v->fs_cache = fs_cache;
    v->vfs = (cis_vfs){.ops = &view_ops,
                       .root = CIS_FS_ROOT,
                       .read_only = o->read_only,
                       .dirs_once = !o->auto_commit};
    for (size_t i = 0; i < LAY_STRIPES; i++) {
        pthread_mutex_init(&v->stripes[i].lock, NULL);
    }
    for (size_t i = 0; i < LAY_WRITE_LOCKS; i++) {
        pthread_mutex_init(&v->writes[i], NULL);
    }
    pthread_mutex_init(&v->committing, NULL);
    pthread_mutex_init(&v->spilling, NULL);
    pthread_mutex_init(&v->pinning, NULL);
    snprintf(v->kind, sizeof v->kind, "%s", o->kind != NULL ? o->kind : "");
    snprintf(v->note, sizeof v->note, "%s", o->note != NULL ? o->note : "");
    v->empty = o->empty;
    v->auto_commit = o->auto_commit && !o->empty;
    v->takes_back = o->takes_back;
    v->stored_max = o->stored_max;
    v->compress = !o->no_compress;
    v->fence = o->fence;
    v->dirty_max = o->dirty_bytes != 0 ? o->dirty_bytes : DIRTY_BYTES;
    v->clock = o->clock != NULL ? o->clock : real_time;
    v->union_names = o->kept;
    v->own_budget.limit = OWN_BUDGET;
    v->budget = o->budget != NULL ? o->budget : &v->own_budget;
    return v;
}

/* Which state is looked at: the ref's head, or another one that is still kept. */
static cis_code find_state(struct lay_view *v, const struct cis_layered_options *o,
                           const struct cis_stop *stop, struct cis_error *err)
{
    const struct cis_store_fs_ops *fs = v->fs_cache->store->fs;
    struct cis_str tenant = v->who;
    struct cis_fs_ref ref;
    v->head = true;
    if (o->at.branch == 0 || o->ref.len > 0) {
        CIS_TRY(fs->ref_get(v->fs_cache->store, tenant, o->ref, &ref, stop, err));
        snprintf(v->ref, sizeof v->ref, "%s", ref.name);
        v->at = ref.head;
        v->base_files = ref.files;
        v->base_bytes = ref.bytes;
    }
    if (!v->vfs.read_only && !o->empty) {
        CIS_TRY(cis_fs_ref_check_writer(cis_str_of(v->ref), cis_str_of(v->kind), err));
    }
    if (o->empty) { /* kept for ever: needs no pin */
        struct cis_view zero = {v->at.branch, 0};
        v->base_files = v->base_bytes = 0;
        CIS_TRY(fs->view_check(v->fs_cache->store, tenant, zero, &v->at, stop, err));
    } else if (o->at.branch != 0 && (o->at.branch != v->at.branch || o->at.epoch != v->at.epoch)) {
        v->head = false;
        v->vfs.read_only = true;
        CIS_TRY(fs->view_check(v->fs_cache->store, tenant, o->at, &v->at, stop, err));
        CIS_TRY(cis_lay_pin(v, v->at, stop, err));
    } else if (o->at.branch != 0 && o->ref.len == 0) {
        v->vfs.read_only = true;
    }
    atomic_store(&v->opened_ns, cis_clock_mono_ns());
    return CIS_OK;
}

/* Of the publisher nothing is taken over but the tree. Whatever is not there, the answer is that it
 * is not published. */
static cis_code open_guest(struct lay_view *v, const struct cis_layered_options *o,
                           const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_fs_ref ref;
    struct cis_tenant row;
    CIS_TRY(cis_store_tenant_check(o->tenant, err));
    CIS_TRY(cis_store_tenant_check(o->from, err));
    if (!cis_fs_ref_valid(o->ref) || o->at.branch != 0 || o->empty) {
        return cis_fail(err, CIS_E_USAGE,
                        "another tenant's branch can be read only by its name, at its head");
    }
    cis_code code = cis_lay_tenant(v->fs_cache, o->from, false, stop, &v->tenant, &row, err);
    if (code == CIS_E_NOTFOUND) {
        return cis_fs_publish_refuse(o->from, o->ref, o->tenant, false, err);
    }
    CIS_TRY(code);
    v->who = cis_str_of(v->tenant->exact);
    v->vfs.read_only = true;
    v->auto_commit = false;
    memcpy(v->reader, o->tenant.ptr, o->tenant.len);
    memcpy(v->ref, o->ref.ptr, o->ref.len);
    CIS_TRY(cis_lay_guest_enter(v, &ref, stop, err));
    v->at = ref.head;
    v->base_files = ref.files;
    v->base_bytes = ref.bytes;
    return CIS_OK;
}

static cis_code open_own(struct lay_view *v, const struct cis_layered_options *o,
                         const struct cis_stop *stop, struct cis_error *err)
{
    struct cis_tenant row;
    CIS_TRY(cis_lay_tenant(v->fs_cache, o->tenant, !o->read_only, stop, &v->tenant, &row, err));
    cis_lock_alone(lay_lock_stripes);
    v->who = cis_str_of(v->tenant->exact);
    v->quota_files = o->takes_back ? 0 : row.quota_files;
    v->quota_bytes = o->takes_back ? 0 : row.quota_bytes;
    v->quota_stored = o->takes_back ? 0 : row.quota_stored;
    v->stored = row.stored;
    return find_state(v, o, stop, err);
}

cis_code cis_layered_open(cis_fs_cache *fs_cache, const struct cis_layered_options *options,
                          const struct cis_stop *stop, cis_vfs **out_vfs, struct cis_error *err)
{
    struct cis_layered_options o = CIS_LAYERED_OPTIONS_INIT;
    memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    if (cis_str_eq(o.from, o.tenant)) { /* everybody may read what is their own */
        o.read_only = true;
        o.from.len = 0;
    }
    struct lay_view *v = view_new(fs_cache, &o);
    if (v == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "view: out of memory");
    }
    cis_code code = o.from.len != 0 ? open_guest(v, &o, stop, err) : open_own(v, &o, stop, err);
    code = code != CIS_OK
               ? code
               : cis_lay_branch_cache_enter(fs_cache, v->tenant, v->at, stop, &v->line, err);
    if (code == CIS_OK && v->auto_commit) { /* with its lease taken */
        code = cis_lay_quota_again(v, stop, err);
    }
    if (code != CIS_OK) {
        view_free(v);
        return code;
    }
    view_list(v);
    *out_vfs = &v->vfs;
    return CIS_OK;
}
