/* Public structs that begin with their size: the size is the caller's, who may have been compiled
 * with an older header (a shorter struct: what it does not know has its default) or with a newer
 * one (a longer struct: taken as long as what this library does not know is zero). */
#ifndef CIS_LIB_SIZED_H
#define CIS_LIB_SIZED_H

#include "cis/service.h"

struct cis_sized {
    const char *what; /* for messages: "run options" */
    const char *init; /* the macro that sets the size */
    size_t first;     /* bytes of the first version */
    size_t known;     /* bytes of this one */
};

/* Is the size of this struct one that can be honoured? Reads `size`, and what is beyond `known`.
 * CIS_E_USAGE. */
cis_code cis_sized_check(const struct cis_sized *kind, const void *from, struct cis_error *err);
/* Over *inout, which holds the defaults in `known` bytes. from NULL: nothing to take. */
cis_code cis_sized_take(const struct cis_sized *kind, const void *from, void *inout,
                        struct cis_error *err);
/* Gives as much of a whole struct as the caller has room for; its size stays what it was. */
void cis_sized_give(const struct cis_sized *kind, const void *whole, void *out);

/* Copies of an embedder's services, whole and checked: each has the entries that it cannot do
 * without. */
struct cis_lib_services {
    struct cis_memory_service memory;
    struct cis_ai_service ai;
    struct cis_http_service http;
    struct cis_log_service log;
};
/* *inout: the embedder's; on success those of *out. */
cis_code cis_lib_services_take(struct cis_services *inout, struct cis_lib_services *out,
                               struct cis_error *err);
cis_code cis_lib_memory_take(const struct cis_memory_service *from, struct cis_memory_service *out,
                             struct cis_error *err);

extern const struct cis_sized cis_sized_runtime_config, cis_sized_run_options,
    cis_sized_skill_options, cis_sized_workspace_options, cis_sized_http_incoming,
    cis_sized_http_answer;

#endif
