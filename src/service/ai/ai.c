/* Configuration of the provider, and the dispatch of a call to it. */
#include "service/ai/ai.h"

#include "base/cancel.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"
#include "service/ai/internal.h"

#define TOKENS_DEFAULT 1024u
#define TIMEOUT_DEFAULT (60 * CIS_NS_PER_S)

const cis_ai *cis_ai_of(const struct cis_ai_service *service)
{
    return service->self;
}

static cis_code provider_check(const struct cis_ai *ai, struct cis_error *err)
{
    if (ai->dialect == NULL && ai->command == NULL) {
        return cis_fail(err, CIS_E_PROVIDER,
                        "ai: no provider is configured; set [ai] provider (openai, anthropic, "
                        "ollama or command) in config.toml, see cis config show");
    }
    if (ai->dialect != NULL && ai->model == NULL) {
        return cis_fail(err, CIS_E_PROVIDER, "ai: no model; set [ai] model in config.toml");
    }
    return CIS_OK;
}

cis_code cis_ai_ready(const cis_ai *ai, struct cis_error *err)
{
    CIS_TRY(provider_check(ai, err));
    if (ai->command != NULL && !cis_process_exists(ai->command)) {
        return cis_fail(err, CIS_E_PROVIDER, "ai command %s: no such program in PATH", ai->command);
    }
    CIS_CLEANUP(cis_ai_key_done) struct cis_buf key = CIS_BUF_INIT(0);
    return cis_ai_key_read(ai, &key, err);
}

static enum cis_code chat(void *self, const struct cis_call *call,
                          const struct cis_ai_request *request, struct cis_sink *out_text,
                          struct cis_ai_usage *out_usage, struct cis_error *err)
{
    const struct cis_ai *ai = self;
    CIS_TRY(provider_check(ai, err));
    if (request->prompt_len > CIS_AI_PROMPT_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "ai: a prompt of more than %u bytes", CIS_AI_PROMPT_MAX);
    }
    struct cis_call within = *call;
    uint64_t timeout = cis_clock_after(cis_clock_mono_ns(), ai->timeout_ns);
    within.deadline_ns = timeout < call->deadline_ns ? timeout : call->deadline_ns;
    struct cis_stop stop = {within.deadline_ns, NULL};
    if (call->stop != NULL) {
        stop.cancel = ((const struct cis_stop *)call->stop)->cancel;
    }
    within.stop = &stop;
    uint32_t max_tokens = ai->max_tokens;
    if (request->max_tokens != 0 && request->max_tokens < max_tokens) {
        max_tokens = request->max_tokens;
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_AI_ANSWER_MAX);
    struct cis_ai_usage usage = CIS_AI_USAGE_INIT;
    if (ai->dialect != NULL) {
        CIS_TRY(cis_ai_http_chat(ai, &within, request, max_tokens, &text, &usage, err));
    } else {
        CIS_TRY(cis_ai_command_chat(ai, &within, request, &text, err));
    }
    if (usage.input_tokens == 0 && usage.output_tokens == 0) { /* not told: 4 bytes a token */
        usage.input_tokens = request->prompt_len / 4 + 1;
        usage.output_tokens = text.len / 4 + 1;
    }
    out_usage->input_tokens = usage.input_tokens;
    out_usage->output_tokens = usage.output_tokens;
    if (text.len != 0 && out_text->write(out_text->self, text.ptr, text.len) != CIS_OK) {
        return cis_fail(err, CIS_E_LIMIT, "ai: the answer of %zu bytes is too large", text.len);
    }
    return CIS_OK;
}

const char *cis_ai_key_variable(const struct cis_ai_service *service)
{
    return service != NULL && service->chat == chat ? cis_ai_of(service)->key_env : NULL;
}

/* ---- configuration ---- */
static cis_code copy(const char *from, char **to, struct cis_error *err)
{
    if (from != NULL && from[0] != 0) {
        *to = cis_strdup(from);
        if (*to == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "ai: out of memory");
        }
    }
    return CIS_OK;
}

static cis_code copy_list(const char *const *from, char ***to, struct cis_error *err)
{
    size_t n = 0;
    while (from != NULL && from[n] != NULL) {
        n++;
    }
    if (n == 0) {
        return CIS_OK;
    }
    if (n > 64) {
        return cis_fail(err, CIS_E_USAGE, "ai.command_args: more than 64");
    }
    *to = cis_calloc(cis_size_add(n, 1), sizeof **to);
    for (size_t i = 0; *to != NULL && i < n; i++) {
        (*to)[i] = cis_strdup(from[i]);
        if ((*to)[i] == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "ai: out of memory");
        }
    }
    return *to != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "ai: out of memory");
}

/* The one origin that this provider may be asked at. */
static cis_code grant_origin(struct cis_ai *ai, struct cis_error *err)
{
    size_t len = strlen(ai->base_url);
    while (len != 0 && ai->base_url[len - 1] == '/') {
        ai->base_url[--len] = 0;
    }
    CIS_CLEANUP(cis_url_done) struct cis_url url = {0};
    struct cis_error why = {0};
    if (strpbrk(ai->base_url, "?#") != NULL) {
        return cis_fail(err, CIS_E_USAGE, "ai.base_url: must not have a query or a fragment");
    }
    if (cis_url_parse(cis_str_of(ai->base_url), &url, &why) != CIS_OK) {
        return cis_fail(err, CIS_E_USAGE, "ai.base_url: %s", why.msg);
    }
    bool v6 = strchr(url.host, ':') != NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf grant = CIS_BUF_INIT(1024);
    cis_buf_printf(&grant, "http=%s://%s%s%s:%u", url.scheme, v6 ? "[" : "", url.host,
                   v6 ? "]" : "", url.port);
    CIS_TRY(cis_buf_check(&grant, "ai.base_url", err));
    return cis_grants_add(&ai->grants, cis_buf_view(&grant), err);
}

static cis_code take_command(struct cis_ai *ai, const struct cis_ai_config *config,
                             struct cis_error *err)
{
    CIS_TRY(copy(config->command, &ai->command, err));
    CIS_TRY(copy_list(config->command_args, &ai->args, err));
    if (ai->command == NULL) {
        return cis_fail(err, CIS_E_USAGE, "ai.command: not set, and ai.provider is \"command\"");
    }
    if (!cis_ai_is_preset(ai->command) && !config->unsafe_command) {
        return cis_fail(err, CIS_E_USAGE,
                        "ai.command \"%s\" is not one of claude, kimi, opencode; prompts of guests "
                        "would control it: set ai.unsafe_command = true to allow that",
                        ai->command);
    }
    if (cis_ai_is_preset(ai->command) && ai->args != NULL && !config->unsafe_command) {
        return cis_fail(err, CIS_E_USAGE,
                        "ai.command_args could switch the tools of %s on again: set "
                        "ai.unsafe_command = true to allow that",
                        ai->command);
    }
    ai->with_stdin = config->command_stdin;
    return CIS_OK;
}

static cis_code take_config(struct cis_ai *ai, const struct cis_ai_config *config,
                            struct cis_error *err)
{
    CIS_TRY(copy(config->provider != NULL ? config->provider : "none", &ai->provider, err));
    CIS_TRY(copy(config->model, &ai->model, err));
    CIS_TRY(copy(config->api_key_env, &ai->key_env, err));
    CIS_TRY(copy(config->api_key_file, &ai->key_file, err));
    ai->max_tokens = config->max_tokens != 0 ? config->max_tokens : TOKENS_DEFAULT;
    ai->temperature = config->temperature;
    ai->timeout_ns = config->timeout_ns != 0 ? config->timeout_ns : TIMEOUT_DEFAULT;
    if (ai->provider == NULL || strcmp(ai->provider, "none") == 0) {
        return CIS_OK;
    }
    if (strcmp(ai->provider, "command") == 0) {
        return take_command(ai, config, err);
    }
    ai->dialect = cis_ai_dialect_of(ai->provider);
    if (ai->dialect == NULL) {
        return cis_fail(err, CIS_E_USAGE,
                        "ai.provider \"%s\" is not one of none, openai, anthropic, ollama, command",
                        ai->provider);
    }
    if (ai->http == NULL) {
        return cis_fail(err, CIS_E_USAGE, "ai.provider %s needs an HTTP client", ai->provider);
    }
    ai->own_url = config->base_url != NULL && config->base_url[0] != 0;
    CIS_TRY(copy(ai->own_url ? config->base_url : ai->dialect->base_url, &ai->base_url, err));
    return grant_origin(ai, err);
}

cis_code cis_ai_new(const struct cis_ai_config *config, cis_http_client *http, cis_ai **out_ai,
                    struct cis_error *err)
{
    struct cis_ai *ai = cis_zalloc(sizeof *ai);
    if (ai == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "ai: out of memory");
    }
    ai->service = (struct cis_ai_service){.size = sizeof ai->service, .self = ai, .chat = chat};
    ai->http = http;
    ai->grants = CIS_GRANTS_INIT;
    cis_code code = take_config(ai, config, err);
    if (code != CIS_OK) {
        cis_ai_free(ai);
        return code;
    }
    *out_ai = ai;
    return CIS_OK;
}

void cis_ai_free(cis_ai *ai)
{
    if (ai == NULL) {
        return;
    }
    for (size_t i = 0; ai->args != NULL && ai->args[i] != NULL; i++) {
        cis_free(ai->args[i]);
    }
    cis_free(ai->args);
    cis_free(ai->provider);
    cis_free(ai->model);
    cis_free(ai->base_url);
    cis_free(ai->key_env);
    cis_free(ai->key_file);
    cis_free(ai->command);
    cis_grants_done(&ai->grants);
    cis_free(ai);
}

const struct cis_ai_service *cis_ai_service(cis_ai *ai)
{
    return &ai->service;
}

void cis_ai_describe(const cis_ai *ai, struct cis_buf *out)
{
    if (ai->dialect != NULL) {
        cis_buf_printf(out, "%s %s at %s", ai->provider,
                       ai->model != NULL ? ai->model : "(no model set)", ai->base_url);
    } else if (ai->command != NULL) {
        cis_buf_printf(out, "command %s%s", ai->command,
                       cis_ai_is_preset(ai->command) ? ", its own tools switched off" : "");
    } else {
        cis_buf_text(out, "none");
    }
}
