/* One row for each public struct that begins with its size and that the library reads, or fills for
 * its caller. */
#include "lib/sized.h"

#include "cis/cis.h"
#include "cis/http_handler.h"

const struct cis_sized cis_sized_runtime_config = CIS_SIZED_GROWN(
    struct cis_runtime_config, cache_max, "runtime config", "CIS_RUNTIME_CONFIG_INIT");
const struct cis_sized cis_sized_run_options =
    CIS_SIZED_GROWN(struct cis_run_options, handles, "run options", "CIS_RUN_OPTIONS_INIT");
const struct cis_sized cis_sized_skill_options =
    CIS_SIZED(struct cis_skill_options, "skill options", "CIS_SKILL_OPTIONS_INIT");
const struct cis_sized cis_sized_workspace_options = CIS_SIZED_GROWN(
    struct cis_workspace_options, from_tenant, "workspace options", "CIS_WORKSPACE_OPTIONS_INIT");
const struct cis_sized cis_sized_compose_options =
    CIS_SIZED(struct cis_compose_options, "compose options", "CIS_COMPOSE_OPTIONS_INIT");
const struct cis_sized cis_sized_http_incoming =
    CIS_SIZED(struct cis_http_incoming, "HTTP request", "CIS_HTTP_INCOMING_INIT");
const struct cis_sized cis_sized_http_answer =
    CIS_SIZED_GROWN(struct cis_http_answer, host_bytes, "HTTP answer", "CIS_HTTP_ANSWER_INIT");
const struct cis_sized cis_sized_file_info =
    CIS_SIZED(struct cis_file_info, "file info", "CIS_FILE_INFO_INIT");
static const struct cis_sized services =
    CIS_SIZED(struct cis_services, "services", "CIS_SERVICES_INIT");
static const struct cis_sized memory_service =
    CIS_SIZED(struct cis_memory_service, "memory service", "CIS_MEMORY_SERVICE_INIT");
static const struct cis_sized ai_service =
    CIS_SIZED(struct cis_ai_service, "AI service", "CIS_AI_SERVICE_INIT");
static const struct cis_sized http_service =
    CIS_SIZED_GROWN(struct cis_http_service, open, "HTTP service", "CIS_HTTP_SERVICE_INIT");
static const struct cis_sized log_service =
    CIS_SIZED(struct cis_log_service, "log service", "CIS_LOG_SERVICE_INIT");

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

cis_code cis_lib_services_take(const struct cis_services *from, struct cis_services *inout,
                               struct cis_lib_services *out, struct cis_error *err)
{
    struct cis_services given = CIS_SERVICES_INIT;
    CIS_TRY(cis_sized_take(&services, from, &given, err));
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
