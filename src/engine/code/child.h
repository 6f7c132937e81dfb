/* What the compiler's child process and its parent say to each other over pipes. Both are the same
 * build of the same program (the fingerprint says so), so structs travel as they are. */
#ifndef CIS_ENGINE_CHILD_H
#define CIS_ENGINE_CHILD_H

#include "engine/code/code.h"

#define CIS_CHILD_MAGIC 0x33434943u /* "CIC3" */
#define CIS_CHILD_NO_MEMORY 77      /* exit code: the memory limit was in the way */

enum cis_child_job {
    CIS_CHILD_COMPILE,   /* a binary → the artefact */
    CIS_CHILD_SCAN,      /* text or binary → the binary of a text, JSON, struct cis_child_scan */
    CIS_CHILD_COMPONENT, /* an adapter of slot_bytes and a module behind it → a component */
    CIS_CHILD_WIT,       /* a component → its interfaces as text */
    CIS_CHILD_COMPOSE    /* parts → one component, JSON, struct cis_child_scan */
};

struct cis_child_request { /* followed by `len` bytes of module */
    uint32_t magic;
    uint32_t features;
    uint32_t fuel;
    uint32_t job; /* enum cis_child_job */
    uint64_t slot_bytes;
    uint64_t len;
    char name[480]; /* for messages */
};
_Static_assert(sizeof(struct cis_child_request) == 512, "layout of the request");

struct cis_child_answer { /* followed by `len` bytes: what was asked for, or a message when code is
                             set */
    uint32_t magic;
    uint32_t code;
    uint64_t fingerprint;
    uint64_t len;
};
_Static_assert(sizeof(struct cis_child_answer) == 24, "layout of the answer");

/* The end of a scan's answer; before it are the binary (that of a text, or a composition) and what
 * was found in it. */
struct cis_child_scan {
    uint64_t json_len;
};
/* Behind the binary in out. */
void cis_child_scan_end(const struct cis_buf *json, struct cis_buf *out);
/* The other way round: the answer becomes the binary alone. */
cis_code cis_child_scan_split(struct cis_buf *answer, const char *name, struct cis_buf *out_json,
                              struct cis_error *err);

/* Text to binary and the scan, as the body of an answer. */
cis_code cis_child_examine(struct cis_bytes wasm, const char *name, unsigned features,
                           struct cis_buf *out, struct cis_error *err);

/* document.c, as bodies of answers. */
cis_code cis_child_component(struct cis_bytes adapter, struct cis_bytes module, const char *name,
                             struct cis_buf *out, struct cis_error *err);
cis_code cis_child_wit(struct cis_bytes wasm, const char *name, struct cis_buf *out,
                       struct cis_error *err);
/* compose_here.c. Without the child; in it this is the work. */
struct cis_composition;
cis_code cis_compose_here(const struct cis_composition *c, const char *name, unsigned features,
                          struct cis_buf *out, struct cis_buf *json, struct cis_error *err);
/* compose.c: as the body of an answer. */
cis_code cis_child_compose(struct cis_bytes request, const char *name, unsigned features,
                           struct cis_buf *out, struct cis_error *err);

#endif
