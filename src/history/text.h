/* Line differences of two texts as a unified diff. Pure; bounded: inputs of at most
 * CIS_TEXT_DIFF_MAX bytes, work that grows with what differs and is cut off (then the changed
 * middle is shown as replaced, which is a correct diff though not the shortest).
 *
 * The algorithm is Myers' O(ND) in linear space. Why our own 200 lines: the libraries that have it
 * in Debian (libgit2, libsvn_diff) bring a version control system, TLS and an SSH client along. */
#ifndef CIS_HISTORY_TEXT_H
#define CIS_HISTORY_TEXT_H

#include "base/buf.h"
#include "base/cancel.h"

#define CIS_TEXT_DIFF_MAX (4u << 20)

/* Is it text: no NUL, valid UTF-8? */
bool cis_text_is(struct cis_bytes data);
/* Appends "--- old_name", "+++ new_name" and the hunks; nothing when both are equal. A label of
 * "/dev/null" says that the side does not exist. stop may be NULL; it is looked at every few
 * milliseconds. */
cis_code cis_text_diff(struct cis_bytes old_text, struct cis_bytes new_text,
                       struct cis_str old_name, struct cis_str new_name, unsigned context,
                       struct cis_buf *out, const struct cis_stop *stop, struct cis_error *err);

#endif
