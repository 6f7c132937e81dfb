/* Inside service/ai/: one provider, its key, and what an exchange needs. */
#ifndef CIS_SERVICE_AI_INTERNAL_H
#define CIS_SERVICE_AI_INTERNAL_H

#include <jansson.h>
#include "service/ai/ai.h"

struct cis_ai;

/* How a provider over HTTP speaks: a row of a table. */
struct cis_ai_dialect {
    const char *name, *base_url, *key_env; /* key_env NULL: needs no key */
    const char *path;                      /* after the base URL */
    /* Body of the request. */
    void (*write)(const struct cis_ai *ai, struct cis_str prompt, uint32_t max_tokens,
                  struct cis_buf *out);
    /* Appends the answer's text; false: the reply has not this shape. */
    bool (*read)(const json_t *reply, struct cis_buf *out_text, struct cis_ai_usage *out_usage);
};
/* NULL: no such provider. */
const struct cis_ai_dialect *cis_ai_dialect_of(const char *provider);

struct cis_ai {
    struct cis_ai_service service;
    cis_http_client *http;
    const struct cis_ai_dialect *dialect; /* NULL: command or none */
    char *provider, *model, *base_url, *key_env, *key_file, *command;
    char **args;
    bool own_url; /* base_url was configured */
    bool with_stdin;
    struct cis_grants grants; /* exactly the origin of base_url */
    uint32_t max_tokens;
    double temperature;
    uint64_t timeout_ns;
};

/* The key, wiped by cis_ai_key_done. Empty when none is needed; CIS_E_PROVIDER when one is. */
cis_code cis_ai_key_read(const struct cis_ai *ai, struct cis_buf *out_key, struct cis_error *err);
void cis_ai_key_done(struct cis_buf *key);
/* Text of a provider for an error: every piece of the key of 8 bytes or more is taken out. */
void cis_ai_redact(struct cis_str text, struct cis_str key, struct cis_buf *out);

cis_code cis_ai_http_chat(const struct cis_ai *ai, const struct cis_call *call,
                          const struct cis_ai_request *request, uint32_t max_tokens,
                          struct cis_buf *out_text, struct cis_ai_usage *out_usage,
                          struct cis_error *err);
cis_code cis_ai_command_chat(const struct cis_ai *ai, const struct cis_call *call,
                             const struct cis_ai_request *request, struct cis_buf *out_text,
                             struct cis_error *err);
bool cis_ai_is_preset(const char *command);

#endif
