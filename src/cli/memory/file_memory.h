/* The memory of bare module files: a namespace for each file, named by the file's canonical path.
 */
#ifndef CIS_CLI_FILE_MEMORY_H
#define CIS_CLI_FILE_MEMORY_H

#include "store/store.h"

#define CIS_FILE_NS_MAX (CIS_STORE_NAME_MAX + 1u)

/* The stem of a file's name: "dir/init-wizard.wasm" → "init-wizard". Borrowed from path. */
struct cis_str cis_file_stem(struct cis_str path);
/* "file:/canonical/path.wasm". A path that is too long for a namespace is "file:@SHA256…" and its
 * end; what has no path (a pipe) is "file:STEM". out: CIS_FILE_NS_MAX bytes. */
void cis_file_memory_ns(const char *path, char *out);
/* Is this the memory of a file with this stem? "file:STEM" without a path is, too. */
bool cis_file_memory_has_stem(struct cis_str ns, struct cis_str stem);
/* Entries that are kept under "file:STEM" alone (cis 0.1 kept all memories of files so) move to ns,
 * in one commit, however many they are, with their public marks and categories. *out_moved: how
 * many. */
cis_code cis_file_memory_claim(cis_store *store, struct cis_str tenant, struct cis_str ns,
                               struct cis_str stem, uint64_t *out_moved,
                               const struct cis_stop *stop, struct cis_error *err);

#endif
