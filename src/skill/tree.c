/* Filling a fresh folder with what an archive or another folder holds. */
#include "skill/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"

void cis_close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

bool cis_path_hidden(struct cis_str path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '.' && (i == 0 || path.ptr[i - 1] == '/')) {
            return true;
        }
    }
    return false;
}

void cis_tree_done(struct cis_tree *tree)
{
    cis_map_done(&tree->names, cis_free);
}

cis_code cis_tree_count(struct cis_tree *tree, struct cis_error *err)
{
    if (tree->entries == tree->entries_max) {
        return cis_fail(err, CIS_E_LIMIT, "%s: more than %zu files and folders", tree->source,
                        tree->entries_max);
    }
    tree->entries++;
    return CIS_OK;
}

/* Looks a path up whatever its case. *out: kind and exact path, NULL when it is new. */
static cis_code lookup(struct cis_tree *tree, struct cis_str path, char **out_fold,
                       const char **out, struct cis_error *err)
{
    char *fold = cis_strndup(path.ptr, path.len);
    if (fold == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", tree->source);
    }
    for (size_t i = 0; i < path.len; i++) {
        fold[i] = (char)(fold[i] >= 'A' && fold[i] <= 'Z' ? fold[i] + 32 : fold[i]);
    }
    *out = cis_map_get(&tree->names, (struct cis_str){fold, path.len});
    *out_fold = fold;
    return CIS_OK;
}

static cis_code remember(struct cis_tree *tree, const char *fold, struct cis_str path, char kind,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *value = cis_alloc(cis_size_add(path.len, 2));
    if (value == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", tree->source);
    }
    value[0] = kind;
    memcpy(value + 1, path.ptr, path.len);
    value[path.len + 1] = 0;
    CIS_TRY(cis_map_set(&tree->names, cis_str_of(fold), value, NULL, err));
    value = NULL; /* the map's */
    return CIS_OK;
}

static int last_slash(struct cis_str path)
{
    for (size_t i = path.len; i > 0; i--) {
        if (path.ptr[i - 1] == '/') {
            return (int)(i - 1);
        }
    }
    return -1;
}

/* The folder that holds the path's last component, by descriptor; *out_name is that component. */
static cis_code open_parent(int root, struct cis_str path, int *out_fd, char out_name[256],
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int at = fcntl(root, F_DUPFD_CLOEXEC, 3);
    struct cis_str rest = path, part;
    while (at >= 0 && cis_str_split(&rest, '/', &part)) {
        char name[256];
        memcpy(name, part.ptr, part.len); /* cis_skill_path_valid: at most 255 */
        name[part.len] = 0;
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int sys = errno;
        close(at);
        at = next;
        errno = sys;
    }
    if (at < 0) {
        cis_code code = errno == ENOENT                      ? CIS_E_NOTFOUND
                        : errno == ELOOP || errno == ENOTDIR ? CIS_E_INVALID
                                                             : CIS_E_IO;
        return cis_fail_sys(err, code, errno, "%.*s", (int)path.len, path.ptr);
    }
    memcpy(out_name, part.ptr, part.len);
    out_name[part.len] = 0;
    *out_fd = at;
    at = -1;
    return CIS_OK;
}

static cis_code taken(const struct cis_tree *tree, struct cis_str path, const char *known,
                      struct cis_error *err)
{
    bool same = cis_str_is(path, known + 1);
    return cis_fail(err, CIS_E_INVALID, "%s: %.*s: %s%s", tree->source, (int)path.len, path.ptr,
                    same ? "named twice" : "differs only in case from ", same ? "" : known + 1);
}

static cis_code check_path(const struct cis_tree *tree, struct cis_str path, struct cis_error *err)
{
    if (!cis_skill_path_valid(path)) {
        return cis_fail(err, CIS_E_INVALID, "%s: \"%.*s\" is not a path inside a skill",
                        tree->source, (int)(path.len > 80 ? 80 : path.len), path.ptr);
    }
    return CIS_OK;
}

static cis_code make_dir(struct cis_tree *tree, struct cis_str path, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *fold = NULL;
    const char *known = NULL;
    CIS_TRY(lookup(tree, path, &fold, &known, err));
    if (known != NULL) {
        return known[0] == 'd' && cis_str_is(path, known + 1) ? CIS_OK
                                                              : taken(tree, path, known, err);
    }
    CIS_TRY(cis_tree_count(tree, err));
    CIS_CLEANUP(cis_close_fd) int parent = -1;
    char name[256];
    CIS_TRY(open_parent(tree->root, path, &parent, name, err));
    if (mkdirat(parent, name, 0700) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s: %.*s", tree->source, (int)path.len,
                            path.ptr);
    }
    return remember(tree, fold, path, 'd', err);
}

cis_code cis_tree_dir(struct cis_tree *tree, struct cis_str path, struct cis_error *err)
{
    CIS_TRY(check_path(tree, path, err));
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '/') {
            CIS_TRY(make_dir(tree, (struct cis_str){path.ptr, i}, err));
        }
    }
    return make_dir(tree, path, err);
}

cis_code cis_tree_file(struct cis_tree *tree, struct cis_str path, int *out_fd,
                       struct cis_error *err)
{
    CIS_TRY(check_path(tree, path, err));
    int slash = last_slash(path);
    if (slash > 0) {
        CIS_TRY(cis_tree_dir(tree, (struct cis_str){path.ptr, (size_t)slash}, err));
    }
    CIS_CLEANUP(cis_freep) char *fold = NULL;
    const char *known = NULL;
    CIS_TRY(lookup(tree, path, &fold, &known, err));
    if (known != NULL) {
        return taken(tree, path, known, err);
    }
    CIS_TRY(cis_tree_count(tree, err));
    CIS_CLEANUP(cis_close_fd) int parent = -1;
    char name[256];
    CIS_TRY(open_parent(tree->root, path, &parent, name, err));
    CIS_CLEANUP(cis_close_fd)
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s: %.*s", tree->source, (int)path.len,
                            path.ptr);
    }
    CIS_TRY(remember(tree, fold, path, 'f', err));
    *out_fd = fd;
    fd = -1;
    return CIS_OK;
}

cis_code cis_tree_write(struct cis_tree *tree, int fd, const void *ptr, size_t len,
                        struct cis_error *err)
{
    if (len > tree->bytes_max - tree->bytes) {
        return cis_fail(err, CIS_E_LIMIT, "%s: more than %llu bytes unpacked", tree->source,
                        (unsigned long long)tree->bytes_max);
    }
    tree->bytes += len;
    int sys = cis_fd_write_all(fd, ptr, len);
    return sys == 0 ? CIS_OK
                    : cis_fail_sys(err, CIS_E_IO, sys, "%s: cannot unpack it", tree->source);
}

cis_code cis_tree_open(int root, const char *path, int *out_fd, struct cis_error *err)
{
    if (!cis_skill_path_valid(cis_str_of(path))) {
        return cis_fail(err, CIS_E_INVALID, "%.80s: not a path inside a skill", path);
    }
    CIS_CLEANUP(cis_close_fd) int parent = -1;
    char name[256];
    CIS_TRY(open_parent(root, cis_str_of(path), &parent, name, err));
    /* O_NONBLOCK: a named pipe must not hold us up before it is refused. */
    CIS_CLEANUP(cis_close_fd)
    int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        cis_code code = errno == ENOENT  ? CIS_E_NOTFOUND
                        : errno == ELOOP ? CIS_E_INVALID
                                         : CIS_E_IO;
        return cis_fail_sys(err, code, errno, "%s", path);
    }
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return cis_fail(err, CIS_E_INVALID, "%s: not a regular file", path);
    }
    *out_fd = fd;
    fd = -1;
    return CIS_OK;
}

cis_code cis_tree_open_root(const char *path, int *out_fd, struct cis_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s", path);
    }
    *out_fd = fd;
    return CIS_OK;
}
