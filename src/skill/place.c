#include "skill/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "skill/tree.h"

#define PATH_BYTES 65536
/* Above this a folder is named by the name's start and digest ('~' is in no skill's name). */
#define NAME_PLAIN_MAX 200

static char *taken_path(struct cis_buf *path)
{
    size_t len;
    char *text = (char *)cis_buf_take(path, &len);
    return text;
}

char *cis_place_tenant(const struct cis_skill_home *home, struct cis_str tenant)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(PATH_BYTES);
    cis_buf_printf(&path, "%s/skills/", home->data_dir);
    cis_buf_str(&path, tenant);
    return taken_path(&path);
}

static void add_skill(struct cis_buf *path, const struct cis_skill_home *home,
                      struct cis_str tenant, struct cis_str name)
{
    cis_buf_printf(path, "%s/skills/", home->data_dir);
    cis_buf_str(path, tenant);
    cis_buf_byte(path, '/');
    if (name.len <= NAME_PLAIN_MAX) {
        cis_buf_str(path, name);
        return;
    }
    uint8_t digest[CIS_SHA256_BYTES];
    char hex[2 * CIS_SHA256_BYTES + 1];
    cis_sha256(cis_bytes_of(name.ptr, name.len), digest);
    cis_hex(digest, sizeof digest, hex);
    cis_buf_str(path, (struct cis_str){name.ptr, 100});
    cis_buf_printf(path, "~%s", hex);
}

char *cis_place_skill(const struct cis_skill_home *home, struct cis_str tenant, struct cis_str name)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(PATH_BYTES);
    add_skill(&path, home, tenant, name);
    return taken_path(&path);
}

char *cis_place_version(const struct cis_skill_home *home, struct cis_str tenant,
                        struct cis_str name, struct cis_str version, struct cis_str digest)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(PATH_BYTES);
    add_skill(&path, home, tenant, name);
    cis_buf_byte(&path, '/');
    cis_buf_str(&path, version);
    cis_buf_byte(&path, '-');
    cis_buf_str(&path, (struct cis_str){digest.ptr, digest.len > 16 ? 16 : digest.len});
    return taken_path(&path);
}

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "skills: out of memory");
}

static int lock_wait(int fd)
{
    int rc;
    do {
        rc = flock(fd, LOCK_EX);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

cis_code cis_place_lock(const struct cis_skill_home *home, struct cis_str tenant, int *out_fd,
                        struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *dir = cis_place_tenant(home, tenant);
    CIS_CLEANUP(cis_freep) char *path = dir != NULL ? cis_path_join(dir, ".lock") : NULL;
    if (path == NULL) {
        return no_memory(err);
    }
    CIS_TRY(cis_file_mkdirs(dir, 0700, err));
    CIS_CLEANUP(cis_close_fd) int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || lock_wait(fd) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s", path);
    }
    *out_fd = fd;
    fd = -1;
    return CIS_OK;
}

cis_code cis_place_stage(const struct cis_skill_home *home, struct cis_str tenant, char **out_path,
                         int *out_lock, struct cis_error *err)
{
    /* Under the tenant's lock, so that no sweeper sees the folder before it is locked itself. */
    CIS_CLEANUP(cis_close_fd) int lock = -1;
    CIS_TRY(cis_place_lock(home, tenant, &lock, err));
    char id[27];
    cis_id_new(id);
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(PATH_BYTES);
    cis_buf_printf(&path, "%s/skills/", home->data_dir);
    cis_buf_str(&path, tenant);
    cis_buf_printf(&path, "/.incoming/%s", id);
    CIS_TRY(cis_buf_check(&path, "skills", err));
    CIS_TRY(cis_file_mkdirs(cis_buf_cstr(&path), 0700, err));
    CIS_CLEANUP(cis_close_fd)
    int fd = open(cis_buf_cstr(&path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s", cis_buf_cstr(&path));
    }
    *out_path = taken_path(&path);
    *out_lock = fd;
    fd = -1;
    return CIS_OK;
}

/* ---- the mark ---- */

cis_code cis_place_mark(const char *dir, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(dir, CIS_PLACE_UNUSED);
    if (path == NULL) {
        return no_memory(err);
    }
    CIS_CLEANUP(cis_close_fd)
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, errno, "%s", path);
}

void cis_place_unmark(const char *dir)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(dir, CIS_PLACE_UNUSED);
    if (path != NULL) {
        unlink(path); /* left behind, the sweep finds that a row names the folder */
    }
}

bool cis_place_marked(const char *dir)
{
    CIS_CLEANUP(cis_freep) char *path = cis_path_join(dir, CIS_PLACE_UNUSED);
    return path != NULL && cis_file_exists(path);
}

void cis_place_retire(const struct cis_skill_home *home, struct cis_str tenant, const char *dir)
{
    char id[27];
    cis_id_new(id);
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(PATH_BYTES);
    cis_buf_printf(&path, "%s/skills/", home->data_dir);
    cis_buf_str(&path, tenant);
    cis_buf_text(&path, "/.incoming");
    if (cis_buf_check(&path, dir, NULL) != CIS_OK ||
        cis_file_mkdirs(cis_buf_cstr(&path), 0700, NULL) != CIS_OK) {
        return;
    }
    cis_buf_printf(&path, "/%s", id);
    if (path.failed == CIS_OK && rename(dir, cis_buf_cstr(&path)) == 0) {
        (void)cis_file_remove_tree(cis_buf_cstr(&path), NULL);
    }
}

/* ---- the sweep ---- */

struct sweep {
    const struct cis_skill_home *home;
    struct cis_str tenant;
    struct cis_map used; /* folders that rows name → themselves */
    bool complete;       /* used is all there is: only then anything may go */
};

static bool note_row(void *self, const struct cis_skill_row *row)
{
    struct sweep *s = self;
    if (cis_skill_row_check_names(row, NULL) != CIS_OK) {
        s->complete = false; /* which folder it means is not known */
        return false;
    }
    CIS_CLEANUP(cis_freep)
    char *dir = cis_place_version(s->home, s->tenant, row->name, row->version, row->digest);
    s->complete = dir != NULL && cis_map_set(&s->used, cis_str_of(dir), s, NULL, NULL) == CIS_OK;
    return s->complete;
}

/* Calls each(self, path) for the folders in dir; hidden ones only when asked. */
static void each_folder(const char *dir, void (*each)(struct sweep *s, const char *path),
                        struct sweep *s)
{
    DIR *list = opendir(dir);
    for (struct dirent *e; list != NULL && (e = readdir(list)) != NULL;) {
        if (e->d_name[0] == '.') {
            continue;
        }
        CIS_CLEANUP(cis_freep) char *path = cis_path_join(dir, e->d_name);
        struct stat st;
        if (path != NULL && lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            each(s, path);
        }
    }
    if (list != NULL) {
        closedir(list);
    }
}

static void sweep_stage(struct sweep *s, const char *path)
{
    (void)s;
    CIS_CLEANUP(cis_close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) { /* its process is gone */
        (void)cis_file_remove_tree(path, NULL);
    }
}

static void sweep_version(struct sweep *s, const char *path)
{
    if (!cis_place_marked(path)) {
        return;
    }
    if (cis_map_get(&s->used, cis_str_of(path)) != NULL) {
        cis_place_unmark(path);
    } else {
        cis_place_retire(s->home, s->tenant, path);
    }
}

static void sweep_skill(struct sweep *s, const char *path)
{
    each_folder(path, sweep_version, s);
    rmdir(path); /* only when nothing is left in it */
}

void cis_place_sweep(const struct cis_skill_home *home, struct cis_str tenant)
{
    CIS_CLEANUP(cis_freep) char *dir = cis_place_tenant(home, tenant);
    CIS_CLEANUP(cis_freep) char *incoming = dir != NULL ? cis_path_join(dir, ".incoming") : NULL;
    struct sweep s = {home, tenant, CIS_MAP_INIT, true};
    if (incoming != NULL) {
        each_folder(incoming, sweep_stage, &s);
        if (home->store->ops->skill_list(home->store, tenant, note_row, &s, &home->stop, NULL) ==
                CIS_OK &&
            s.complete) {
            each_folder(dir, sweep_skill, &s);
        }
    }
    cis_map_done(&s.used, NULL);
}
