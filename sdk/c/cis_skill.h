/* The C SDK of cis skills: one header, nothing to link. Compile with
 *
 *     clang --target=wasm32-wasi -mexec-model=reactor -O2 -s -I sdk/c skill.c -o skill.wasm
 *
 * and export one entry point:
 *
 *     CIS_SKILL_ENTRY(input, len) { … return 0; }
 *
 * 0 is success, anything else failure (memory writes of a failed run are dropped). What is given to
 * cis_output is the skill's output. Every call is answered by the host under the grants of the run:
 * CIS_DENIED means the user did not grant it. Functions that hand out bytes return the full length
 * and write nothing past the capacity. */
#ifndef CIS_SKILL_SDK_H
#define CIS_SKILL_SDK_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CIS_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define CIS_EXPORT(name) __attribute__((export_name(name), used))

enum cis_result {
    CIS_DONE = 0,
    CIS_NOT_READY = -1,
    CIS_BAD_INPUT = -2,
    CIS_HOST_ERROR = -3,
    CIS_AI_ERROR = -4,
    CIS_MEMORY_ERROR = -5,
    CIS_NETWORK_ERROR = -6,
    CIS_ENCODING_ERROR = -7,
    CIS_DENIED = -8,
    CIS_ABSENT = -9,
    CIS_INTERNAL_ERROR = -10,
    CIS_OTHER_ERROR = -99
};

enum cis_level { CIS_TRACE, CIS_DEBUG, CIS_INFO, CIS_WARN, CIS_ERROR };

/* ---- what the host provides ---- */
CIS_IMPORT("cis", "host_log")
void cis_host_log(int32_t level, const char *text, int32_t len);
CIS_IMPORT("cis", "host_memory_get")
int32_t cis_host_memory_get(const char *key, int32_t key_len, void *out, int32_t cap);
CIS_IMPORT("cis", "host_memory_set")
int32_t cis_host_memory_set(const char *key, int32_t key_len, const void *value, int32_t len);
CIS_IMPORT("cis", "host_memory_delete")
int32_t cis_host_memory_delete(const char *key, int32_t key_len);
CIS_IMPORT("cis", "host_ai_chat")
int32_t cis_host_ai_chat(const char *prompt, int32_t len, char *out, int32_t cap);
CIS_IMPORT("cis", "host_http_post")
int32_t cis_host_http_post(const char *url, int32_t url_len, const void *body, int32_t body_len,
                           void *out, int32_t cap);
/* Milliseconds since 1970-01-01 UTC. */
CIS_IMPORT("cis", "host_now")
int64_t cis_host_now(void);
CIS_IMPORT("cis", "input_len")
int64_t cis_input_len(void);
/* Copies input bytes from offset on; the number of bytes, 0 at the end. */
CIS_IMPORT("cis", "input_read")
int32_t cis_input_read(int64_t offset, void *out, int32_t cap);
/* Appends to the output. */
CIS_IMPORT("cis", "output_write")
int32_t cis_output_write(const void *data, int32_t len);

/* ---- the entry point ---- */
/* The host asks alloc for the room of the input; the entry point owns it. */
#define CIS_SKILL_ENTRY(input, len)                                                                \
    CIS_EXPORT("alloc") void *cis_sdk_alloc(int32_t size)                                          \
    {                                                                                              \
        return malloc((size_t)size);                                                               \
    }                                                                                              \
    CIS_EXPORT("dealloc") void cis_sdk_dealloc(void *ptr, int32_t size)                            \
    {                                                                                              \
        (void)size;                                                                                \
        free(ptr);                                                                                 \
    }                                                                                              \
    CIS_EXPORT("skill_execute") int32_t skill_execute(const char *input, int32_t len)

/* ---- the same with C strings ---- */
static inline void cis_log(enum cis_level level, const char *text)
{
    cis_host_log((int32_t)level, text, (int32_t)strlen(text));
}

static inline int32_t cis_memory_set(const char *key, const void *value, size_t len)
{
    return cis_host_memory_set(key, (int32_t)strlen(key), value, (int32_t)len);
}

static inline int32_t cis_memory_delete(const char *key)
{
    return cis_host_memory_delete(key, (int32_t)strlen(key));
}

/* The value with a NUL behind it, yours to free; NULL when there is none, and *out_code says why.
 */
static inline char *cis_memory_get(const char *key, size_t *out_len, int32_t *out_code)
{
    int32_t cap = 4096;
    for (;;) {
        char *value = malloc((size_t)cap + 1);
        int32_t len = value != NULL ? cis_host_memory_get(key, (int32_t)strlen(key), value, cap)
                                    : CIS_INTERNAL_ERROR;
        if (len >= 0 && len <= cap) {
            value[len] = 0;
            *out_len = (size_t)len;
            *out_code = CIS_DONE;
            return value;
        }
        free(value);
        if (len < 0) {
            *out_code = len;
            return NULL;
        }
        cap = len;
    }
}

static inline int32_t cis_output(const void *data, size_t len)
{
    return cis_output_write(data, (int32_t)len);
}

static inline const char *cis_result_text(int32_t code)
{
    switch (code) {
    case CIS_DONE:
        return "ok";
    case CIS_BAD_INPUT:
        return "invalid input";
    case CIS_AI_ERROR:
        return "the AI service failed or is not configured";
    case CIS_MEMORY_ERROR:
        return "the memory service failed";
    case CIS_NETWORK_ERROR:
        return "the network request failed";
    case CIS_DENIED:
        return "permission denied";
    case CIS_ABSENT:
        return "not found";
    default:
        return "host error";
    }
}

#endif
