/* Skills by name: WebAssembly and native ones side by side.
 *
 *   struct cis_skill_options  what WasmSkillBuilder sets: name, version, description, bytes, memory
 *   cis_skills                the manager; thread safe; borrows its runtime */
#ifndef CIS_SKILL_H
#define CIS_SKILL_H

#include "cis/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cis_skills cis_skills;

struct cis_skill_options {
    uint32_t size;
    const char *name;    /* [a-z0-9][a-z0-9._-]*, at most 256 characters */
    const char *version; /* semver; "0.0.0" */
    const char *description;
    const void *wasm_bytes;
    size_t wasm_len;
    const struct cis_memory_service *memory_service; /* NULL: the runtime's */
    const char *const *grants;                       /* NULL-terminated; NULL: memory only */
    uint64_t memory, time_ms, fuel;                  /* limits of its runs; 0: the runtime's */
};
#define CIS_SKILL_OPTIONS_INIT                                                                     \
    {                                                                                              \
        .size = sizeof(struct cis_skill_options)                                                   \
    }

/* A skill in C: method is NULL for a plain run. It writes its output (JSON) to out and returns
 * CIS_E_OK, or CIS_E_FAILED when it has to report failure. Called from the thread of the caller,
 * for different calls at the same time. */
typedef enum cis_code cis_native_skill_fn(void *self, const struct cis_call *call,
                                          const char *method, const char *input_json,
                                          size_t input_len, struct cis_sink *out,
                                          struct cis_error *err);

CIS_API enum cis_code cis_skills_new(cis_runtime *runtime, cis_skills **out_skills,
                                     struct cis_error *err);
CIS_API void cis_skills_free(cis_skills *skills);
/* Validates and compiles. The bytes are not kept. CIS_E_EXISTS for a name already loaded. */
CIS_API enum cis_code cis_skills_load_wasm(cis_skills *skills, const char *name, const void *wasm,
                                           size_t len, const struct cis_skill_options *options,
                                           struct cis_error *err);
CIS_API enum cis_code cis_skills_register_native(cis_skills *skills, const char *name,
                                                 cis_native_skill_fn *skill, void *self,
                                                 struct cis_error *err);
/* Runs that are going on finish. CIS_E_NOTFOUND. */
CIS_API enum cis_code cis_skills_remove(cis_skills *skills, const char *name,
                                        struct cis_error *err);
/* Those that are there when it begins, in order of loading. A code other than CIS_E_OK from the
 * callback ends it, and is returned. The callback may load, remove and call skills. */
typedef enum cis_code cis_skills_each_fn(void *self, const char *name, const char *version,
                                         bool native);
CIS_API enum cis_code cis_skills_each(cis_skills *skills, cis_skills_each_fn *each, void *self,
                                      struct cis_error *err);
/* Runs a skill by name; method NULL: its entry point. options may be NULL; its grants and limits
 * can only narrow those the skill was loaded with. */
CIS_API enum cis_code cis_skills_call(cis_skills *skills, const char *name, const char *method,
                                      const char *input_json, size_t input_len,
                                      const struct cis_run_options *options,
                                      cis_result **out_result, struct cis_error *err);

#ifdef __cplusplus
}
#endif
#endif
