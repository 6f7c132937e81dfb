/* AI providers behind struct cis_ai_service: OpenAI-compatible chat completions, Anthropic
 * messages, Ollama chat, and commands. There is no default that pretends to answer: provider "none"
 * fails and says how to configure one. The key is read from the environment variable named
 * api_key_env (or api_key_file) at each call, is sent to the configured base_url's origin only, and
 * appears in no log, report or error. */
#ifndef CIS_SERVICE_AI_AI_H
#define CIS_SERVICE_AI_AI_H

#include "service/http/http.h"

struct cis_ai_config {
    const char *provider; /* "none" "openai" "anthropic" "ollama" "command" */
    const char *model;
    const char *base_url;    /* NULL: the provider's own; loopback is allowed: the user wrote it */
    const char *api_key_env; /* NULL: OPENAI_API_KEY, ANTHROPIC_API_KEY */
    const char *api_key_file;
    const char *command; /* preset "claude" "kimi" "opencode", or a program (unsafe_command) */
    const char *const *command_args;
    bool command_stdin; /* prompt on stdin, else as the last argument after -- */
    bool unsafe_command;
    uint32_t max_tokens; /* 0: 1024 */
    double temperature;  /* < 0: not sent */
    uint64_t timeout_ns; /* 0: 60 s; the run's deadline wins when earlier */
};

typedef struct cis_ai cis_ai;
/* Copies the config. CIS_E_USAGE: unknown provider, a command that is no preset without
 * unsafe_command, a bad base_url. */
cis_code cis_ai_new(const struct cis_ai_config *config, cis_http_client *http, cis_ai **out_ai,
                    struct cis_error *err);
void cis_ai_free(cis_ai *ai);
const struct cis_ai_service *cis_ai_service(cis_ai *ai);
/* "openai gpt-x at https://…" for doctor; never the key. */
void cis_ai_describe(const cis_ai *ai, struct cis_buf *out);

#endif
