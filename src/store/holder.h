/* Who holds a branch, as text that messages show, and whether that process is still there. A lease
 * of a process of this machine that has ended is given back at once instead of waited for.
 *
 * A process is known by its number and the moment it began, within this boot of this machine and
 * this namespace of processes. Of any other holder nothing is known: its lease runs out by itself.
 * Any threads. */
#ifndef CIS_STORE_HOLDER_H
#define CIS_STORE_HOLDER_H

#include "store/fs.h"

#define CIS_HOLDER_MAX sizeof(((struct cis_fs_ref *)NULL)->holder)

/* "mount 4711 host:/dir #MACHINE.START": this process, which does `what` at `where`; as much of the
 * place as there is room for. */
void cis_holder_name(char out[CIS_HOLDER_MAX], const char *what, const char *where);
/* ref_get, after which the branch is held by nobody who is known to have ended. */
cis_code cis_store_ref_held(cis_store *store, struct cis_str tenant, struct cis_str name,
                            struct cis_fs_ref *out, const struct cis_stop *stop,
                            struct cis_error *err);

#endif
