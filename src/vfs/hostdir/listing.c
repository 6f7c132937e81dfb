#include "vfs/hostdir/internal.h"

#include <dirent.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

/* A listing is read whole when it is asked for from the start, and kept: cookies are positions in
 * it, so they stay right whatever happens to the directory and whatever filesystem the host has.
 * Names that are gone by the time they are shown are left out. */

#define LISTING_MAX (256u * 1024u * 1024u)
#define LISTING_SETTLED_NS (100ull * 1000000ull) /* coarser than any clock that stamps folders */

struct item {
    uint64_t ino;
    uint32_t name; /* offset in names; NUL-terminated there */
    uint16_t name_len;
    uint8_t type; /* DT_ */
};

struct host_listing {
    _Atomic uint32_t refs;
    struct cis_buf items, names;
    struct timespec mtime, ctime; /* of the folder, before it was read; ctime: nobody can set it */
    bool settled;                 /* the same times later mean: nothing has changed */
    struct cis_budget *budget;
    uint64_t charged;
};

void cis_hostdir_listing_unref(struct host_listing *listing)
{
    if (listing != NULL &&
        atomic_fetch_sub_explicit(&listing->refs, 1, memory_order_acq_rel) == 1) {
        if (listing->charged != 0) {
            cis_budget_release(listing->budget, listing->charged);
        }
        cis_buf_done(&listing->items);
        cis_buf_done(&listing->names);
        cis_free(listing);
    }
}

static int listing_charge(struct host_listing *listing, struct cis_budget *budget)
{
    uint64_t bytes = (uint64_t)listing->items.cap + listing->names.cap;
    if (budget == NULL) {
        return 0;
    }
    if (cis_budget_charge(budget, bytes, "listing", NULL) != CIS_OK) {
        return ENOMEM;
    }
    listing->budget = budget;
    listing->charged = bytes;
    return 0;
}

static void item_add(struct host_listing *listing, const char *name, uint64_t ino, uint8_t type)
{
    size_t len = strlen(name);
    struct item item = {ino, (uint32_t)listing->names.len, (uint16_t)len, type};
    cis_buf_add(&listing->items, &item, sizeof item);
    cis_buf_add(&listing->names, name, len + 1);
}

/* Types that the host does not tell are asked for when shown; what is not shown goes here. */
static bool item_wanted(const struct hostdir *fs, const struct dirent64 *entry)
{
    uint8_t type = entry->d_type;
    return type == DT_UNKNOWN || cis_hostdir_shown(fs, (uint32_t)DTTOIF(type));
}

struct dots {
    uint64_t up;
    bool seen;
};

static int read_part(struct hostdir *fs, const char *part, size_t len, dev_t dev,
                     struct host_listing *listing, struct dots *dots)
{
    for (size_t at = 0; at < len;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(part + at);
        if (strcmp(entry->d_name, ".") == 0) {
            dots->seen = true;
        } else if (strcmp(entry->d_name, "..") == 0) {
            dots->up = cis_hostdir_shown_ino(fs, entry->d_ino, dev);
        } else if (item_wanted(fs, entry)) {
            item_add(listing, entry->d_name, cis_hostdir_shown_ino(fs, entry->d_ino, dev),
                     entry->d_type);
        }
        at += entry->d_reclen;
    }
    return listing->items.failed != CIS_OK || listing->names.failed != CIS_OK ? ENOMEM : 0;
}

/* A descriptor of its own: the file's position is not touched, other threads may read too. */
static int read_all(struct hostdir *fs, const struct cis_vfs_call *call, int fd, dev_t dev,
                    struct host_listing *listing, struct dots *dots)
{
    _Alignas(8) char part[32768];
    for (;;) {
        if (call->stop != NULL && cis_stop_check(call->stop, "listing", NULL) != CIS_OK) {
            return EINTR;
        }
        long n = syscall(SYS_getdents64, fd, part, sizeof part);
        if (n < 0) {
            return errno == ENOENT ? 0 : errno; /* the folder was removed: it is empty */
        }
        if (n == 0) {
            return 0;
        }
        int rc = read_part(fs, part, (size_t)n, dev, listing, dots);
        if (rc != 0) {
            return rc;
        }
    }
}

static bool time_settled(const struct timespec *stamp)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    /* What a file says may be any time: it is compared, and only a near one is counted with. */
    if (stamp->tv_sec < now.tv_sec - 1 || stamp->tv_sec > now.tv_sec) {
        return stamp->tv_sec < now.tv_sec;
    }
    int64_t age =
        (now.tv_sec - stamp->tv_sec) * (int64_t)CIS_NS_PER_S + (now.tv_nsec - stamp->tv_nsec);
    return age > (int64_t)LISTING_SETTLED_NS;
}

static int listing_new(struct host_file *own, const struct cis_vfs_call *call,
                       struct host_listing **out)
{
    struct hostdir *fs = host_of(own->file.vfs);
    const struct host_node *node = host_node_of(own->file.node);
    struct cis_vfs_attr attr;
    int rc = cis_hostdir_stat(fs, node->fd, "", &attr, NULL);
    int fd = rc == 0 ? openat(node->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return rc != 0 ? rc : errno;
    }
    struct host_listing *listing = cis_zalloc(sizeof *listing);
    if (listing == NULL) {
        close(fd);
        return ENOMEM;
    }
    atomic_init(&listing->refs, 1);
    struct cis_budget *budget = call->budget != NULL ? call->budget : fs->budget;
    uint64_t left = cis_budget_left(budget) / 2; /* for each of the two buffers */
    size_t most = left < LISTING_MAX ? (size_t)left : LISTING_MAX;
    listing->items = CIS_BUF_INIT(most);
    listing->names = CIS_BUF_INIT(most);
    listing->mtime = attr.mtime;
    listing->ctime = attr.ctime;
    listing->settled = time_settled(&attr.mtime) && time_settled(&attr.ctime);
    struct dots dots = {attr.ino, false};
    item_add(listing, ".", 0, DT_DIR);
    item_add(listing, "..", 0, DT_DIR);
    rc = read_all(fs, call, fd, node->dev, listing, &dots);
    close(fd);
    if (call->entries != NULL) {
        *call->entries += listing->items.len / sizeof(struct item);
    }
    if (rc == 0) {
        rc = listing->items.failed != CIS_OK ? ENOMEM : listing_charge(listing, budget);
    }
    if (rc != 0) {
        cis_hostdir_listing_unref(listing);
        return rc;
    }
    struct item *items = (struct item *)(void *)listing->items.ptr;
    items[0].ino = attr.ino;
    items[1].ino = node == &fs->root ? attr.ino : dots.up;
    if (!dots.seen) {
        cis_buf_reset(&listing->items); /* removed: not even "." is left */
    }
    *out = listing;
    return 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool unchanged(const struct hostdir *fs, int fd, const struct host_listing *listing)
{
    struct cis_vfs_attr attr;
    return listing->settled && cis_hostdir_stat(fs, fd, "", &attr, NULL) == 0 &&
           same_time(&attr.mtime, &listing->mtime) && same_time(&attr.ctime, &listing->ctime);
}

/* From the start it is read anew, unless nothing has changed since: a guest that asks for the first
 * entries again and again would have the whole folder read each time. */
static int listing_get(struct host_file *own, const struct cis_vfs_call *call, uint64_t cookie,
                       struct host_listing **out)
{
    cis_mutex_lock(&own->lock, host_lock_file);
    struct host_listing *listing = own->listing;
    if (listing != NULL && (cookie != 0 || unchanged(host_of(own->file.vfs),
                                                     host_node_of(own->file.node)->fd, listing))) {
        atomic_fetch_add_explicit(&listing->refs, 1, memory_order_relaxed);
        cis_mutex_unlock(&own->lock, host_lock_file);
        *out = listing;
        return 0;
    }
    cis_mutex_unlock(&own->lock, host_lock_file);
    int rc = listing_new(own, call, &listing);
    if (rc != 0) {
        return rc;
    }
    atomic_fetch_add_explicit(&listing->refs, 1, memory_order_relaxed);
    cis_mutex_lock(&own->lock, host_lock_file);
    struct host_listing *old = own->listing;
    own->listing = listing;
    cis_mutex_unlock(&own->lock, host_lock_file);
    cis_hostdir_listing_unref(old);
    *out = listing;
    return 0;
}

/* Where an item's attributes are: ".." of the root is the root. */
static int item_stat(const struct hostdir *fs, const struct host_node *dir, const char *name,
                     struct cis_vfs_attr *out)
{
    bool up = strcmp(name, "..") == 0;
    return cis_hostdir_stat(fs, dir->fd, up && dir == &fs->root ? "" : name, out, NULL);
}

int cis_hostdir_readdir(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t cookie,
                        bool attributes, cis_vfs_entry_each *each, void *self)
{
    struct host_file *own = host_file_of(file);
    struct hostdir *fs = host_of(file->vfs);
    const struct host_node *dir = host_node_of(file->node);
    if (dir->type != S_IFDIR) {
        return ENOTDIR;
    }
    struct host_listing *listing = NULL;
    int rc = listing_get(own, call, cookie, &listing);
    if (rc != 0) {
        return rc;
    }
    const struct item *items = (const struct item *)(const void *)listing->items.ptr;
    uint64_t count = listing->items.len / sizeof *items;
    bool trust = unchanged(fs, dir->fd, listing);
    for (uint64_t i = cookie; i < count; i++) {
        const char *name = (const char *)listing->names.ptr + items[i].name;
        struct cis_vfs_entry entry = {
            {name, items[i].name_len}, items[i].ino, (uint32_t)DTTOIF(items[i].type), i + 1};
        struct cis_vfs_attr attr;
        if (attributes || items[i].type == DT_UNKNOWN || (!trust && i >= 2)) {
            if (item_stat(fs, dir, name, &attr) != 0 || !cis_hostdir_shown(fs, attr.mode)) {
                continue;
            }
            entry.ino = attr.ino;
            entry.type = attr.mode & S_IFMT;
        }
        if (!each(self, &entry, attributes ? &attr : NULL)) {
            break;
        }
    }
    cis_hostdir_listing_unref(listing);
    return 0;
}
