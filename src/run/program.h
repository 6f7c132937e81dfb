/* Inside run/: programs, modules of WASI 0.1 and components of WASI 0.2: what they are linked with,
 * how they are entered. Skills are skillabi/'s. */
#ifndef CIS_RUN_PROGRAM_H
#define CIS_RUN_PROGRAM_H

#include "run/session.h"

/* WASI's rows and nothing else. An import that nobody provides is CIS_E_IMPORT, or traps when it is
 * called. Components: WASI 0.2. */
cis_code cis_run_program_link(const struct cis_run_request *request, const struct cis_stop *stop,
                              cis_linked **out_program, struct cis_error *err);
/* What the guest finds: streams, arguments, directories, listeners; before it is made. */
void cis_run_program_env(cis_session *session);
/* The export that will be entered; CIS_E_ENTRY says what there is instead. */
cis_code cis_run_program_entry(const struct cis_run_request *request, struct cis_str *out,
                               struct cis_error *err);
/* The exported functions by name, and the interfaces that hold more, as much as out takes. */
void cis_run_list_functions(const struct cis_engine_module_info *info, struct cis_buf *out);
/* _start; a reactor's _initialize; or the function that was named, its results as lines in out.
 * CIS_OK also when the program exited: see cis_engine_instance_end. */
cis_code cis_run_program_call(cis_session *session, struct cis_buf *out, struct cis_error *err);

/* component.c: the same for components. *out_failed: wasi:cli/run gave its error, exit code 1. */
cis_code cis_run_component_link(const struct cis_run_request *request, const struct cis_stop *stop,
                                cis_linked **out_program, struct cis_error *err);
cis_code cis_run_component_entry(const struct cis_run_request *request, struct cis_str *out,
                                 struct cis_error *err);
cis_code cis_run_component_call(cis_session *session, bool *out_failed, struct cis_buf *out,
                                struct cis_error *err);

/* Functions and resources of interfaces that are built in; NULL: not, or not for such a run (struct
 * cis_run_program). */
const struct cis_ifacefn *cis_run_built_in(struct cis_str interface, struct cis_str name,
                                           const char *without, uint32_t wasi);
const struct cis_iface_resource *cis_run_built_in_resource(struct cis_str interface,
                                                           struct cis_str name,
                                                           const char *without);

#endif
