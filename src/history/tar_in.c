/* A tar stream into a tree. Every entry is walked to name by name from the top and never through a
 * symlink, so nothing in an archive can lead out of the tree or into what another entry points at.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "history/internal.h"
#include "history/move.h"

struct folder { /* its times are set when everything is there */
    cis_node node;
    struct cis_str path; /* cut, for messages */
    struct cis_vfs_set set;
};
struct in {
    struct archive *a;
    cis_vfs *vfs;
    cis_node root;
    const struct cis_vfs_call *call;
    struct {
        struct folder *at;
        size_t n, cap;
        struct cis_bound *bound;
    } folders;
    struct cis_map
        places; /* node of a folder → its place + 1: an archive may name one very often */
    struct arena paths;
    cis_move_progress *progress;
    void *self;
    struct cis_move_counts counts;
    struct cis_error *err;
};

static void in_done(struct in *in)
{
    if (in->a != NULL) {
        archive_read_free(in->a);
    }
    for (size_t i = 0; i < in->folders.n; i++) {
        cis_vfs_forget(in->vfs, in->folders.at[i].node, 1);
    }
    vec_done(&in->folders);
    cis_map_done(&in->places, NULL);
    cis_arena_done(&in->paths);
}

static cis_code broken(const struct in *in)
{
    const char *why = archive_error_string(in->a);
    return cis_fail(in->err, archive_errno(in->a) == ENOMEM ? CIS_E_NOMEM : CIS_E_INVALID, "%s",
                    why != NULL ? why : "damaged");
}

static cis_code failed(const struct in *in, const char *path, int rc)
{
    const struct cis_error *why = in->call->err;
    if (rc == EPERM && why != NULL && why->code == CIS_E_DENIED) {
        return cis_fail(in->err, why->code, "%.100s: %s", path, why->msg);
    }
    return cis_vfs_fail(in->err, rc, "%.150s", path);
}

/* The directory of the last name, made where it is missing; *out_name: the last name, len 0 for the
 * root. The node has a reference. */
static cis_code walk_to(struct in *in, const char *path, bool make, cis_node *out_dir,
                        struct cis_str *out_name)
{
    struct cis_str rest = cis_str_of(path), part, name = {"", 0};
    cis_node dir = in->root;
    cis_vfs_ref(in->vfs, dir, 1);
    for (bool more = true; more;) {
        more = cis_str_split(&rest, '/', &part);
        if (part.len == 0 || cis_str_is(part, ".")) {
            continue;
        }
        cis_code code = CIS_OK;
        if (!cis_vfs_name_valid(part)) {
            code = cis_fail(in->err, CIS_E_INVALID, "%.150s: %s", path,
                            cis_str_is(part, "..") ? "leaves the folder"
                                                   : "a name of more than 255 bytes");
        } else if (name.len != 0) {
            struct cis_vfs_attr attr;
            struct cis_vfs_make dirs = {.mode = S_IFDIR | 0755};
            cis_node next = 0;
            int rc = cis_vfs_lookup(in->vfs, in->call, dir, name, &next, &attr);
            if (rc == ENOENT && make) {
                rc = cis_vfs_make(in->vfs, in->call, dir, name, &dirs, &next, &attr);
            }
            if (rc == 0 && !S_ISDIR(attr.mode)) {
                cis_vfs_forget(in->vfs, next, 1);
                code = cis_fail(in->err, CIS_E_INVALID, "%.150s: %.*s is not a folder", path,
                                (int)name.len, name.ptr);
            } else if (rc != 0) {
                code = failed(in, path, rc);
            } else {
                cis_vfs_forget(in->vfs, dir, 1);
                dir = next;
            }
        }
        if (code != CIS_OK) {
            cis_vfs_forget(in->vfs, dir, 1);
            return code;
        }
        name = part;
    }
    *out_dir = dir;
    *out_name = name;
    return CIS_OK;
}

static struct cis_vfs_set attributes(struct archive_entry *e)
{
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_UID | CIS_VFS_SET_GID,
                              .mode = archive_entry_perm(e) & 07777,
                              .uid = (uint32_t)archive_entry_uid(e),
                              .gid = (uint32_t)archive_entry_gid(e)};
    set.bits |= archive_entry_filetype(e) != AE_IFLNK ? CIS_VFS_SET_MODE : 0;
    if (archive_entry_mtime_is_set(e)) {
        set.bits |= CIS_VFS_SET_MTIME | CIS_VFS_SET_ATIME;
        set.mtime = (struct timespec){archive_entry_mtime(e), archive_entry_mtime_nsec(e)};
        set.atime = set.mtime;
    }
    return set;
}

/* ---- content ---- */
static cis_code write_all(struct in *in, cis_vfs_file *file, const char *path, const uint8_t *ptr,
                          size_t len, uint64_t off)
{
    while (len != 0) {
        struct iovec v = {(void *)(uintptr_t)ptr, len};
        size_t n = 0;
        uint64_t end;
        int rc = cis_vfs_write(file, in->call, &v, 1, off, &n, &end);
        if (rc != 0 || n == 0) {
            return failed(in, path, rc != 0 ? rc : ENOSPC);
        }
        ptr += n;
        len -= n;
        off += n;
    }
    return CIS_OK;
}

static cis_code read_content(struct in *in, cis_vfs_file *file, const char *path, uint64_t size)
{
    for (;;) {
        const void *ptr;
        size_t len;
        la_int64_t off;
        int rc = archive_read_data_block(in->a, &ptr, &len, &off);
        if (rc == ARCHIVE_EOF) {
            break;
        }
        if (rc < ARCHIVE_WARN || off < 0) {
            return broken(in);
        }
        CIS_TRY(write_all(in, file, path, ptr, len, (uint64_t)off));
        in->counts.bytes += len;
        if (in->progress != NULL && !in->progress(in->self, &in->counts, cis_str_of(path))) {
            return cis_fail(in->err, CIS_E_CANCELLED, "cancelled");
        }
        CIS_TRY(cis_stop_check(in->call->stop, "import", in->err));
    }
    struct cis_vfs_set set = {.bits = CIS_VFS_SET_SIZE, .size = size};
    int rc = cis_file_set(file, in->call, &set, NULL);
    return rc == 0 ? CIS_OK : failed(in, path, rc);
}

static cis_code make_file(struct in *in, struct archive_entry *e, cis_node dir, struct cis_str name,
                          const char *path, cis_node *out_node)
{
    cis_vfs_file *file = NULL;
    struct cis_vfs_attr attr;
    int64_t size = archive_entry_size(e);
    int rc =
        cis_vfs_create(in->vfs, in->call, &(struct cis_vfs_create_request){dir, name, 0600, O_RDWR},
                       &file, out_node, &attr);
    if (rc != 0) {
        return failed(in, path, rc);
    }
    cis_code code = size < 0 || (uint64_t)size > CIS_FS_SIZE_MAX
                        ? cis_fail(in->err, CIS_E_INVALID, "%.150s: its size is impossible", path)
                        : read_content(in, file, path, (uint64_t)size);
    cis_vfs_file_close(file);
    if (code != CIS_OK) {
        cis_vfs_forget(in->vfs, *out_node, 1);
    }
    return code;
}

/* ---- entries ---- */
static cis_code make_link(struct in *in, const char *target, cis_node dir, struct cis_str name,
                          const char *path)
{
    cis_node target_dir, node;
    struct cis_str target_name;
    struct cis_vfs_attr attr;
    CIS_TRY(walk_to(in, target, false, &target_dir, &target_name));
    int rc = target_name.len == 0
                 ? EISDIR
                 : cis_vfs_lookup(in->vfs, in->call, target_dir, target_name, &node, &attr);
    if (rc == 0) {
        rc = cis_vfs_link(in->call, cis_vfs_at(in->vfs, node), cis_vfs_at(in->vfs, dir), name,
                          &attr);
        cis_vfs_forget(in->vfs, node, 1);
    }
    cis_vfs_forget(in->vfs, target_dir, 1);
    return rc == 0       ? CIS_OK
           : rc == EPERM ? failed(in, path, rc)
                         : cis_vfs_fail(in->err, rc, "%.100s: hard link to %.100s", path, target);
}

/* Of several entries for one folder the last counts, and memory grows with folders alone. */
static cis_code keep_folder(struct in *in, cis_node node, const char *path,
                            const struct cis_vfs_set *set)
{
    uintptr_t place = (uintptr_t)cis_ids_get(&in->places, node);
    struct folder *f = place != 0 ? &in->folders.at[place - 1] : vec_add(&in->folders);
    if (f == NULL || place != 0) {
        cis_vfs_forget(in->vfs, node, 1);
    }
    if (f == NULL) {
        return cis_history_nomem(in->err);
    }
    if (place != 0) {
        f->set = *set;
        return CIS_OK;
    }
    *f = (struct folder){.node = node, .set = *set};
    struct cis_str text = {path, cis_utf8_floor(path, strlen(path), 100)};
    CIS_TRY(cis_arena_str(&in->paths, text, &f->path, in->err));
    return cis_ids_set(&in->places, node, (void *)(uintptr_t)in->folders.n, NULL, in->err);
}

static cis_code make_other(struct in *in, struct archive_entry *e, cis_node dir,
                           struct cis_str name, const char *path, cis_node *out_node)
{
    struct cis_vfs_attr attr;
    struct cis_vfs_make make = {.mode = archive_entry_mode(e)};
    if (S_ISLNK(make.mode)) {
        make.target = cis_str_of(archive_entry_symlink(e));
    } else if (S_ISCHR(make.mode) || S_ISBLK(make.mode)) {
        make.rdev = gnu_dev_makedev((unsigned)archive_entry_rdevmajor(e),
                                    (unsigned)archive_entry_rdevminor(e));
    }
    if (S_ISLNK(make.mode) && (make.target.len == 0 || make.target.len > CIS_FS_TARGET_MAX)) {
        return cis_fail(in->err, CIS_E_INVALID, "%.150s: a symlink without a target", path);
    }
    int rc = cis_vfs_make(in->vfs, in->call, dir, name, &make, out_node, &attr);
    return rc == 0 ? CIS_OK : failed(in, path, rc);
}

/* A folder that is there stays; anything else in the way goes. *out_node: that folder, or 0. */
static cis_code clear(struct in *in, bool want_dir, cis_node dir, struct cis_str name,
                      const char *path, cis_node *out_node)
{
    struct cis_vfs_attr attr;
    cis_node node;
    *out_node = 0;
    int rc = cis_vfs_lookup(in->vfs, in->call, dir, name, &node, &attr);
    if (rc != 0) {
        return rc == ENOENT ? CIS_OK : failed(in, path, rc);
    }
    if (S_ISDIR(attr.mode) && want_dir) {
        *out_node = node;
        return CIS_OK;
    }
    cis_vfs_forget(in->vfs, node, 1);
    if (S_ISDIR(attr.mode)) {
        return cis_fail(in->err, CIS_E_EXISTS, "%.150s: a folder of that name exists", path);
    }
    rc = cis_vfs_unlink(in->vfs, in->call, dir, name);
    return rc == 0 ? CIS_OK : failed(in, path, rc);
}

/* Numbers that would become others: an owner that is cut to 32 bits may be root. */
static cis_code numbers_check(const struct in *in, struct archive_entry *e, const char *path)
{
    uint64_t uid = (uint64_t)archive_entry_uid(e), gid = (uint64_t)archive_entry_gid(e);
    if (uid >= UINT32_MAX || gid >= UINT32_MAX) {
        return cis_fail(in->err, CIS_E_INVALID,
                        "%.120s: files cannot have the owner %" PRId64 ":%" PRId64 "", path,
                        (int64_t)uid, (int64_t)gid);
    }
    mode_t type = archive_entry_filetype(e);
    uint64_t major = archive_entry_rdevmajor(e), minor = archive_entry_rdevminor(e);
    if ((type == AE_IFCHR || type == AE_IFBLK) && (major > 0xfff || minor > 0xfffff)) {
        return cis_fail(in->err, CIS_E_INVALID, "%.120s: there is no device %" PRIu64 ":%" PRIu64,
                        path, major, minor);
    }
    return CIS_OK;
}

static cis_code make_entry(struct in *in, struct archive_entry *e, cis_node dir,
                           struct cis_str name, const char *path)
{
    const char *target = archive_entry_hardlink(e);
    bool is_folder = target == NULL && archive_entry_filetype(e) == AE_IFDIR;
    CIS_TRY(numbers_check(in, e, path));
    struct cis_vfs_set set = attributes(e);
    cis_node node = 0;
    if (name.len != 0) {
        CIS_TRY(clear(in, is_folder, dir, name, path, &node));
    } else if (is_folder) {
        node = in->root;
        cis_vfs_ref(in->vfs, node, 1);
    } else {
        return cis_fail(in->err, CIS_E_INVALID, "%.150s: not a valid name", path);
    }
    if (target != NULL) {
        return make_link(in, target, dir, name, path);
    }
    if (node == 0) {
        CIS_TRY(archive_entry_filetype(e) == AE_IFREG ? make_file(in, e, dir, name, path, &node)
                                                      : make_other(in, e, dir, name, path, &node));
    }
    if (is_folder) {
        return keep_folder(in, node, path, &set);
    }
    int rc = cis_vfs_setattr(in->vfs, in->call, node, &set, NULL);
    cis_vfs_forget(in->vfs, node, 1);
    return rc == 0 ? CIS_OK : failed(in, path, rc);
}

static cis_code take_entry(struct in *in, struct archive_entry *e)
{
    const char *path = archive_entry_pathname(e);
    cis_node dir;
    struct cis_str name;
    if (path == NULL) {
        return cis_fail(in->err, CIS_E_INVALID, "an entry whose name cannot be read");
    }
    in->counts.files++;
    CIS_TRY(walk_to(in, path, true, &dir, &name));
    cis_code code = make_entry(in, e, dir, name, path);
    cis_vfs_forget(in->vfs, dir, 1);
    return code;
}

static cis_code open_archive(struct in *in, int fd)
{
    in->a = archive_read_new();
    if (in->a == NULL) {
        return cis_history_nomem(in->err);
    }
    (void)archive_read_support_filter_gzip(in->a);
    (void)archive_read_support_filter_zstd(in->a);
    (void)archive_read_support_filter_xz(in->a);
    (void)archive_read_support_filter_bzip2(in->a);
    if (archive_read_support_format_tar(in->a) != ARCHIVE_OK ||
        archive_read_open_fd(in->a, fd, 65536) != ARCHIVE_OK) {
        return broken(in);
    }
    if (archive_filter_count(in->a) > 2) { /* .gz of .gz of …: only the innermost is bounded */
        return cis_fail(in->err, CIS_E_INVALID, "compressed more than once");
    }
    return CIS_OK;
}

static cis_code set_folders(struct in *in)
{
    for (size_t i = in->folders.n; i > 0;) {
        i--;
        const struct folder *f = &in->folders.at[i];
        int rc = cis_vfs_setattr(in->vfs, in->call, f->node, &f->set, NULL);
        if (rc != 0 && rc != ESTALE && rc != ENOENT) {
            return failed(in, f->path.ptr, rc);
        }
    }
    return CIS_OK;
}

static cis_code read_tar(const cis_dir *dir, const struct cis_vfs_call *call, int fd,
                         cis_move_progress *progress, void *self, struct cis_move_counts *out,
                         struct cis_error *err)
{
    CIS_CLEANUP(cis_found_done) struct cis_found root = {0};
    CIS_CLEANUP(in_done)
    struct in in = {
        .call = call, .places = CIS_MAP_INIT, .progress = progress, .self = self, .err = err};
    int rc = cis_walk(dir, NULL, call, CIS_STR("."), 0, &root);
    if (rc != 0) {
        return cis_vfs_fail(err, rc, ".");
    }
    in.vfs = root.vfs;
    in.root = root.node;
    CIS_TRY(open_archive(&in, fd));
    for (;;) {
        struct archive_entry *entry;
        rc = archive_read_next_header(in.a, &entry);
        if (rc == ARCHIVE_EOF) {
            break;
        }
        /* A warning about converting a name is none. Any other says that something of the entry was
         * left out, which may be its name. */
        if (rc < ARCHIVE_WARN || (rc == ARCHIVE_WARN && archive_errno(in.a) != EILSEQ)) {
            return broken(&in);
        }
        CIS_TRY(take_entry(&in, entry));
        CIS_TRY(cis_stop_check(call->stop, "import", err));
    }
    CIS_TRY(set_folders(&in));
    *out = in.counts;
    return CIS_OK;
}

/* Names are UTF-8 for libarchive, as when writing; bytes that are not stay as they are. */
cis_code cis_history_tar_read(const cis_dir *dir, const struct cis_vfs_call *call, int fd,
                              cis_move_progress *progress, void *self, struct cis_move_counts *out,
                              struct cis_error *err)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0), was = (locale_t)0;
    if (utf8 != (locale_t)0) {
        was = uselocale(utf8);
    }
    cis_code code = read_tar(dir, call, fd, progress, self, out, err);
    if (utf8 != (locale_t)0) {
        uselocale(was);
        freelocale(utf8);
    }
    return code;
}
