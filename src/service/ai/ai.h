/* AI providers behind struct cis_ai_service: OpenAI-compatible chat completions, Anthropic
 * messages, Ollama chat, and commands. There is no default that pretends to answer: provider "none"
 * fails and says how to configure one. The key is read from the environment variable named
 * api_key_env (or from api_key_file) at each call, is sent to the configured base_url's origin only
 * and not along redirects, and appears in no log, report or error.
 *
 * Failures: PROVIDER (not configured, an answer that is an error or has the wrong shape, a command
 * that failed), LIMIT (prompt over 16 MiB, answer over 16 MiB), DEADLINE (the provider's timeout or
 * the run's deadline, whichever is earlier), CANCELLED, and those of the HTTP client.
 * Threads: any number of calls at once. */
#ifndef CIS_SERVICE_AI_AI_H
#define CIS_SERVICE_AI_AI_H

#include "service/http/http.h"

#define CIS_AI_PROMPT_MAX (16u * 1024u * 1024u)
#define CIS_AI_ANSWER_MAX (16u * 1024u * 1024u)

struct cis_ai_config {
    const char *provider; /* NULL or "none"; "openai" "anthropic" "ollama" "command" */
    const char *model;
    /* NULL: https://api.openai.com/v1, https://api.anthropic.com, http://127.0.0.1:11434. Loopback
     * and private addresses are allowed as written (not through a name): the user wrote them. */
    const char *base_url;
    const char *api_key_env; /* NULL: OPENAI_API_KEY, ANTHROPIC_API_KEY */
    const char *api_key_file;
    const char *command; /* preset "claude" "kimi" "opencode", or a program (unsafe_command) */
    const char *const *command_args;
    bool command_stdin; /* prompt on stdin, else as the last argument after --; presets: stdin */
    bool unsafe_command;
    uint32_t max_tokens; /* 0: 1024; a request may ask for fewer */
    double temperature;  /* < 0: not sent */
    uint64_t timeout_ns; /* 0: 60 s */
};

typedef struct cis_ai cis_ai;
/* Copies the config; borrows http (which may be NULL for "none" and "command"). CIS_E_USAGE:
 * unknown provider, a command that is no preset without unsafe_command, a bad base_url. */
cis_code cis_ai_new(const struct cis_ai_config *config, cis_http_client *http, cis_ai **out_ai,
                    struct cis_error *err);
void cis_ai_free(cis_ai *ai);
const struct cis_ai_service *cis_ai_service(cis_ai *ai);
/* The provider behind a service that cis_ai_service gave out. */
const cis_ai *cis_ai_of(const struct cis_ai_service *service);
/* Is everything there that a call needs (provider, model, key, program)? Asks nobody. */
cis_code cis_ai_ready(const cis_ai *ai, struct cis_error *err);
/* Is this the variable that holds a key: the configured one (may be NULL), or a provider's own? No
 * grant reaches it. */
bool cis_ai_key_is_in(const char *api_key_env, const char *variable);
/* The variable that this service takes its key from; NULL: none that is known, as of an embedder's
 * own service. NULL is allowed. */
const char *cis_ai_key_variable(const struct cis_ai_service *service);
/* "openai gpt-x at https://…" for doctor; never the key. */
void cis_ai_describe(const cis_ai *ai, struct cis_buf *out);

#endif
