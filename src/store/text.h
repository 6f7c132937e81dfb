/* Search in key-value text: what of a value is searchable, and a guest's query, parsed and bounded.
 * Backends turn a parsed query into their own index's syntax; the memory overlay and short words,
 * which no trigram index can find, are matched here. Pure functions.
 *
 * Searchable text of a value: its first 64 KiB (cut at a character), when that is UTF-8 without
 * NUL; else the value is binary and is found by its key only. Keys follow the same rule.
 * Case is ignored for ASCII here; an index may ignore it for more. */
#ifndef CIS_STORE_TEXT_H
#define CIS_STORE_TEXT_H

#include "base/buf.h"

#define CIS_TEXT_MAX (64u * 1024u)
#define CIS_TEXT_PEEK (CIS_TEXT_MAX + 4u) /* bytes of a value that decide its text */
#define CIS_QUERY_MAX 4096u
#define CIS_QUERY_WORDS_MAX 16u /* words after these are ignored */

struct cis_query_word {
    struct cis_str text; /* folded; points into the query */
    size_t chars;        /* code points */
};

struct cis_query {
    struct cis_str whole; /* trimmed, as given; points into the caller's text */
    size_t chars;
    struct cis_query_word words[CIS_QUERY_WORDS_MAX];
    size_t nwords;
    char folded[CIS_QUERY_MAX];
};

/* CIS_E_INVALID: empty, longer than CIS_QUERY_MAX, not UTF-8, or with NUL. The query points into
 * itself: do not copy it. */
cis_code cis_query_parse(struct cis_str text, struct cis_query *out, struct cis_error *err);

/* The searchable part of a value, given at least its first CIS_TEXT_PEEK bytes (all when shorter);
 * empty for binary values. Borrowed from `value`. */
struct cis_str cis_text_of(struct cis_bytes value);

/* Is every word of fewer than `below` code points part of key or text? (SIZE_MAX: every word.)
 * `scratch` is reused between calls; its maximum must be CIS_TEXT_PEEK or more.
 * False also when memory runs out: then scratch->failed says so. */
bool cis_query_match(const struct cis_query *query, size_t below, struct cis_str key,
                     struct cis_str text, struct cis_buf *scratch);

#endif
