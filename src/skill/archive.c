/* Archives, through libarchive: tar, plain or packed once with gzip or zstd. What an entry may be
 * is decided here, where it lands in tree.c. Nothing is taken from an entry but its name, kind and
 * bytes: no owner, no mode, no time, no link. */
#include "skill/tree.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PACKED_MAX (256ll << 20) /* bytes of the file itself */

static void reader_free(struct archive **a)
{
    archive_read_free(*a);
}

static const char *why(struct archive *a)
{
    const char *text = archive_error_string(a);
    return text != NULL ? text : "damaged";
}

static cis_code broken(const struct cis_tree *tree, struct archive *a, struct cis_error *err)
{
    if (archive_errno(a) == ENOMEM) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", tree->source);
    }
    return cis_fail(err, CIS_E_INVALID, "%s: %s", tree->source, why(a));
}

static cis_code open_reader(struct cis_tree *tree, struct archive *a, int fd, struct cis_error *err)
{
    if (archive_read_support_filter_gzip(a) != ARCHIVE_OK ||
        archive_read_support_filter_zstd(a) != ARCHIVE_OK ||
        archive_read_support_format_tar(a) != ARCHIVE_OK) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "%s: this libarchive lacks tar, gzip or zstd: %s",
                        tree->source, why(a));
    }
    if (archive_read_open_fd(a, fd, 65536) != ARCHIVE_OK) {
        return broken(tree, a, err);
    }
    /* Filters stack (.gz of .gz of …), and only the innermost is counted: one is enough. */
    if (archive_filter_count(a) > 2) {
        return cis_fail(err, CIS_E_INVALID, "%s: compressed more than once", tree->source);
    }
    return CIS_OK;
}

/* The name as UTF-8: from an extended header, or the raw bytes of an old one. */
static const char *entry_name(struct archive_entry *entry)
{
    const char *name = archive_entry_pathname_utf8(entry);
    return name != NULL ? name : archive_entry_pathname(entry);
}

static cis_code check_kind(const struct cis_tree *tree, struct archive_entry *entry,
                           const char *name, struct cis_error *err)
{
    const char *kind = NULL;
    if (archive_entry_hardlink(entry) != NULL || archive_entry_hardlink_w(entry) != NULL) {
        kind = "a hard link";
    } else if (archive_entry_filetype(entry) == AE_IFLNK) {
        kind = "a symbolic link";
    } else if (archive_entry_filetype(entry) != AE_IFREG &&
               archive_entry_filetype(entry) != AE_IFDIR) {
        kind = "a device, pipe or socket";
    } else if (archive_entry_sparse_count(entry) > 0) {
        kind = "a file with holes";
    }
    return kind == NULL
               ? CIS_OK
               : cis_fail(err, CIS_E_INVALID, "%s: %.80s: %s: only files and folders make a skill",
                          tree->source, name, kind);
}

static cis_code unpack_file(struct cis_tree *tree, struct archive *a, struct cis_str path,
                            bool keep, struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd) int fd = -1;
    if (keep) {
        CIS_TRY(cis_tree_file(tree, path, &fd, err));
    }
    int64_t expected = 0;
    for (;;) {
        const void *ptr;
        size_t len;
        la_int64_t offset;
        int rc = archive_read_data_block(a, &ptr, &len, &offset);
        if (rc == ARCHIVE_EOF) {
            return CIS_OK;
        }
        if (rc != ARCHIVE_OK) {
            return broken(tree, a, err);
        }
        if (offset != expected) {
            return cis_fail(err, CIS_E_INVALID, "%s: %.*s: a file with holes", tree->source,
                            (int)path.len, path.ptr);
        }
        expected += (int64_t)len;
        if (keep) {
            CIS_TRY(cis_tree_write(tree, fd, ptr, len, err));
        } else if (len > tree->bytes_max - tree->bytes) {
            return cis_fail(err, CIS_E_LIMIT, "%s: more than %llu bytes unpacked", tree->source,
                            (unsigned long long)tree->bytes_max);
        } else {
            tree->bytes += len; /* hidden files cost time as well */
        }
    }
}

static cis_code unpack_entry(struct cis_tree *tree, struct archive *a, struct archive_entry *entry,
                             struct cis_error *err)
{
    const char *name = entry_name(entry);
    if (name == NULL) {
        return cis_fail(err, CIS_E_INVALID, "%s: an entry whose name cannot be read", tree->source);
    }
    CIS_TRY(check_kind(tree, entry, name, err));
    struct cis_str path = cis_str_of(name);
    while (path.len >= 2 && path.ptr[0] == '.' && path.ptr[1] == '/') { /* tar's "./" */
        path.ptr += 2;
        path.len -= 2;
    }
    bool dir = archive_entry_filetype(entry) == AE_IFDIR;
    if (dir && path.len > 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    if (dir && (path.len == 0 || cis_str_is(path, "."))) {
        return cis_tree_count(tree, err); /* the root itself */
    }
    if (!cis_skill_path_valid(path)) {
        return cis_fail(err, CIS_E_INVALID, "%s: \"%.80s\" is not a path inside a skill",
                        tree->source, name);
    }
    bool keep = !cis_path_hidden(path);
    if (!keep) {
        CIS_TRY(cis_tree_count(tree, err));
    }
    if (!dir) {
        return unpack_file(tree, a, path, keep, err);
    }
    return keep ? cis_tree_dir(tree, path, err) : CIS_OK;
}

cis_code cis_tree_unpack(struct cis_tree *tree, const char *path, struct cis_error *err)
{
    CIS_CLEANUP(cis_close_fd)
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO must not keep us */
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "%s", path);
    }
    if (!S_ISREG(st.st_mode) || st.st_size > PACKED_MAX) {
        return cis_fail(err, S_ISREG(st.st_mode) ? CIS_E_LIMIT : CIS_E_INVALID,
                        "%s: not a file of at most %lld bytes", path, PACKED_MAX);
    }
    CIS_CLEANUP(reader_free) struct archive *a = archive_read_new();
    if (a == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", path);
    }
    CIS_TRY(open_reader(tree, a, fd, err));
    for (;;) {
        struct archive_entry *entry;
        int rc = archive_read_next_header(a, &entry);
        if (rc == ARCHIVE_EOF) {
            return tree->entries > 0 ? CIS_OK
                                     : cis_fail(err, CIS_E_INVALID, "%s: empty", tree->source);
        }
        /* A warning about converting a name to the locale is none: our own code checks the name.
         * Any other says that something of the entry was left out, which may be its name. */
        if (rc != ARCHIVE_OK && (rc != ARCHIVE_WARN || archive_errno(a) != EILSEQ)) {
            return broken(tree, a, err);
        }
        CIS_TRY(unpack_entry(tree, a, entry, err));
    }
}
