/* A filesystem in memory that is simple and obviously right: names in arrays, bytes in one block,
 * snapshots by deep copy. What it does is written from the manual pages, apart from src/vfs, and
 * compared with Linux in test_random.c. */
#ifndef CIS_TESTS_VFS_MODEL_H
#define CIS_TESTS_VFS_MODEL_H

#include "vfs/ops.h"

subject *model_new(void);
/* The tree as it is, without open files. */
subject *model_copy(const subject *model);
/* Becomes a copy of `from`; open files are closed. */
void model_assign(subject *model, const subject *from);
/* A path of something in it, for drivers: pseudo-randomly by `pick`. */
void model_pick(const subject *model, uint32_t pick, char *out, size_t cap);
uint64_t model_files(const subject *model); /* inodes with a name, but the root */
uint64_t model_bytes(const subject *model);

#endif
