/* Inside lib/: the objects behind the public handles. */
#ifndef CIS_LIB_INTERNAL_H
#define CIS_LIB_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/birth.h"
#include "base/lock.h"
#include "cis/cis.h"
#include "lib/lib.h"
#include "lib/provider.h"
#include "lib/sized.h"
#include "run/run.h"
#include "vfs/layered/layered.h"

/* Locks of the handles. None is held while another of them is taken, nor while a guest or an
 * embedder's function runs; those of the store and of filesystems are taken within.
 *
 * | class            | lock               | guards                                        |
 * |------------------|--------------------|-----------------------------------------------|
 * | lib_lock_runtime | cis_runtime.lock   | the making of the fs cache                    |
 * | lib_lock_module  | cis_module.lock    | variants that are added, the text of inspect  |
 * | lib_lock_skills  | cis_skills.lock    | the table of skills                           |
 * | lib_lock_made    | cis_workspace.made | files that are made and taken back            |
 */
CIS_LOCK_CLASS(lib_lock_runtime);
CIS_LOCK_CLASS(lib_lock_module);
CIS_LOCK_CLASS(lib_lock_skills);
CIS_LOCK_CLASS(lib_lock_made);

struct cis_runtime {
    struct cis_birth birth; /* with its threads and locks */
    cis_engine *engine;
    cis_store *store;     /* NULL: nothing is kept */
    pthread_mutex_t lock; /* who makes the fs cache */
    struct cis_fs_cache_options caches;
    cis_fs_cache *fs_cache CIS_GUARDED_BY(lib_lock_runtime); /* of all workspaces; made with the
                                                              * first */
    struct cis_store_memory store_memory;
    struct cis_services services;
    struct cis_lib_services given; /* what `services` points to of the embedder's */
    uint64_t max_memory, max_time_ms;
    unsigned features;
    bool wasi;
    uint32_t wasi_features; /* unstable ones, as bits */
    char *dns_servers;      /* NULL: the system's */
};

/* CIS_E_USAGE in a child of fork, where nothing of the parent's runtime may be used: asked first by
 * every function of the API. What is freed there stays as it is. */
cis_code cis_lib_here(const cis_runtime *runtime, struct cis_error *err);

struct cis_tenant_handle {
    cis_runtime *runtime; /* borrowed; has a store */
    char name[CIS_TENANT_MAX + 1];
};

/* A module for one way of running: metered or not, within a pool slot or larger. */
struct cis_module {
    atomic_uint refs;
    cis_runtime *runtime; /* borrowed */
    char *name;
    uint8_t *bytes; /* kept: another variant may have to be compiled later */
    size_t len;
    pthread_mutex_t lock; /* who adds a variant, or writes `inspect` */
    struct {
        _Atomic(cis_engine_module *) module; /* set last and never changed: read without the lock */
        bool fuel;
        uint64_t memory_limit;
    } variants[4];
    char *inspect CIS_GUARDED_BY(lib_lock_module); /* never changes once it is there */
};

/* The variant for these limits, compiled on first use. Borrowed from the module. */
cis_code cis_module_variant(cis_module *module, bool fuel, uint64_t memory_limit,
                            const struct cis_stop *stop, cis_engine_module **out_module,
                            struct cis_error *err);

/* A request made from public options, and what it borrows: the names are its own, as an instance is
 * kept longer than the options it was made with. */
struct cis_lib_request {
    struct cis_run_request request;
    struct cis_grants grants;
    struct cis_str_pair config[64];
    char tenant[CIS_TENANT_MAX + 1];
    char *skill; /* "file:NAME" when the options name none */
};
/* *out: whole, whatever the size of the caller's; NULL is the defaults. */
cis_code cis_lib_run_options(const struct cis_run_options *options, struct cis_run_options *out,
                             struct cis_error *err);
cis_code cis_lib_request_make(cis_runtime *runtime, cis_module *module,
                              const struct cis_run_options *options, struct cis_lib_request *out,
                              struct cis_error *err);
/* Takes options->deny away from the request's grants. */
cis_code cis_lib_request_deny(struct cis_lib_request *request,
                              const struct cis_run_options *options, struct cis_error *err);
void cis_lib_request_done(struct cis_lib_request *request);
/* Runs it and wraps the outcome. */
cis_code cis_lib_run(struct cis_lib_request *request, const char *input_json, size_t input_len,
                     cis_result **out_result, struct cis_error *err);
/* The path of the program `cis` that belongs to this library; free it. CIS_E_USAGE: it is not
 * there. */
cis_code cis_lib_compiler_find(char **out_path, struct cis_error *err);
/* The fs cache of the runtime's store. CIS_E_USAGE without a store. */
cis_code cis_lib_fs_cache(cis_runtime *runtime, cis_fs_cache **out_fs_cache, struct cis_error *err);
/* code, or what a callback said that ended what it was called by. */
cis_code cis_lib_ended(cis_code said, cis_code code, struct cis_error *err);
/* NULL: "default". Checked. */
cis_code cis_lib_tenant(const char *name, struct cis_str *out, struct cis_error *err);
/* Changes told to an embedder, who wants texts with their NUL. */
struct cis_lib_changes {
    cis_change_fn *each;
    void *self;
    cis_code said; /* by each */
    struct cis_buf path, from;
};
#define CIS_LIB_CHANGES(each, self)                                                                \
    {                                                                                              \
        each, self, CIS_OK, CIS_BUF_INIT(1u << 20), CIS_BUF_INIT(1u << 20)                         \
    }
bool cis_lib_change_tell(struct cis_lib_changes *changes, char what, struct cis_str path,
                         struct cis_str from);
/* code, or why a path could not be told. */
cis_code cis_lib_changes_done(struct cis_lib_changes *changes, cis_code code,
                              struct cis_error *err);
/* The surroundings of a program, made from a cis_wasi_config: a request and what it points to. */
struct cis_lib_program {
    struct cis_lib_request q;
    struct cis_run_program program;
    struct cis_run_mount mounts[CIS_RUN_MOUNTS_MAX];
    const char *name[2];
    struct cis_lib_set *set; /* NULL: no interfaces of the embedder's */
    struct cis_iface_provider interfaces;
    struct cis_lib_embedder embedder;
};
/* Borrows the run. Not to be moved. After a failure there is nothing to undo. */
cis_code cis_lib_program_make(const cis_wasi_config *run, cis_module *module,
                              struct cis_lib_program *out, struct cis_error *err);
/* After the guest is gone: objects that it left are dropped. */
void cis_lib_program_done(struct cis_lib_program *program);
/* A result that a native skill made. */
cis_code cis_lib_result_new(cis_code code, const struct cis_error *why, struct cis_buf *output,
                            const char *skill, cis_result **out_result, struct cis_error *err);

#endif
