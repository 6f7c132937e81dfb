/* A read-only tree in memory whose look-ups cost next to nothing: counts references, and measures
 * what the walk itself costs. Paths like "a/b/c" are folders, "a/f=text" a file, "a/l>target" a
 * symlink. */
#ifndef CIS_TESTS_VFS_MEMFS_H
#define CIS_TESTS_VFS_MEMFS_H

#include "vfs/vfs.h"

cis_vfs *memfs_new(const char *const *paths, size_t n);
/* References given and not yet taken back. */
int64_t memfs_held(cis_vfs *vfs);
/* What the last look-up was told of the path after it. */
const char *memfs_ahead(cis_vfs *vfs);

#endif
