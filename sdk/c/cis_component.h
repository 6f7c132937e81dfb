/* The C SDK of skills that are components: the world cis:skill/skill@0.1.0 in the canonical ABI,
 * one header, nothing to link and nothing to generate. Compile, then make a component of it:
 *
 *     clang --target=wasm32-wasi -mexec-model=reactor -O2 -s -I sdk/c skill.c -o skill.core.wasm
 *     cis component new skill.core.wasm -o skill.wasm
 *
 * and write one function:
 *
 *     CIS_COMPONENT_RUN(input) { … return cis_ok(text, len); }   or   return cis_err("why");
 *
 * cis_ok is the result of the run; cis_err is a skill that reports failure, whose writes are
 * dropped. Calls answer with enum cis_fault, CIS_FINE when they did what was asked. Text that comes
 * from the host is on the heap, ended by a zero, and freed by free; a run may as well leave it.
 *
 * What a skill does not call it does not import. */
#ifndef CIS_COMPONENT_SDK_H
#define CIS_COMPONENT_SDK_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "cis_component_type.h"

struct cis_text {
    char *at; /* NULL: absent */
    size_t len;
};

/* The interfaces' `error`, in its order, one higher. */
enum cis_fault {
    CIS_FINE,
    CIS_FAULT_DENIED,
    CIS_FAULT_INVALID,
    CIS_FAULT_TOO_LARGE,
    CIS_FAULT_LIMIT,
    CIS_FAULT_NOT_TEXT,
    CIS_FAULT_UNAVAILABLE,
    CIS_FAULT_TIMEOUT,
    CIS_FAULT_FAILED
};

enum cis_level { CIS_TRACE, CIS_DEBUG, CIS_INFO, CIS_WARN, CIS_ERROR };

/* ---- the canonical ABI ---- */

#define CIS_IMPORT_(interface, name)                                                               \
    __attribute__((import_module("cis:skill/" interface "@0.1.0"), import_name(name)))

/* result<T, error> of every function here: T or the error's case at 8. */
struct cis_answer_ {
    uint8_t failed, pad_[7];
    union {
        struct {
            uint8_t some, pad_[3];
            char *at;
            uint32_t len;
        } option;
        struct {
            char *at;
            uint32_t len;
        } text;
        struct {
            uint8_t which, pad_[7];
            uint64_t detail; /* too-large: the limit; invalid: pointer and length of a text */
        } error;
    };
};
_Static_assert(sizeof(struct cis_answer_) == 24, "as the canonical ABI lays it out");

CIS_IMPORT_("memory", "get")
void cis_memory_get_(const char *key, size_t len, struct cis_answer_ *out);
CIS_IMPORT_("memory", "set")
void cis_memory_set_(const char *key, size_t len, const char *value, size_t value_len,
                     struct cis_answer_ *out);
CIS_IMPORT_("memory", "delete")
void cis_memory_delete_(const char *key, size_t len, struct cis_answer_ *out);
CIS_IMPORT_("config", "get")
void cis_config_get_(const char *key, size_t len, struct cis_answer_ *out);
CIS_IMPORT_("config", "set")
void cis_config_set_(const char *key, size_t len, const char *value, size_t value_len,
                     struct cis_answer_ *out);
CIS_IMPORT_("ai", "chat")
void cis_ai_chat_(const char *prompt, size_t len, struct cis_answer_ *out);
CIS_IMPORT_("log", "log")
void cis_log_(uint32_t level, const char *text, size_t len);

/* Where the host puts what it hands over. One byte more, for the zero at the end of a text. */
__attribute__((export_name("cabi_realloc"), used, weak)) void *cis_cabi_realloc(void *old,
                                                                                size_t old_len,
                                                                                size_t align,
                                                                                size_t len)
{
    (void)old_len, (void)align; /* malloc's alignment is the largest that is asked for */
    if (len > SIZE_MAX - 1) {
        __builtin_trap();
    }
    char *at = realloc(old, len + 1);
    if (at == NULL) {
        __builtin_trap();
    }
    at[len] = 0;
    return at;
}

static inline enum cis_fault cis_fault_of_(const struct cis_answer_ *answer)
{
    if (answer->failed && answer->error.which == CIS_FAULT_INVALID - 1) {
        free((void *)(uintptr_t)(uint32_t)answer->error.detail); /* its text */
    }
    return answer->failed ? (enum cis_fault)(answer->error.which + 1) : CIS_FINE;
}

/* ---- what the host provides ---- */

static inline const char *cis_fault_text(enum cis_fault fault)
{
    static const char *const names[] = {"fine",     "denied",      "invalid", "too large", "limit",
                                        "not text", "unavailable", "timeout", "failed"};
    return names[fault <= CIS_FAULT_FAILED ? fault : CIS_FAULT_FAILED];
}

static inline void cis_log(enum cis_level level, const char *text)
{
    cis_log_((uint32_t)level, text, strlen(text));
}

/* out->at NULL with CIS_FINE: there is no such key. */
static inline enum cis_fault cis_memory_get(const char *key, struct cis_text *out)
{
    struct cis_answer_ answer;
    cis_memory_get_(key, strlen(key), &answer);
    *out = !answer.failed && answer.option.some
               ? (struct cis_text){answer.option.at, answer.option.len}
               : (struct cis_text){NULL, 0};
    return cis_fault_of_(&answer);
}

static inline enum cis_fault cis_memory_set(const char *key, const char *value, size_t len)
{
    struct cis_answer_ answer;
    cis_memory_set_(key, strlen(key), value, len, &answer);
    return cis_fault_of_(&answer);
}

static inline enum cis_fault cis_memory_delete(const char *key)
{
    struct cis_answer_ answer;
    cis_memory_delete_(key, strlen(key), &answer);
    return cis_fault_of_(&answer);
}

static inline enum cis_fault cis_config_get(const char *key, struct cis_text *out)
{
    struct cis_answer_ answer;
    cis_config_get_(key, strlen(key), &answer);
    *out = !answer.failed && answer.option.some
               ? (struct cis_text){answer.option.at, answer.option.len}
               : (struct cis_text){NULL, 0};
    return cis_fault_of_(&answer);
}

static inline enum cis_fault cis_config_set(const char *key, const char *value, size_t len)
{
    struct cis_answer_ answer;
    cis_config_set_(key, strlen(key), value, len, &answer);
    return cis_fault_of_(&answer);
}

static inline enum cis_fault cis_ai_chat(const char *prompt, size_t len, struct cis_text *out)
{
    struct cis_answer_ answer;
    cis_ai_chat_(prompt, len, &answer);
    *out = !answer.failed ? (struct cis_text){answer.text.at, answer.text.len}
                          : (struct cis_text){NULL, 0};
    return cis_fault_of_(&answer);
}

/* ---- what the skill exports ---- */

struct cis_outcome { /* result<string, string> */
    uint8_t failed, pad_[3];
    const char *at;
    size_t len;
};

/* UTF-8, which stays where it is until the run is over. */
static inline struct cis_outcome cis_ok(const char *text, size_t len)
{
    return (struct cis_outcome){.at = text, .len = len};
}

static inline struct cis_outcome cis_err(const char *why)
{
    return (struct cis_outcome){.failed = 1, .at = why, .len = strlen(why)};
}

#define CIS_COMPONENT_RUN(input)                                                                   \
    static struct cis_outcome cis_component_run_(struct cis_text input);                           \
    __attribute__((export_name("run"), used)) const struct cis_outcome *cis_component_enter_(      \
        char *at, size_t len)                                                                      \
    {                                                                                              \
        static struct cis_outcome outcome;                                                         \
        outcome = cis_component_run_((struct cis_text){at, len});                                  \
        return &outcome;                                                                           \
    }                                                                                              \
    static struct cis_outcome cis_component_run_(struct cis_text input)

#endif
