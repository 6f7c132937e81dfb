/* Inside skillabi/: what the tables share. Handlers decode with these, call a verb of host/ or the
 * memory view, and encode; nothing here keeps state beyond struct cis_host. */
#ifndef CIS_SKILLABI_ABI_H
#define CIS_SKILLABI_ABI_H

#include "skillabi/skillabi.h"

/* Caps of the ABI itself (docs/abi.md names them). */
#define CIS_ABI_KEY_MAX 1024u
#define CIS_ABI_VALUE_MAX (10u << 20)
#define CIS_ABI_OUT_MAX (1u << 20)
#define CIS_ABI_PROMPT_MAX (100u << 10)
#define CIS_ABI_QUERY_MAX 4096u
#define CIS_ABI_CONFIG_MAX (100u << 10)
#define CIS_ABI_METHOD_MAX 16u
#define CIS_ABI_URL_MAX 8192u
#define CIS_ABI_SEARCH_RESULTS 10u
#define CIS_ABI_LIST_MAX (1u << 20)    /* bytes of a list<u8>: each costs the host far more */
#define CIS_ABI_ANSWER_MAX (16u << 20) /* of an AI; an HTTP body has the run's own cap */

extern const struct cis_hostfn_table cis_abi_env_packed, cis_abi_env_buffer, cis_abi_cis_direct,
    cis_abi_cis_sdk, cis_abi_env_plain, cis_abi_cis_io, cis_abi_agent;

/* A handler's row, to keep the tables short: X(name, type, grant, cost, denied, params, doc). */
#define CIS_ABI_ROW(mod, fn, sig, g, c, rc, par, text)                                             \
    {                                                                                              \
        .module = (mod), .name = #fn, .type = (sig), .grant = CIS_GRANT_##g, .cost = (c),          \
        .denied = (rc), .handler = fn##_call, .params = (par), .doc = (text)                       \
    }

/* ---- guest memory as the guest named it (args.c) ---- */
/* False when [ptr, ptr+len) is not in the memory as it is now. Valid until guest code runs. */
bool cis_abi_bytes(cis_engine_instance *instance, union cis_slot ptr, union cis_slot len,
                   struct cis_bytes *out);
bool cis_abi_text(cis_engine_instance *instance, union cis_slot ptr, union cis_slot len,
                  struct cis_str *out);
bool cis_abi_has_memory(cis_engine_instance *instance);
/* Copies to the guest; false when it does not fit its memory. */
bool cis_abi_write(cis_engine_instance *instance, uint32_t ptr, const void *data, size_t len);
/* Level n of an ABI whose level 0 is `first`; out of range: info. */
enum cis_log_level cis_abi_level(int32_t n, enum cis_log_level first, int32_t count);
/* One log line; text outside the memory becomes a warning instead of silence. */
void cis_abi_log(cis_engine_instance *instance, enum cis_log_level level, union cis_slot ptr,
                 union cis_slot len);

/* ---- how a failed verb is answered ---- */
/* CIS_OK when the run may go on after `code`, else what ends it. What the user should know (no
 * provider, network, store) becomes a log line that names fn. */
cis_code cis_abi_survive(cis_engine_instance *instance, const char *fn, cis_code code,
                         struct cis_error *err);
/* io[0] = answer and CIS_OK when the run may go on after `code`, as above. */
cis_code cis_abi_answer(cis_engine_instance *instance, union cis_slot *io, const char *fn,
                        cis_code code, int64_t answer, struct cis_error *err);
static inline cis_code cis_abi_return(union cis_slot *io, int64_t value)
{
    io[0].i64 = value;
    return CIS_OK;
}

/* ---- verbs as several ABIs have them ---- */
/* Response body of a request without headers. method "" picks POST with a body, GET without. */
cis_code cis_abi_http(cis_engine_instance *instance, const char *method, struct cis_str url,
                      struct cis_bytes body, struct cis_buf *out_body, struct cis_error *err);
/* The buffer to receive it, under the run's cap. */
struct cis_buf cis_abi_http_buf(cis_engine_instance *instance);

/* ---- memory in the guest for the host's data (alloc.c) ---- */
struct cis_abi_block {
    uint32_t ptr;
    uint32_t len;
    bool grown; /* from pages the host added */
};
/* Static name for the plan: "malloc", …, "memory.grow", "" without memory. */
const char *cis_abi_allocator(const struct cis_engine_module_info *info);
/* At least one byte. CIS_E_MEMORY: the guest has no room (it may go on); CIS_E_BADPTR: its
 * allocator answered with a block outside its memory; else the guest has ended. */
cis_code cis_abi_alloc(cis_engine_instance *instance, uint64_t len, struct cis_abi_block *out,
                       struct cis_error *err);
/* The same for the input of a run: a guest whose allocator says no gets new pages. */
cis_code cis_abi_alloc_input(cis_engine_instance *instance, uint64_t len, struct cis_abi_block *out,
                             struct cis_error *err);
/* Gives a block back with free or dealloc. */
cis_code cis_abi_free(cis_engine_instance *instance, const struct cis_abi_block *block,
                      struct cis_error *err);
/* Data in a fresh block of the guest. */
cis_code cis_abi_give(cis_engine_instance *instance, struct cis_bytes data,
                      struct cis_abi_block *out, struct cis_error *err);
/* The value of a memory key in a fresh block; *out_found false: absent. The allocator is guest code
 * and may change the key meanwhile: then CIS_E_CONFLICT. */
cis_code cis_abi_give_value(cis_engine_instance *instance, struct cis_str key,
                            struct cis_abi_block *out, bool *out_found, struct cis_error *err);

/* ---- which row serves an import (resolve.c) ---- */
struct cis_abi_choice {
    const struct cis_hostfn_table *only; /* --abi; NULL: by the imports */
    bool packed;                         /* the guest is of env-packed */
    bool no_wasi;
};
/* CIS_E_USAGE: no ABI of that name. */
cis_code cis_abi_choose(const struct cis_engine_module_info *info,
                        const struct cis_skillabi_options *options, struct cis_abi_choice *out,
                        struct cis_error *err);
const struct cis_hostfn *cis_abi_row(const struct cis_abi_choice *choice,
                                     const struct cis_extern *import,
                                     const struct cis_hostfn_table **out_table);
/* CIS_E_IMPORT naming the first import that nothing provides, with its type. */
cis_code cis_abi_imports_check(const struct cis_abi_choice *choice,
                               const struct cis_engine_module_info *info, struct cis_error *err);

/* ---- calling (entry.c, run.c, numbers.c) ---- */
/* Components (component.c). */
cis_code cis_abi_component_plan(const struct cis_engine_module_info *info,
                                const struct cis_skillabi_options *options,
                                struct cis_skillabi_plan *plan, struct cis_error *err);
cis_code cis_abi_component_link(cis_engine_module *module,
                                const struct cis_skillabi_options *options,
                                const struct cis_stop *stop, cis_linked **out_program,
                                struct cis_error *err);
/* "; exports: memory, add, …" as far as it fits, then how many more (entry.c). */
void cis_abi_list_exports(const struct cis_engine_module_info *info, struct cis_buf *out);
/* {"success":…,"code":…,"skill":… without the closing brace (answer.c). */
void cis_abi_status_json(struct cis_buf *out, bool success, int64_t code, const char *skill);
/* Calls an export with numbers from the input (a JSON array, a number, or nothing). */
cis_code cis_abi_numbers(cis_engine_instance *instance, const struct cis_skillabi_plan *plan,
                         struct cis_bytes input, struct cis_buf *out, struct cis_error *err);

#endif
