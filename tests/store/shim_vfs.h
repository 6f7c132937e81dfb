/* An SQLite VFS between SQLite and the disk, for tests: it counts what reaches the disk, fails or
 * kills at the nth such operation, and records operations so that the state after a power loss at
 * any of them can be made again. The chunk file beside a database, which SQLite does not know,
 * comes by here as well: programs that use this are linked with --wrap (see CMakeLists.txt). One
 * per process; any thread. */
#ifndef CIS_TESTS_STORE_SHIM_VFS_H
#define CIS_TESTS_STORE_SHIM_VFS_H

#include <stdbool.h>
#include <stddef.h>

/* Becomes the default; before a store is opened. */
void shim_register(void);

/* Operations (write, truncate, sync, delete) since the process began. */
long shim_count(void);
/* The operation (or the sync, or the read) after n more answers with the result code; once, or,
 * lasting, with all operations after it. n < 0: off. */
enum { SHIM_LASTING = 1, SHIM_SYNCS = 2, SHIM_READS = 4 };
void shim_fail(long n, int code, unsigned how);
/* How many operations were failed since shim_fail. */
long shim_failed(void);
/* The process is killed in the middle of the operation after n more. */
void shim_kill(long n);

/* ---- recording ---- */
/* From here on; what was recorded before is forgotten. */
void shim_record(void);
/* Notes that the caller was told something by now. */
void shim_mark(void);
size_t shim_events(void);
/* Files under `from` as a disk may hold them when the power goes before event `upto`: what was
 * synced is there; of every write since, nothing, all, or some sectors. Written to `to`, a folder
 * that is made anew. Calls must go up in `upto` between two shim_rewind. Returns how many marks
 * came before. */
unsigned shim_power_loss(size_t upto, unsigned *seed, const char *from, const char *to);
void shim_rewind(void);

#endif
