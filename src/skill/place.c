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
#include "store/calls.h"

#define PATH_BYTES 65536
#define INCOMING ".incoming"
/* Above this a folder is named by the name's start and digest ('~' is in no skill's name). */
#define NAME_PLAIN_MAX 200
#define FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* ---- names ---- */

static void add_skill(struct cis_buf *path, struct cis_str name)
{
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

static void add_version(struct cis_buf *path, struct cis_str version, struct cis_str digest)
{
    cis_buf_str(path, version);
    cis_buf_byte(path, '-');
    cis_buf_str(path, (struct cis_str){digest.ptr, digest.len > 16 ? 16 : digest.len});
}

char *cis_place_version(struct cis_str version, struct cis_str digest)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(PATH_BYTES);
    size_t len;
    add_version(&name, version, digest);
    return (char *)cis_buf_take(&name, &len);
}

char *cis_place_path(const struct cis_skill_home *home, struct cis_str tenant, struct cis_str name,
                     struct cis_str version, struct cis_str digest)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(PATH_BYTES);
    size_t len;
    cis_buf_printf(&path, "%s/skills/", home->data_dir);
    cis_buf_str(&path, tenant);
    cis_buf_byte(&path, '/');
    add_skill(&path, name);
    cis_buf_byte(&path, '/');
    add_version(&path, version, digest);
    return (char *)cis_buf_take(&path, &len);
}

/* ---- open folders ---- */

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "skills: out of memory");
}

static cis_code cannot_open(const char *name, int rc, struct cis_error *err)
{
    if (rc == ENOTDIR || rc == ELOOP) {
        return cis_fail(err, CIS_E_INVALID,
                        "skills: %.120s is not a folder (symlinks below the data folder are not "
                        "followed)",
                        name);
    }
    return cis_fail_sys(err, rc == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, rc, "skills: %.120s", name);
}

/* The folder `name` in dir. */
static cis_code folder_at(int dir, const char *name, bool make, int *out_fd, struct cis_error *err)
{
    if (make && mkdirat(dir, name, 0700) != 0 && errno != EEXIST) {
        return cannot_open(name, errno, err);
    }
    int fd = openat(dir, name, FOLDER);
    if (fd < 0) {
        return cannot_open(name, errno, err);
    }
    *out_fd = fd;
    return CIS_OK;
}

static cis_code open_tenant(const struct cis_skill_home *home, struct cis_str tenant, bool make,
                            int *out_fd, struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int data = -1, skills = -1;
    CIS_CLEANUP(cis_freep) char *name = cis_strndup(tenant.ptr, tenant.len);
    if (name == NULL) {
        return no_memory(err);
    }
    if (make) {
        CIS_TRY(cis_file_mkdirs(home->data_dir, 0700, err));
    }
    CIS_TRY(cis_tree_open_root(home->data_dir, &data, err));
    CIS_TRY(folder_at(data, "skills", make, &skills, err));
    return folder_at(skills, name, make, out_fd, err);
}

static cis_code open_skill(int tenant, struct cis_str name, bool make, int *out_fd,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf folder = CIS_BUF_INIT(PATH_BYTES);
    add_skill(&folder, name);
    CIS_TRY(cis_buf_check(&folder, "skills", err));
    return folder_at(tenant, cis_buf_cstr(&folder), make, out_fd, err);
}

cis_code cis_place_skill(const struct cis_place *place, struct cis_str name, bool make, int *out_fd,
                         struct cis_error *err)
{
    return open_skill(place->tenant, name, make, out_fd, err);
}

cis_code cis_place_open(const struct cis_skill_home *home, struct cis_str tenant,
                        struct cis_str name, struct cis_str version, struct cis_str digest,
                        int *out_fd, struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int at = -1, skill = -1;
    CIS_CLEANUP(cis_freep) char *folder = cis_place_version(version, digest);
    if (folder == NULL) {
        return no_memory(err);
    }
    CIS_TRY(open_tenant(home, tenant, false, &at, err));
    CIS_TRY(open_skill(at, name, false, &skill, err));
    return folder_at(skill, folder, false, out_fd, err);
}

/* ---- the lock ---- */

static int lock_wait(int fd)
{
    int rc;
    do {
        rc = flock(fd, LOCK_EX);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

void cis_place_done(struct cis_place *place)
{
    cis_close_fd(&place->lock);
    cis_close_fd(&place->tenant);
    *place = CIS_PLACE_INIT;
}

cis_code cis_place_lock(const struct cis_skill_home *home, struct cis_str tenant,
                        struct cis_place *out, struct cis_error *err)
{
    CIS_CLEANUP(cis_place_done) struct cis_place place = CIS_PLACE_INIT;
    CIS_TRY(open_tenant(home, tenant, true, &place.tenant, err));
    place.lock = openat(place.tenant, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (place.lock < 0 || lock_wait(place.lock) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s/skills/%.*s/.lock", home->data_dir,
                            (int)tenant.len, tenant.ptr);
    }
    /* Who looks at it knows that something may have changed: once it gets the lock, everything has.
     * On a full disk, too: it is written over. */
    char mark[CIS_ID_CHARS + 1];
    cis_id_new(mark);
    (void)!pwrite(place.lock, mark, CIS_ID_CHARS, 0);
    *out = place;
    place = CIS_PLACE_INIT;
    return CIS_OK;
}

bool cis_skill_changed(const struct cis_skill_home *home, struct cis_str tenant,
                       struct cis_skill_mark *mark)
{
    CIS_CLEANUP(cis_close_fd) int folder = -1, lock = -1;
    struct cis_skill_mark now = {{0}};
    if (open_tenant(home, tenant, false, &folder, NULL) == CIS_OK) {
        lock = openat(folder, ".lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    }
    bool same = (lock < 0 || pread(lock, now.id, CIS_ID_CHARS, 0) >= 0) &&
                memcmp(now.id, mark->id, sizeof now.id) == 0;
    if (same || (lock >= 0 && flock(lock, LOCK_SH | LOCK_NB) != 0)) {
        return false;
    }
    if (lock >= 0 && pread(lock, now.id, CIS_ID_CHARS, 0) < 0) {
        return false;
    }
    *mark = now;
    return true;
}

/* ---- the stage ---- */

void cis_place_stage_done(struct cis_package_stage *stage)
{
    if (stage->incoming >= 0) {
        (void)cis_file_remove_tree_at(stage->incoming, stage->id, NULL);
    }
    cis_close_fd(&stage->dir); /* with its lock */
    cis_close_fd(&stage->incoming);
    *stage = CIS_PACKAGE_STAGE_INIT;
}

cis_code cis_place_stage(const struct cis_skill_home *home, struct cis_str tenant,
                         struct cis_package_stage *out, struct cis_error *err)
{
    /* Under the tenant's lock, so that no sweeper sees the folder before it is locked itself. */
    CIS_CLEANUP(cis_place_done) struct cis_place place = CIS_PLACE_INIT;
    CIS_CLEANUP(cis_place_stage_done) struct cis_package_stage stage = CIS_PACKAGE_STAGE_INIT;
    CIS_TRY(cis_place_lock(home, tenant, &place, err));
    cis_id_new(stage.id);
    CIS_TRY(folder_at(place.tenant, INCOMING, true, &stage.incoming, err));
    CIS_TRY(folder_at(stage.incoming, stage.id, true, &stage.dir, err));
    if (flock(stage.dir, LOCK_EX | LOCK_NB) != 0) {
        return cis_fail_sys(err, CIS_E_IO, errno, "%s/skills: " INCOMING "/%s", home->data_dir,
                            stage.id);
    }
    *out = stage;
    stage = CIS_PACKAGE_STAGE_INIT;
    return CIS_OK;
}

static cis_code move_fail(const char *version, struct cis_error *err)
{
    return cis_fail_sys(err, CIS_E_IO, errno, "skills: %.120s", version);
}

/* Makes the mark of a folder that no row names. */
static cis_code place_mark(int dir, const char *name, struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd)
    int fd = openat(dir, CIS_PLACE_UNUSED, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 ? CIS_OK : cis_fail_sys(err, CIS_E_IO, errno, "%.120s: " CIS_PLACE_UNUSED, name);
}

cis_code cis_place_move_in(const struct cis_package *p, int skill, const char *version,
                           struct cis_error *err)
{
    struct stat checked, moved;
    CIS_TRY(place_mark(p->root, p->name, err));
    if (syncfs(p->root) != 0 || fstat(p->root, &checked) != 0) {
        return move_fail(version, err);
    }
    bool there = fstatat(skill, version, &moved, AT_SYMLINK_NOFOLLOW) == 0;
    unsigned how = there ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    if (renameat2(p->from, p->folder, skill, version, how) != 0) {
        return move_fail(version, err);
    }
    if (fstatat(skill, version, &moved, AT_SYMLINK_NOFOLLOW) != 0) {
        return move_fail(version, err);
    }
    if (moved.st_dev != checked.st_dev || moved.st_ino != checked.st_ino) {
        (void)renameat2(skill, version, p->from, p->folder, how);
        return cis_fail(err, CIS_E_CONFLICT,
                        "%.64s: the folder in which it was unpacked was replaced meanwhile: "
                        "install it again",
                        p->name);
    }
    return fsync(skill) == 0 ? CIS_OK : move_fail(version, err);
}

/* ---- the mark ---- */

void cis_place_unmark(int dir)
{
    unlinkat(dir, CIS_PLACE_UNUSED, 0); /* left behind, the sweep finds that a row names it */
}

static bool marked(int dir)
{
    struct stat st;
    return fstatat(dir, CIS_PLACE_UNUSED, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

cis_code cis_place_mark_version(int skill, const char *version, struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int dir = openat(skill, version, FOLDER);
    return dir >= 0 ? place_mark(dir, version, err) : CIS_OK;
}

void cis_place_retire(const struct cis_place *place, int skill, const char *version)
{
    char id[27];
    CIS_CLEANUP(cis_close_fd) int incoming = -1;
    cis_id_new(id);
    if (folder_at(place->tenant, INCOMING, true, &incoming, NULL) == CIS_OK &&
        renameat(skill, version, incoming, id) == 0) {
        (void)cis_file_remove_tree_at(incoming, id, NULL);
    }
}

/* ---- the sweep ---- */

struct sweep {
    const struct cis_place *place;
    struct cis_map used; /* SKILL/VERSION of folders that rows name → anything */
    bool complete;       /* used is all there is: only then anything may go */
};

static char *used_key(struct cis_str folder, struct cis_str version)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf key = CIS_BUF_INIT(PATH_BYTES);
    size_t len;
    cis_buf_str(&key, folder);
    cis_buf_byte(&key, '/');
    cis_buf_str(&key, version);
    return (char *)cis_buf_take(&key, &len);
}

static bool note_row(void *self, const struct cis_skill_row *row)
{
    struct sweep *s = self;
    if (cis_skill_row_check_names(row, NULL) != CIS_OK) {
        s->complete = false; /* which folder it means is not known */
        return false;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf folder = CIS_BUF_INIT(PATH_BYTES);
    add_skill(&folder, row->name);
    CIS_CLEANUP(cis_freep) char *version = cis_place_version(row->version, row->digest);
    CIS_CLEANUP(cis_freep)
    char *key = version != NULL && folder.failed == CIS_OK
                    ? used_key(cis_buf_view(&folder), cis_str_of(version))
                    : NULL;
    s->complete = key != NULL && cis_map_set(&s->used, cis_str_of(key), s, NULL, NULL) == CIS_OK;
    return s->complete;
}

/* One of the folders in `in`: its name, itself, and the name of `in`. */
typedef void each_in(struct sweep *s, int in, const char *in_name, const char *name, int dir);

/* Calls each for the folders in `in` that are not hidden. */
static void each_folder(struct sweep *s, int in, const char *in_name, each_in *each)
{
    int fd = openat(in, ".", FOLDER);
    DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
    if (list == NULL) {
        cis_close_fd(&fd);
        return;
    }
    for (struct dirent *e; (e = readdir(list)) != NULL;) {
        CIS_CLEANUP(cis_close_fd)
        int dir = e->d_name[0] != '.' ? openat(in, e->d_name, FOLDER) : -1;
        if (dir >= 0) {
            each(s, in, in_name, e->d_name, dir);
        }
    }
    closedir(list);
}

static void sweep_stage(struct sweep *s, int in, const char *in_name, const char *name, int dir)
{
    (void)s;
    (void)in_name;
    if (flock(dir, LOCK_EX | LOCK_NB) == 0) { /* its process is gone */
        (void)cis_file_remove_tree_at(in, name, NULL);
    }
}

static void sweep_version(struct sweep *s, int in, const char *in_name, const char *name, int dir)
{
    if (!marked(dir)) {
        return;
    }
    CIS_CLEANUP(cis_freep) char *key = used_key(cis_str_of(in_name), cis_str_of(name));
    if (key == NULL) {
        return;
    }
    if (cis_map_get(&s->used, cis_str_of(key)) != NULL) {
        cis_place_unmark(dir);
    } else {
        cis_place_retire(s->place, in, name);
    }
}

static void sweep_skill(struct sweep *s, int in, const char *in_name, const char *name, int dir)
{
    (void)in_name;
    each_folder(s, dir, name, sweep_version);
    unlinkat(in, name, AT_REMOVEDIR); /* only when nothing is left in it */
}

void cis_place_sweep(const struct cis_place *place, const struct cis_skill_home *home,
                     struct cis_str tenant)
{
    CIS_CLEANUP(cis_close_fd) int incoming = -1;
    struct sweep s = {place, CIS_MAP_INIT, true};
    if (folder_at(place->tenant, INCOMING, false, &incoming, NULL) == CIS_OK) {
        each_folder(&s, incoming, INCOMING, sweep_stage);
    }
    if (cis_store_skill_list(home->store, tenant, note_row, &s, &home->stop, NULL) == CIS_OK &&
        s.complete) {
        each_folder(&s, place->tenant, "", sweep_skill);
    }
    cis_map_done(&s.used, NULL);
}
