/* A store in a fresh folder, an fs cache on it, views of it; whole files in one call. */
#ifndef CIS_TESTS_VFS_LAYERED_FIXTURE_H
#define CIS_TESTS_VFS_LAYERED_FIXTURE_H

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include "base/file.h"
#include "store/sqlite/sqlite.h"
#include "vfs/layered/layered.h"
#include "vfs/vfs.h"

#define TENANT CIS_STR("acme")

struct fixture {
    char *dir;
    cis_store *store;
    cis_fs_cache *fs_cache;
};

void fixture_open(struct fixture *f, const struct cis_fs_cache_options *options);
/* Closes and opens store and fs cache again: nothing is cached. */
void fixture_reopen(struct fixture *f, const struct cis_fs_cache_options *options);
void fixture_close(struct fixture *f);

cis_vfs *view_open(struct fixture *f, const struct cis_layered_options *options);
cis_vfs *view_main(struct fixture *f); /* of main's head */
cis_vfs *view_at(struct fixture *f, struct cis_view at);

/* Of one component each, in the directory. */
uint64_t must_find(cis_vfs *vfs, uint64_t dir, const char *name);
int find(cis_vfs *vfs, uint64_t dir, const char *name, uint64_t *out, struct cis_vfs_attr *attr);
uint64_t must_mkdir(cis_vfs *vfs, uint64_t dir, const char *name);
void must_write(cis_vfs *vfs, uint64_t dir, const char *name, const void *data, size_t len);
/* Content of the named file as a string; malloc'd. */
char *must_read(cis_vfs *vfs, uint64_t dir, const char *name, size_t *out_len);
void must_hold(cis_vfs *vfs, uint64_t dir, const char *name, const char *text);
struct cis_vfs_attr must_stat(cis_vfs *vfs, uint64_t ino);
cis_vfs_file *must_open(cis_vfs *vfs, uint64_t ino, int flags);
void must_commit(cis_vfs *vfs);
int write_at(cis_vfs_file *file, uint64_t off, const void *data, size_t len);
size_t read_at(cis_vfs_file *file, uint64_t off, void *out, size_t len);
/* Names in a directory, sorted, each followed by a space; malloc'd. */
char *must_list(cis_vfs *vfs, uint64_t dir);
/* Bytes that do not compress, the same for the same seed. */
void noise(uint64_t seed, uint8_t *out, size_t len);

extern const struct cis_vfs_call nobody;

#endif
