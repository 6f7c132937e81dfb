/* Sizes of public structs, honoured in both directions. One row a struct; a struct that grows keeps
 * its row's `first`. */
#include "lib/sized.h"

#include <string.h>
#include "base/error.h"
#include "cis/cis.h"
#include "cis/http_handler.h"

#define NEWER_MAX 4096u /* bytes of a newer struct; more is no size but something else */

#define ROW(type, what, init)                                                                      \
    {                                                                                              \
        what, init, sizeof(type), sizeof(type)                                                     \
    }
#define GROWN(type, added, what, init)                                                             \
    {                                                                                              \
        what, init, offsetof(type, added), sizeof(type)                                            \
    }

const struct cis_sized cis_sized_runtime_config =
    GROWN(struct cis_runtime_config, cache_max, "runtime config", "CIS_RUNTIME_CONFIG_INIT");
const struct cis_sized cis_sized_run_options =
    GROWN(struct cis_run_options, handles, "run options", "CIS_RUN_OPTIONS_INIT");
const struct cis_sized cis_sized_skill_options =
    ROW(struct cis_skill_options, "skill options", "CIS_SKILL_OPTIONS_INIT");
const struct cis_sized cis_sized_workspace_options = GROWN(
    struct cis_workspace_options, from_tenant, "workspace options", "CIS_WORKSPACE_OPTIONS_INIT");
const struct cis_sized cis_sized_http_incoming =
    ROW(struct cis_http_incoming, "HTTP request", "CIS_HTTP_INCOMING_INIT");
const struct cis_sized cis_sized_http_answer =
    GROWN(struct cis_http_answer, host_bytes, "HTTP answer", "CIS_HTTP_ANSWER_INIT");
static const struct cis_sized memory_service =
    ROW(struct cis_memory_service, "memory service", "CIS_MEMORY_SERVICE_INIT");
static const struct cis_sized ai_service =
    ROW(struct cis_ai_service, "AI service", "CIS_AI_SERVICE_INIT");
static const struct cis_sized http_service =
    GROWN(struct cis_http_service, open, "HTTP service", "CIS_HTTP_SERVICE_INIT");
static const struct cis_sized log_service =
    ROW(struct cis_log_service, "log service", "CIS_LOG_SERVICE_INIT");

static uint32_t size_of(const void *from)
{
    uint32_t size;
    memcpy(&size, from, sizeof size);
    return size;
}

cis_code cis_sized_check(const struct cis_sized *kind, const void *from, struct cis_error *err)
{
    size_t size = size_of(from);
    if (size < kind->first || size > kind->known + NEWER_MAX) {
        return cis_fail(err, CIS_E_USAGE, "%s: size is %zu, not %zu (use %s)", kind->what, size,
                        kind->known, kind->init);
    }
    const uint8_t *bytes = from;
    for (size_t i = kind->known; i < size; i++) {
        if (bytes[i] != 0) {
            return cis_fail(
                err, CIS_E_USAGE,
                "%s: made for a newer libcis, and something is set that this one does not know",
                kind->what);
        }
    }
    return CIS_OK;
}

cis_code cis_sized_take(const struct cis_sized *kind, const void *from, void *inout,
                        struct cis_error *err)
{
    if (from == NULL) {
        return CIS_OK;
    }
    CIS_TRY(cis_sized_check(kind, from, err));
    size_t size = size_of(from);
    memcpy(inout, from, size < kind->known ? size : kind->known);
    uint32_t whole = (uint32_t)kind->known;
    memcpy(inout, &whole, sizeof whole);
    return CIS_OK;
}

void cis_sized_give(const struct cis_sized *kind, const void *whole, void *out)
{
    size_t size = size_of(out), skip = sizeof(uint32_t);
    memcpy((uint8_t *)out + skip, (const uint8_t *)whole + skip,
           (size < kind->known ? size : kind->known) - skip);
}

/* ---- services ---- */

static cis_code lacks(const struct cis_sized *kind, const char *entry, struct cis_error *err)
{
    return cis_fail(err, CIS_E_USAGE, "%s: has no %s", kind->what, entry);
}

cis_code cis_lib_memory_take(const struct cis_memory_service *from, struct cis_memory_service *out,
                             struct cis_error *err)
{
    *out = (struct cis_memory_service)CIS_MEMORY_SERVICE_INIT;
    CIS_TRY(cis_sized_take(&memory_service, from, out, err));
    return out->get == NULL      ? lacks(&memory_service, "get", err)
           : out->commit == NULL ? lacks(&memory_service, "commit", err)
                                 : CIS_OK;
}

cis_code cis_lib_services_take(struct cis_services *inout, struct cis_lib_services *out,
                               struct cis_error *err)
{
    struct cis_services given = *inout;
    if (given.memory != NULL) {
        CIS_TRY(cis_lib_memory_take(given.memory, &out->memory, err));
        inout->memory = &out->memory;
    }
    if (given.ai != NULL) {
        out->ai = (struct cis_ai_service)CIS_AI_SERVICE_INIT;
        CIS_TRY(cis_sized_take(&ai_service, given.ai, &out->ai, err));
        CIS_TRY(out->ai.chat != NULL ? CIS_OK : lacks(&ai_service, "chat", err));
        inout->ai = &out->ai;
    }
    if (given.http != NULL) {
        out->http = (struct cis_http_service)CIS_HTTP_SERVICE_INIT;
        CIS_TRY(cis_sized_take(&http_service, given.http, &out->http, err));
        CIS_TRY(out->http.send != NULL ? CIS_OK : lacks(&http_service, "send", err));
        inout->http = &out->http;
    }
    if (given.log != NULL) {
        out->log = (struct cis_log_service)CIS_LOG_SERVICE_INIT;
        CIS_TRY(cis_sized_take(&log_service, given.log, &out->log, err));
        CIS_TRY(out->log.line != NULL ? CIS_OK : lacks(&log_service, "line", err));
        inout->log = &out->log;
    }
    return CIS_OK;
}
