/* Lines: what the caches know of one branch, and how they move on with its commits. A line that
 * cannot be carried forward (its log is gone, too long or damaged) is replaced by a new one, whose
 * caches are empty; views of the old one go on with it. */
#include "vfs/layered/fs_cache.h"

#include "base/mem.h"
#include "store/commit.h"
#include "store/calls.h"

enum { LINES_MAX = 1024, COMMITS_MAX = 10000 };

static struct lay_branch_cache *line_new(cis_fs_cache *fs_cache, struct lay_tenant *tenant,
                                         struct cis_view at, struct cis_error *err)
{
    struct lay_branch_cache *line = cis_zalloc(sizeof *line);
    if (line == NULL) {
        cis_fail(err, CIS_E_NOMEM, "branch cache: out of memory");
        return NULL;
    }
    cis_lock_alone(lay_lock_forward);
    line->tenant = tenant;
    line->branch = at.branch;
    line->known = at.epoch;
    atomic_init(&line->moving, at.epoch);
    atomic_init(&line->views, 1);
    pthread_mutex_init(&line->forward, NULL);
    cis_mutex_lock(&fs_cache->lock, lay_lock_fs_cache);
    line->uid = fs_cache->next_uid++;
    cis_mutex_unlock(&fs_cache->lock, lay_lock_fs_cache);
    return line;
}

static void line_free(struct lay_branch_cache *line)
{
    pthread_mutex_destroy(&line->forward);
    cis_free(line);
}

/* The one in the list, with a reference. */
static struct lay_branch_cache *line_find(cis_fs_cache *fs_cache, const struct lay_tenant *tenant,
                                          uint64_t branch) CIS_REQUIRES(lay_lock_fs_cache)
{
    for (struct lay_branch_cache **at = &fs_cache->lines; *at != NULL; at = &(*at)->next) {
        struct lay_branch_cache *line = *at;
        if (line->tenant == tenant && line->branch == branch) {
            *at = line->next; /* to the front */
            line->next = fs_cache->lines;
            fs_cache->lines = line;
            atomic_fetch_add(&line->views, 1);
            return line;
        }
    }
    return NULL;
}

/* The oldest line that nobody uses goes when there are too many. */
static struct lay_branch_cache *line_spare(cis_fs_cache *fs_cache) CIS_REQUIRES(lay_lock_fs_cache)
{
    struct lay_branch_cache **last = NULL;
    if (fs_cache->nlines <= LINES_MAX) {
        return NULL;
    }
    for (struct lay_branch_cache **at = &fs_cache->lines; *at != NULL; at = &(*at)->next) {
        if (atomic_load(&(*at)->views) == 0) {
            last = at;
        }
    }
    struct lay_branch_cache *line = last != NULL ? *last : NULL;
    if (line != NULL) {
        *last = line->next;
        fs_cache->nlines--;
    }
    return line;
}

static void line_list(cis_fs_cache *fs_cache, struct lay_branch_cache *line,
                      struct lay_branch_cache *instead)
{
    cis_mutex_lock(&fs_cache->lock, lay_lock_fs_cache);
    if (instead != NULL) {
        for (struct lay_branch_cache **at = &fs_cache->lines; *at != NULL; at = &(*at)->next) {
            if (*at == instead) {
                *at = instead->next;
                instead->unlisted = true;
                fs_cache->nlines--;
                break;
            }
        }
    }
    line->next = fs_cache->lines;
    fs_cache->lines = line;
    fs_cache->nlines++;
    struct lay_branch_cache *spare = line_spare(fs_cache);
    cis_mutex_unlock(&fs_cache->lock, lay_lock_fs_cache);
    if (spare != NULL) {
        line_free(spare);
    }
}

void cis_lay_branch_cache_hold(struct lay_branch_cache *line)
{
    atomic_fetch_add(&line->views, 1);
}

void cis_lay_branch_cache_leave(cis_fs_cache *fs_cache, struct lay_branch_cache *line)
{
    if (line == NULL) {
        return;
    }
    cis_mutex_lock(&fs_cache->lock, lay_lock_fs_cache);
    bool last = atomic_fetch_sub(&line->views, 1) == 1 && line->unlisted;
    cis_mutex_unlock(&fs_cache->lock, lay_lock_fs_cache);
    if (last) {
        line_free(line);
    }
}

/* ---- forward ---- */
struct forward {
    cis_fs_cache *fs_cache;
    struct lay_branch_cache *line;
    uint64_t next; /* epoch that must come now */
    bool broken;
};

static void close_inode(struct forward *w, uint64_t ino, uint64_t epoch)
{
    cis_lay_sets_close(&w->fs_cache->inodes, ino, 1, w->line->uid, epoch);
}

static void close_entry(struct forward *w, uint64_t dir, struct cis_str name, uint64_t ino,
                        uint32_t type, uint64_t epoch)
{
    struct lay_hash h = cis_lay_hash(&w->fs_cache->key, dir, name);
    if (cis_lay_sets_close(&w->fs_cache->entries, h.a, h.b, w->line->uid, epoch)) {
        /* Somebody asked for it before: what it is now is in the key. */
        struct lay_entry now = {ino, epoch, type};
        uint64_t row[LAY_ENTRY_WORDS] = {h.a, h.b, w->line->uid, epoch, epoch, now.ino, now.type};
        if (atomic_load(&w->line->moving) == epoch) {
            cis_lay_sets_put(&w->fs_cache->entries, row, &w->line->moving);
        }
    }
    close_inode(w, dir, epoch);
}

static bool forward_commit(void *self, const struct cis_fs_commit_row *row)
{
    struct forward *w = self;
    size_t at = 0;
    if (row->epoch != w->next) {
        w->broken = true; /* the log has a gap */
        return false;
    }
    for (;;) {
        struct cis_key key;
        bool more;
        if (cis_keys_next(row->keys, &at, &key, &more, NULL) != CIS_OK) {
            w->broken = true;
            return false;
        }
        if (!more) {
            break;
        }
        if (key.kind == CIS_KEY_DIRENT) {
            close_entry(w, key.ino, key.name, key.target, key.type, row->epoch);
        } else if (key.kind != CIS_KEY_MEMORY) {
            close_inode(w, key.ino, row->epoch);
        }
    }
    w->next += row->keys_more ? 0 : 1;
    return true;
}

/* False: the line is of no use for the epoch. */
static bool forward_to(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                       const struct cis_stop *stop, struct cis_error *err, cis_code *out_code)
    CIS_REQUIRES(lay_lock_forward)
{
    *out_code = CIS_OK;
    if (line->known >= epoch) {
        return true;
    }
    if (epoch - line->known > COMMITS_MAX || atomic_load(&line->moving) != line->known) {
        return false;
    }
    struct forward w = {fs_cache, line, line->known + 1, false};
    atomic_store(&line->moving, epoch); /* before any key: see cis_lay_sets_put */
    cis_lay_count(fs_cache->counters.store_reads);
    cis_code code = cis_store_commits(
        fs_cache->store, cis_str_of(line->tenant->exact),
        &(struct cis_fs_log_query){
            .branch = line->branch, .after = line->known, .upto = epoch, .keys = true},
        forward_commit, &w, stop, err);
    if (code == CIS_OK && !w.broken && w.next == epoch + 1) {
        line->known = epoch;
        return true;
    }
    /* moving stays ahead: nothing that is read now stays open, and nobody enters this line. */
    if (code == CIS_E_DEADLINE || code == CIS_E_CANCELLED) {
        *out_code = code;
    }
    return false;
}

/* A new line in the place of one that cannot go on. */
static cis_code replace(cis_fs_cache *fs_cache, struct lay_branch_cache **line, struct cis_view at,
                        struct cis_error *err)
{
    struct lay_branch_cache *old = *line, *made = line_new(fs_cache, old->tenant, at, err);
    if (made == NULL) {
        return CIS_E_NOMEM;
    }
    line_list(fs_cache, made, old);
    cis_lay_branch_cache_leave(fs_cache, old);
    *line = made;
    return CIS_OK;
}

cis_code cis_lay_branch_cache_enter(cis_fs_cache *fs_cache, struct lay_tenant *tenant,
                                    struct cis_view at, const struct cis_stop *stop,
                                    struct lay_branch_cache **out, struct cis_error *err)
{
    cis_mutex_lock(&fs_cache->lock, lay_lock_fs_cache);
    struct lay_branch_cache *line = line_find(fs_cache, tenant, at.branch);
    cis_mutex_unlock(&fs_cache->lock, lay_lock_fs_cache);
    if (line == NULL) {
        line = line_new(fs_cache, tenant, at, err);
        if (line == NULL) {
            return CIS_E_NOMEM;
        }
        line_list(fs_cache, line, NULL); /* two at once: the older one is used up by its view */
        *out = line;
        return CIS_OK;
    }
    cis_code code;
    cis_mutex_lock(&line->forward, lay_lock_forward);
    bool good = forward_to(fs_cache, line, at.epoch, stop, err, &code);
    cis_mutex_unlock(&line->forward, lay_lock_forward);
    if (code == CIS_OK && !good) {
        code = replace(fs_cache, &line, at, err);
    }
    if (code != CIS_OK) {
        cis_lay_branch_cache_leave(fs_cache, line);
        return code;
    }
    *out = line;
    return CIS_OK;
}

static void put_news(cis_fs_cache *fs_cache, struct lay_branch_cache *line, uint64_t epoch,
                     const struct lay_news *news)
{
    struct forward w = {fs_cache, line, epoch, false};
    for (size_t i = 0; i < news->nchanges; i++) {
        close_inode(&w, news->changes[i].inode.ino, epoch);
    }
    for (size_t i = 0; i < news->ndeltas; i++) {
        close_inode(&w, news->deltas[i].ino, epoch);
    }
    for (size_t i = 0; i < news->ndirents; i++) {
        const struct cis_fs_dirent *d = &news->dirents[i];
        struct lay_hash h = cis_lay_hash(&fs_cache->key, d->parent, d->name);
        cis_lay_sets_close(&fs_cache->entries, h.a, h.b, line->uid, epoch);
        struct lay_entry entry = {d->ino, epoch, d->mode & S_IFMT};
        cis_lay_entry_put(fs_cache, line, epoch, h, &entry);
    }
    for (size_t i = 0; i < news->nchanges; i++) {
        const struct cis_fs_change *c = &news->changes[i];
        if (c->kind == CIS_FS_PUT && !c->inode.gone) {
            struct cis_fs_inode row = c->inode;
            row.epoch = epoch;
            cis_lay_inode_put(fs_cache, line, epoch, &row);
        }
    }
}

cis_code cis_lay_branch_cache_committed(cis_fs_cache *fs_cache, struct lay_branch_cache **line,
                                        struct cis_view at, const struct lay_news *news,
                                        const struct cis_stop *stop, struct cis_error *err)
{
    struct lay_branch_cache *l = *line;
    cis_code code;
    cis_mutex_lock(&l->forward, lay_lock_forward);
    bool good = l->branch == at.branch && forward_to(fs_cache, l, at.epoch - 1, stop, err, &code);
    if (good && l->known == at.epoch - 1) {
        atomic_store(&l->moving, at.epoch);
        put_news(fs_cache, l, at.epoch, news);
        l->known = at.epoch;
    }
    cis_mutex_unlock(&l->forward, lay_lock_forward);
    return good ? CIS_OK : replace(fs_cache, line, at, err);
}
