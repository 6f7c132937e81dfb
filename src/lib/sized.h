/* Inside lib/: public structs by their size (base/sized.h), and services of an embedder. */
#ifndef CIS_LIB_SIZED_H
#define CIS_LIB_SIZED_H

#include "base/sized.h"
#include "cis/service.h"

/* Copies of an embedder's services, whole and checked: each has the entries that it cannot do
 * without. */
struct cis_lib_services {
    struct cis_memory_service memory;
    struct cis_ai_service ai;
    struct cis_http_service http;
    struct cis_log_service log;
};
/* from: the embedder's, NULL: none; on success those of *inout that it has are those of *out. */
cis_code cis_lib_services_take(const struct cis_services *from, struct cis_services *inout,
                               struct cis_lib_services *out, struct cis_error *err);
cis_code cis_lib_memory_take(const struct cis_memory_service *from, struct cis_memory_service *out,
                             struct cis_error *err);

extern const struct cis_sized cis_sized_runtime_config, cis_sized_run_options,
    cis_sized_skill_options, cis_sized_workspace_options, cis_sized_http_incoming,
    cis_sized_http_answer, cis_sized_file_info, cis_sized_compose_options;

#endif
