/* The order of this room's locks, for its files.
 *
 * Outermost first. A thread takes them downwards only and never two of one class, but for the
 * stripes of a view, which are taken all together. The test house_thread_safety checks it.
 *
 *   lock             of                    holds back                        the store is asked
 *   committing       a view                other commits, and writes that    yes
 *                                          are whole or not done
 *   writes[ino]      a view's files        other writers of that content     yes
 *   file.lock        an open directory     others who read its listing       yes
 *   spilling         a view                another load on its way           yes
 *   pinning          a view                who else renews its pin           yes
 *   numbers          a tenant              who else wants inode numbers      yes
 *   forward          a line                who else carries it forward       yes
 *   fs cache.lock      the fs cache            its lists; held while the views'  no
 *                                          counts are added up
 *   stripes          a view                all else of it: a reader holds    no
 *                                          one, a writer all of them
 *   pack.lock        the helpers           their queue                       no
 *   blobs.lock       a shard of a cache    its blobs                         no
 *
 * committing comes before writes[ino] because a write that is whole or not done keeps commits away
 * and then writes like any other. */
#ifndef CIS_VFS_LAYERED_LOCKS_H
#define CIS_VFS_LAYERED_LOCKS_H

#include "base/lock.h"

CIS_LOCK_CLASS(lay_lock_blobs);
CIS_LOCK_CLASS(lay_lock_pack, CIS_BEFORE(lay_lock_blobs));
CIS_LOCK_CLASS(lay_lock_stripes, CIS_BEFORE(lay_lock_pack));
CIS_LOCK_CLASS(lay_lock_fs_cache, CIS_BEFORE(lay_lock_stripes));
CIS_LOCK_CLASS(lay_lock_forward, CIS_BEFORE(lay_lock_fs_cache));
CIS_LOCK_CLASS(lay_lock_numbers, CIS_BEFORE(lay_lock_forward));
CIS_LOCK_CLASS(lay_lock_pinning, CIS_BEFORE(lay_lock_numbers));
CIS_LOCK_CLASS(lay_lock_spilling, CIS_BEFORE(lay_lock_pinning));
CIS_LOCK_CLASS(lay_lock_file, CIS_BEFORE(lay_lock_spilling));
CIS_LOCK_CLASS(lay_lock_writes, CIS_BEFORE(lay_lock_file));
CIS_LOCK_CLASS(lay_lock_committing, CIS_BEFORE(lay_lock_writes));

/* For CIS_TAKES: this one and all that may be taken under it. */
#define LAY_FROM_BLOBS lay_lock_blobs
#define LAY_FROM_PACK lay_lock_pack, LAY_FROM_BLOBS
#define LAY_FROM_STRIPES lay_lock_stripes, LAY_FROM_PACK
#define LAY_FROM_FS_CACHE lay_lock_fs_cache, LAY_FROM_STRIPES
#define LAY_FROM_FORWARD lay_lock_forward, LAY_FROM_FS_CACHE
#define LAY_FROM_NUMBERS lay_lock_numbers, LAY_FROM_FORWARD
#define LAY_FROM_PINNING lay_lock_pinning, LAY_FROM_NUMBERS
#define LAY_FROM_SPILLING lay_lock_spilling, LAY_FROM_PINNING
#define LAY_FROM_FILE lay_lock_file, LAY_FROM_SPILLING
#define LAY_FROM_WRITES lay_lock_writes, LAY_FROM_FILE
#define LAY_FROM_COMMITTING lay_lock_committing, LAY_FROM_WRITES

#endif
