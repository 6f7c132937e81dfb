/* Reading folders: copying one into a tree, and hashing what a package holds. */
#include "skill/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/mem.h"

#define CHUNK 65536

/* What a walk does with a regular file (open, checked) and with a folder. */
struct walk {
    const char *source;
    void *self;
    size_t seen; /* entries, hidden ones too */
    cis_code (*dir)(void *self, struct cis_str path, struct cis_error *err); /* may be NULL */
    cis_code (*file)(void *self, int fd, struct cis_str path, struct cis_error *err);
};

static void close_list(DIR **list)
{
    if (*list != NULL) {
        closedir(*list);
    }
}

static cis_code walk_dir(struct walk *w, int dir, const char *prefix, struct cis_error *err);

static cis_code walk_entry(struct walk *w, int dir, const char *path, const char *name,
                           struct cis_error *err)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s/%s", w->source, path);
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        return cis_fail(err, CIS_E_INVALID, "%s/%s: %s: only files and folders make a skill",
                        w->source, path,
                        S_ISLNK(st.st_mode) ? "a symbolic link" : "a device, pipe or socket");
    }
    if (!cis_skill_path_valid(cis_str_of(path))) {
        return cis_fail(err, CIS_E_INVALID, "%s: \"%.80s\" is not a path inside a skill", w->source,
                        path);
    }
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    CIS_CLEANUP(cis_close_fd)
    int fd = openat(dir, name, S_ISDIR(st.st_mode) ? flags | O_DIRECTORY : flags);
    struct stat now;
    if (fd < 0 || fstat(fd, &now) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s/%s", w->source, path);
    }
    if ((now.st_mode & S_IFMT) != (st.st_mode & S_IFMT)) { /* exchanged since it was looked at */
        return cis_fail(err, CIS_E_INVALID, "%s/%s: changed while it was read", w->source, path);
    }
    if (S_ISREG(now.st_mode)) {
        return w->file(w->self, fd, cis_str_of(path), err);
    }
    if (w->dir != NULL) {
        CIS_TRY(w->dir(w->self, cis_str_of(path), err));
    }
    int below = fd;
    fd = -1; /* walk_dir's */
    return walk_dir(w, below, path, err);
}

/* Takes dir. Depth is bounded by cis_skill_path_valid: 32 components. */
static cis_code walk_dir(struct walk *w, int dir, const char *prefix, struct cis_error *err)
{
    CIS_CLEANUP(close_list) DIR *list = fdopendir(dir);
    if (list == NULL) {
        close(dir);
        return cis_fail_sys(err, CIS_E_IO, errno, "%s", w->source);
    }
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(list);
        if (e == NULL) {
            return errno == 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, errno, "%s", w->source);
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        if (w->seen++ == CIS_PACKAGE_ENTRIES_MAX) {
            return cis_fail(err, CIS_E_LIMIT, "%s: more than %u files and folders", w->source,
                            CIS_PACKAGE_ENTRIES_MAX);
        }
        if (e->d_name[0] == '.') {
            continue; /* hidden: not part of a skill */
        }
        CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(4096);
        cis_buf_text(&path, prefix);
        cis_buf_text(&path, prefix[0] != 0 ? "/" : "");
        cis_buf_text(&path, e->d_name);
        CIS_TRY(cis_buf_check(&path, w->source, err));
        CIS_TRY(walk_entry(w, dirfd(list), cis_buf_cstr(&path), e->d_name, err));
    }
}

/* ---- copying ---- */

static cis_code copy_dir(void *self, struct cis_str path, struct cis_error *err)
{
    return cis_tree_dir(self, path, err);
}

static cis_code copy_file(void *self, int from, struct cis_str path, struct cis_error *err)
{
    struct cis_tree *tree = self;
    CIS_CLEANUP(cis_close_fd) int to = -1;
    CIS_TRY(cis_tree_file(tree, path, &to, err));
    uint8_t chunk[CHUNK];
    for (;;) {
        ssize_t n = read(from, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cis_fail_sys(err, CIS_E_IO, errno, "%s/%.*s", tree->source, (int)path.len,
                                path.ptr);
        }
        if (n == 0) {
            return CIS_OK;
        }
        CIS_TRY(cis_tree_write(tree, to, chunk, (size_t)n, err));
    }
}

cis_code cis_tree_copy(struct cis_tree *tree, const char *folder, struct cis_error *err)
{
    int dir = -1;
    CIS_TRY(cis_tree_open_root(folder, &dir, err));
    struct walk w = {folder, tree, 0, copy_dir, copy_file};
    return walk_dir(&w, dir, "", err);
}

/* ---- hashing ---- */

struct listing {
    const char *name;
    struct cis_package_file *files;
    size_t n, cap;
    uint64_t bytes;
};

void cis_package_files_free(struct cis_package_file *files, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cis_free(files[i].path);
    }
    cis_free(files);
}

static void listing_done(struct listing *l)
{
    cis_package_files_free(l->files, l->n);
}

static cis_code hash_file(void *self, int fd, struct cis_str path, struct cis_error *err)
{
    struct listing *l = self;
    if (cis_str_is(path, CIS_MANIFEST_FILE)) {
        return CIS_OK;
    }
    if (l->n == l->cap) {
        size_t cap = cis_cap_next(l->cap, 16, CIS_MEM_MAX);
        struct cis_package_file *grown = cis_realloc_array(l->files, cap, sizeof *grown);
        if (grown == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", l->name);
        }
        l->files = grown;
        l->cap = cap;
    }
    struct cis_package_file file = {.path = cis_strndup(path.ptr, path.len)};
    if (file.path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", l->name);
    }
    l->files[l->n] = file;
    struct cis_package_file *at = &l->files[l->n++];
    struct cis_sha256_state sha;
    cis_sha256_init(&sha);
    uint8_t chunk[CHUNK];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return cis_fail_sys(err, CIS_E_IO, errno, "%s/%s", l->name, at->path);
        }
        if (n == 0) {
            break;
        }
        at->size += (size_t)n;
        l->bytes += (size_t)n;
        if (l->bytes > CIS_PACKAGE_BYTES_MAX) {
            return cis_fail(err, CIS_E_LIMIT, "%s: more than %llu bytes", l->name,
                            (unsigned long long)CIS_PACKAGE_BYTES_MAX);
        }
        cis_sha256_update(&sha, cis_bytes_of(chunk, (size_t)n));
    }
    uint8_t digest[CIS_SHA256_BYTES];
    cis_sha256_final(&sha, digest);
    cis_hex(digest, sizeof digest, at->sha256);
    return CIS_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct cis_package_file *)a)->path,
                  ((const struct cis_package_file *)b)->path);
}

cis_code cis_tree_files(int root, const char *name, struct cis_package_file **out_files,
                        size_t *out_n, uint64_t *out_bytes, struct cis_error *err)
{
    CIS_CLEANUP(listing_done) struct listing l = {name, NULL, 0, 0, 0};
    int dir = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s", name);
    }
    struct walk w = {name, &l, 0, NULL, hash_file};
    CIS_TRY(walk_dir(&w, dir, "", err));
    if (l.n > 1) {
        qsort(l.files, l.n, sizeof l.files[0], by_path);
    }
    *out_files = l.files;
    *out_n = l.n;
    *out_bytes = l.bytes;
    l.files = NULL;
    l.n = 0;
    return CIS_OK;
}
