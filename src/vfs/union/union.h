/* One filesystem over another: reads fall through to the lower one, which is never written; every
 * change goes to the upper one (a layered branch over a folder of the host: `--dir …:cow`). What is
 * changed is copied up first, in constant memory.
 *
 * The upper filesystem holds, in names that the union does not show (those that begin with
 * CIS_UNION_RESERVED):
 * - in each folder that continues a lower one, a symlink whose target is the lower folder's path: a
 *   folder without it is the upper one's alone. So a lower folder is renamed by renaming its copy,
 *   and a new folder over a removed one shows nothing of it, without any mark;
 * - in the root, a folder with the copies of lower files that have several names.
 * A lower name that is gone is a character device 0/0 of that name in the upper folder, as
 * overlayfs has it: any name that the lower one can have fits, one rename replaces it, and nobody
 * can make or open such a device here. All of it are ordinary entries: they are committed, forked,
 * and rolled back with the files.
 *
 * Changes of the lower one from outside while a union is used show where nothing is copied.
 * Inode numbers of a file change when it is copied up and opened anew.
 *
 * Threads: any. One lock keeps names together: it is held for reading while the two are asked for a
 * name, for writing while names change; content is read, written and copied without it. */
#ifndef CIS_VFS_UNION_UNION_H
#define CIS_VFS_UNION_UNION_H

#include "vfs/vfs.h"

#define CIS_UNION_RESERVED ".cis-union"

/* Borrows both. read_only when the upper one is. CIS_E_INVALID: the upper one has content that is
 * no union's. */
cis_code cis_union_open(cis_vfs *lower, cis_vfs *upper, cis_vfs **out_vfs, struct cis_error *err);

#endif
