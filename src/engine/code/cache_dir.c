/* The folder of the code cache: opening it safely, listing and pruning. Many processes do this at
 * once; a file that another one removed first is no failure. */
#include "engine/code/cache_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#define TEMP_AGE_MS                                                                                \
    (10 * 60 * 1000) /* a half-written file older than this has no writer any more */
#define ENTRIES_MAX 1000000u

cis_code cis_cache_dir_open(const char *path, bool make, int *out_fd, struct cis_error *err)
{
    if (make) {
        CIS_TRY(cis_file_mkdirs(path, 0700, err));
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        int sys = errno;
        cis_code code = sys == ENOENT                    ? CIS_E_NOTFOUND
                        : sys == ELOOP || sys == ENOTDIR ? CIS_E_DENIED
                                                         : CIS_E_IO;
        return cis_fail_sys(err, code, sys, "%s: code cache", path);
    }
    struct stat st;
    cis_code code = CIS_OK;
    if (fstat(fd, &st) != 0) {
        code = cis_fail_sys(err, CIS_E_IO, errno, "%s: code cache", path);
    } else if (st.st_uid != geteuid()) {
        code =
            cis_fail(err, CIS_E_DENIED,
                     "%s: the code cache belongs to another user (uid %u); choose another folder",
                     path, (unsigned)st.st_uid);
    } else if ((st.st_mode & 022) != 0) {
        code = cis_fail(err, CIS_E_DENIED,
                        "%s: the code cache can be written by others (mode %04o); chmod 700 it or "
                        "remove it",
                        path, (unsigned)st.st_mode & 07777u);
    }
    if (code != CIS_OK) {
        close(fd);
        return code;
    }
    *out_fd = fd;
    return CIS_OK;
}

struct found {
    char name[CIS_CACHE_NAME];
    uint64_t bytes;
    int64_t used_ms;
    bool temp, known;
};

struct listing {
    struct found *items;
    size_t n, cap;
    uint64_t bytes;
};

static void listing_done(struct listing *l)
{
    cis_free(l->items);
}

static bool is_entry(const char *name)
{
    return strspn(name, "0123456789abcdef") == 64 && name[64] == '-' &&
           strlen(name) < CIS_CACHE_NAME;
}

static bool starts(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool listing_add(struct listing *l, const char *name, const struct stat *st, bool temp)
{
    if (l->n == l->cap) {
        size_t cap = cis_cap_next(l->cap, 64, CIS_MEM_MAX);
        struct found *items = cis_realloc_array(l->items, cap, sizeof *items);
        if (items == NULL || cap > ENTRIES_MAX) {
            return false;
        }
        l->items = items;
        l->cap = cap;
    }
    struct found *f = &l->items[l->n++];
    snprintf(f->name, sizeof f->name, "%s", name);
    f->bytes = (uint64_t)st->st_size;
    f->used_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
    f->temp = temp;
    f->known = starts(name, CIS_CACHE_KNOWN);
    l->bytes += f->bytes;
    return true;
}

static int by_age(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->used_ms < y->used_ms ? -1 : x->used_ms > y->used_ms;
}

/* Everything that is ours, oldest first; false when out of memory. */
static bool listing_read(int fd, struct listing *l)
{
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* its own read position */
    DIR *dir = own >= 0 ? fdopendir(own) : NULL;
    if (dir == NULL) {
        if (own >= 0) {
            close(own);
        }
        return false;
    }
    bool whole = true;
    for (struct dirent *e; whole && (e = readdir(dir)) != NULL;) {
        bool temp = starts(e->d_name, CIS_CACHE_TEMP);
        struct stat st;
        if ((temp || starts(e->d_name, CIS_CACHE_KNOWN) || is_entry(e->d_name)) &&
            strlen(e->d_name) < CIS_CACHE_NAME &&
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            whole = listing_add(l, e->d_name, &st, temp);
        }
    }
    closedir(dir);
    if (l->n > 1) {
        qsort(l->items, l->n, sizeof *l->items, by_age);
    }
    return whole;
}

void cis_cache_dir_prune(int fd, uint64_t max_bytes, uint64_t *out_freed)
{
    CIS_CLEANUP(listing_done) struct listing l = {0};
    listing_read(fd, &l);
    int64_t now = cis_clock_wall_ms();
    uint64_t freed = 0;
    for (size_t i = 0; i < l.n; i++) {
        const struct found *f = &l.items[i];
        bool dead = f->temp && (max_bytes == 0 || now - f->used_ms > TEMP_AGE_MS);
        if ((dead || (!f->temp && l.bytes > max_bytes)) && unlinkat(fd, f->name, 0) == 0) {
            freed += f->bytes;
            l.bytes -= f->bytes;
        }
    }
    if (out_freed != NULL) {
        *out_freed = freed;
    }
}

cis_code cis_cache_list(const char *cache_dir,
                        int (*each)(void *self, const struct cis_cache_entry *), void *self,
                        struct cis_error *err)
{
    int fd;
    cis_code code = cis_cache_dir_open(cache_dir, false, &fd, err);
    if (code == CIS_E_NOTFOUND) {
        return CIS_OK;
    }
    CIS_TRY(code);
    CIS_CLEANUP(listing_done) struct listing l = {0};
    bool whole = listing_read(fd, &l);
    close(fd);
    if (!whole) {
        return cis_fail(err, CIS_E_NOMEM, "%s: cannot list the code cache", cache_dir);
    }
    for (size_t i = l.n; i > 0;) { /* last used first */
        i--;
        const struct found *f = &l.items[i];
        struct cis_cache_entry entry = {.bytes = f->bytes, .used_ms = f->used_ms};
        memcpy(entry.name, f->name, 64);
        if (!f->temp && !f->known && each(self, &entry) != 0) {
            break;
        }
    }
    return CIS_OK;
}

cis_code cis_cache_prune(const char *cache_dir, uint64_t max_bytes, uint64_t *out_bytes,
                         struct cis_error *err)
{
    int fd;
    cis_code code = cis_cache_dir_open(cache_dir, false, &fd, err);
    if (code == CIS_E_NOTFOUND) {
        *out_bytes = 0;
        return CIS_OK;
    }
    CIS_TRY(code);
    cis_cache_dir_prune(fd, max_bytes, out_bytes);
    close(fd);
    return CIS_OK;
}

cis_code cis_cache_clear(const char *cache_dir, uint64_t *out_bytes, struct cis_error *err)
{
    return cis_cache_prune(cache_dir, 0, out_bytes, err);
}
