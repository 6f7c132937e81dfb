/* Folders of files that strangers wrote: reading one (walk), and filling a fresh one (tree). Both
 * hold directory descriptors and go down component by component, so that no name and no symbolic
 * link leads out. Internal to the room.
 *
 * Limits: CIS_PACKAGE_ENTRIES_MAX entries, CIS_PACKAGE_BYTES_MAX bytes, counted as they come. */
#ifndef CIS_SKILL_TREE_H
#define CIS_SKILL_TREE_H

#include <sys/stat.h>
#include "base/map.h"
#include "skill/package.h"

/* ---- filling ---- */
struct cis_tree {
    int root;           /* borrowed */
    const char *source; /* for messages */
    uint64_t bytes, bytes_max;
    size_t entries, entries_max;
    struct cis_map names; /* path in small letters → kind ('d' or 'f') and exact path; owned */
};
#define CIS_TREE_INIT(fd, from)                                                                    \
    ((struct cis_tree){fd, from, 0, CIS_PACKAGE_BYTES_MAX, 0, CIS_PACKAGE_ENTRIES_MAX,             \
                       CIS_MAP_INIT})

/* Counts one entry that is not unpacked (a hidden one). */
cis_code cis_tree_count(struct cis_tree *tree, struct cis_error *err);
/* Makes the folder and those above it. The same folder twice is fine; a name that differs from
 * another only in case, or that is a file already, is not. */
cis_code cis_tree_dir(struct cis_tree *tree, struct cis_str path, struct cis_error *err);
/* Makes a file (0600), never over anything. Caller closes. */
cis_code cis_tree_file(struct cis_tree *tree, struct cis_str path, int *out_fd,
                       struct cis_error *err);
/* Appends, counted. */
cis_code cis_tree_write(struct cis_tree *tree, int fd, const void *ptr, size_t len,
                        struct cis_error *err);
void cis_tree_done(struct cis_tree *tree);
/* Some component starts with a dot. */
bool cis_path_hidden(struct cis_str path);

/* The archive's or folder's regular files and folders into the tree. */
cis_code cis_tree_unpack(struct cis_tree *tree, const char *archive, struct cis_error *err);
cis_code cis_tree_copy(struct cis_tree *tree, const char *folder, struct cis_error *err);

/* ---- reading ---- */
/* Every regular file below root but hidden ones and skill.toml, hashed, sorted by path. */
cis_code cis_tree_files(int root, const char *name, struct cis_package_file **out_files,
                        size_t *out_n, uint64_t *out_bytes, struct cis_error *err);
void cis_package_files_free(struct cis_package_file *files, size_t n);
/* Opens a regular file below root, following no link. CIS_E_NOTFOUND, CIS_E_INVALID. */
cis_code cis_tree_open(int root, const char *path, int *out_fd, struct cis_error *err);
/* A folder; the last component may be a link (the user named it). */
cis_code cis_tree_open_root(const char *path, int *out_fd, struct cis_error *err);
void cis_close_fd(int *fd);

#endif
