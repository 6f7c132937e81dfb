/* An inode's attributes as one packed value: one form for all backends, versioned, checked when
 * read. Content (inline data, link target) is a column beside it. Pure functions; any thread. */
#ifndef CIS_STORE_ROW_H
#define CIS_STORE_ROW_H

#include "store/fs.h"

#define CIS_ROW_MAX 128u /* bytes of packed attributes */

/* out has room for CIS_ROW_MAX; returns the length. Not packed: ino, epoch, data. */
size_t cis_inode_pack(const struct cis_fs_inode *inode, uint8_t *out);
/* Fills all but ino, epoch and data, which are left as they are. CIS_E_DAMAGED. */
cis_code cis_inode_unpack(struct cis_bytes attr, struct cis_fs_inode *out, struct cis_error *err);
/* A stored device number as makedev(3) makes it. Version 0.1 took those of devices in a folder of
 * the host with the major number in the upper half. Linux has 12 bits of that and 20 of the minor
 * number, so makedev(3) puts nothing there. */
uint64_t cis_fs_device(uint64_t rdev);

#endif
