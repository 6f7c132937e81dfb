/* One run from request to outcome: open, call, close the guest, commit or discard, report. */
#include "run/session.h"

#include <stdio.h>
#include "base/clock.h"
#include "base/mem.h"
#include "provider/corelibs/corelibs.h"
#include "run/program.h"
#include "wasi/p1/p1.h"
#include "wasi/p2/p2.h"
#include "store/calls.h"

/* What is done for a run after its guest has ended has limits of its own: the run's deadline may be
 * used up, and its commit is not the guest's time. It ends at the run's cancellation as well, but
 * for the record alone, which is a row and has to be written then, too. */
#define LOOK_NS (30 * CIS_NS_PER_S)
#define COMMIT_NS (60 * CIS_NS_PER_S)

static struct cis_stop stop_after(uint64_t ns, cis_cancel *cancel)
{
    return (struct cis_stop){cis_clock_after(cis_clock_mono_ns(), ns), cancel};
}

void cis_run_outcome_done(struct cis_run_outcome *outcome)
{
    cis_buf_done(&outcome->output);
    cis_buf_done(&outcome->report);
    cis_buf_done(&outcome->question);
    for (size_t i = 0; i < 3; i++) {
        cis_buf_done(&outcome->std[i].kept);
    }
    cis_free(outcome->backtrace);
    outcome->backtrace = NULL;
}

/* The guest knows an instant, the user a span: the time limit is told as it was configured. */
static void tell_time(const cis_session *s, struct cis_run_outcome *o,
                      struct cis_engine_instance_end *end)
{
    if (o->code != CIS_E_DEADLINE || s->request.time_ns == CIS_NEVER) {
        return;
    }
    end->limit = "time";
    end->configured = s->request.time_ns / CIS_NS_PER_MS;
    end->reached = (cis_clock_mono_ns() - s->started_ns) / CIS_NS_PER_MS;
    cis_fail(&o->error, o->code, "time limit of %llu ms reached",
             (unsigned long long)end->configured);
}

/* Calls the skill in an open session and takes over its result. */
static void call(cis_session *s, struct cis_run_outcome *o, int64_t *out_skill_code)
{
    struct cis_skillabi_result result = {.value = CIS_BUF_INIT(s->request.output_max)};
    o->code = cis_skillabi_run(s->host.instance, &s->host, &s->request.abi, &result, &o->error);
    if (o->code == CIS_OK && !result.success) {
        o->code = cis_fail(&o->error, CIS_E_FAILED, "%s: the skill reported failure (code %lld)",
                           s->request.skill, (long long)result.code);
    }
    *out_skill_code = result.code;
    o->output = result.value;
    o->is_json = result.is_json;
    o->raw = s->host.output_written;
}

/* The same for a program: its exit code is its own, and it has no other result. It may have ended
 * before it was called: a module's start function can exit, too. */
static void call_program(cis_session *s, struct cis_run_outcome *o)
{
    const struct cis_engine_instance_end *end = cis_engine_instance_end(s->host.instance);
    o->output = CIS_BUF_INIT(1u << 20);
    bool failed = false; /* a component's word for exit code 1 */
    if (end->exited) {
        o->code = CIS_OK;
    } else if (cis_engine_module_info(s->request.module)->component) {
        o->code = cis_run_component_call(s, &failed, &o->output, &o->error);
    } else {
        o->code = cis_run_program_call(s, &o->output, &o->error);
    }
    o->exited = o->code == CIS_OK;
    o->exit_code = end->exited ? end->exit_code : failed;
    if (o->exited && o->exit_code != 0) {
        o->code = cis_fail(&o->error, CIS_E_FAILED, "exited with code %d", o->exit_code);
    }
}

static cis_code write_commit(cis_session *s, enum cis_run_keeping how,
                             const struct cis_session_changes *c, const struct cis_run_row *row,
                             struct cis_error *err)
{
    const struct cis_memory_service *service = s->host.services.memory;
    struct cis_store_memory *mine = service != NULL ? cis_store_memory_of(service) : NULL;
    bool together = mine != NULL && mine->store == s->request.store;
    if (!together && c->nmemory != 0 && !s->memory_told) {
        /* An embedder's own memory: first its commit, then our record of it. Once, also when the
         * files are refused afterwards and kept beside. */
        s->memory_told = true;
        CIS_TRY(cis_session_tell_memory(s, c, err));
    }
    if (s->request.store == NULL) {
        return CIS_OK;
    }
    struct cis_store_commit commit = {.run = row,
                                      .kv = together ? c->kv : NULL,
                                      .nkv = together ? c->nmemory : 0,
                                      .config = c->config,
                                      .nconfig = c->nconfig,
                                      .note = s->files != NULL ? s->request.skill : NULL,
                                      .quota_bytes = together ? mine->quota_bytes : 0,
                                      .quota_keys = together ? mine->quota_keys : 0};
    struct cis_stop stop =
        stop_after(COMMIT_NS, how == CIS_KEEP_NOTHING ? NULL : s->request.cancel);
    return cis_run_files_write(s->files, how, s->request.store, cis_str_of(s->request.tenant),
                               &commit, &stop, err);
}

static void make_report(struct cis_report *r, size_t result_max, struct cis_buf *out)
{
    cis_buf_reset(out);
    cis_report_write(r, result_max, out);
}

/* Of the result in the report: a copy beside the output, with escapes, that is made after the
 * guest's end. For who asks for it, within a bound, and paid for as the output itself. */
static size_t result_max(cis_session *s, const struct cis_run_outcome *o)
{
    size_t len = o->output.len;
    bool whole = s->request.result_in_report && len > CIS_STORED_RESULT_MAX &&
                 len <= CIS_REPORT_RESULT_MAX && !cis_cancel_fired(s->request.cancel) &&
                 cis_budget_charge(&s->host.budget, 6 * (uint64_t)len, "report", NULL) == CIS_OK;
    return whole ? CIS_REPORT_RESULT_MAX : CIS_STORED_RESULT_MAX;
}

int cis_run_exit_code(const cis_session *s, const struct cis_run_outcome *o)
{
    return s->request.program == NULL ? cis_code_skill_exit(o->code)
           : o->exited && (o->code == CIS_OK || o->code == CIS_E_FAILED)
               ? o->exit_code & 0xff
               : cis_code_run_exit(o->code);
}

/* What is committed apart from the record comes before it, so that the record names it. */
static cis_code write_beside(cis_session *s, enum cis_run_keeping how,
                             const struct cis_session_changes *c, struct cis_error *err)
{
    const struct cis_run_request *r = &s->request;
    struct cis_stop stop = {cis_clock_after(cis_clock_mono_ns(), COMMIT_NS), NULL};
    if (s->files == NULL || r->fs_cache == NULL || r->store == NULL || how == CIS_KEEP_NOTHING) {
        return CIS_OK;
    }
    const struct cis_memory_service *service = s->host.services.memory;
    struct cis_store_memory *mine = service != NULL ? cis_store_memory_of(service) : NULL;
    bool memory = c->nmemory != 0 && mine != NULL && mine->store == r->store;
    return cis_run_files_beside(s->files, memory, how == CIS_KEEP_BESIDE, &stop, err);
}

static cis_code write_once(cis_session *s, struct cis_report *r, struct cis_run_outcome *o,
                           enum cis_run_keeping how, struct cis_session_changes *changes,
                           struct cis_error *err)
{
    bool files = s->files != NULL && cis_run_files_dirty(s->files);
    CIS_TRY(write_beside(s, how, changes, err));
    r->committed = how == CIS_KEEP && (changes->nmemory != 0 || changes->nconfig != 0 || files);
    r->changes = changes;
    r->ended_ms = cis_clock_wall_ms();
    r->wall_ns = cis_clock_mono_ns() - s->started_ns;
    make_report(r, CIS_STORED_RESULT_MAX, &o->report);
    CIS_TRY(cis_buf_check(&o->report, "report", err));
    struct cis_run_row row = {.skill = cis_str_of(s->request.skill),
                              .status = cis_str_of(cis_run_status(o->code)),
                              .exit_code = cis_run_exit_code(s, o),
                              .started_ms = s->started_ms,
                              .ended_ms = r->ended_ms,
                              .report = cis_buf_view(&o->report)};
    memcpy(row.id, s->id, sizeof row.id);
    return write_commit(s, how, changes, &row, err);
}

static void store_and_report(cis_session *s, struct cis_report *r, struct cis_run_outcome *o,
                             enum cis_run_keeping how, struct cis_session_changes *changes)
{
    for (bool last = false;;) {
        struct cis_error why;
        cis_code code = write_once(s, r, o, how, changes, &why);
        if (code == CIS_OK) {
            return;
        }
        /* Not kept as it was meant to be: say so, and keep at least the record of that. */
        if (how == CIS_KEEP || o->code == CIS_OK) {
            o->code = code;
            o->error = why;
        }
        if (last) {
            make_report(r, CIS_STORED_RESULT_MAX, &o->report);
            return;
        }
        how = cis_run_files_next(s->files, how, code);
        if (how == CIS_KEEP_NOTHING) {
            cis_session_changes_done(changes);
            last = true;
        }
    }
}

/* Where the files are now: of the mount that carried the record. */
static void tell_files(const cis_session *s, struct cis_run_outcome *o)
{
    size_t n = 0;
    const struct cis_run_mounted *m = s->files != NULL ? cis_run_files_mounted(s->files, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        bool workspace = strcmp(m[i].kind, "workspace") == 0;
        if (m[i].committed && (workspace || o->branch[0] == 0)) {
            const char *name = m[i].fork != NULL ? m[i].fork : m[i].branch;
            o->files = m[i].after;
            snprintf(o->branch, sizeof o->branch, "%s", name);
        }
    }
}

/* Whatever a guest made of a refusal: the person may want to allow it before anything is kept. */
static void ask_for_refused(const cis_session *s, const struct cis_engine_instance_usage *usage,
                            struct cis_run_outcome *o)
{
    bool ended = o->code == CIS_OK || o->code == CIS_E_FAILED || o->code == CIS_E_TRAP ||
                 o->code == CIS_E_DENIED;
    for (unsigned g = 1; ended && g < CIS_GRANT_COUNT; g++) {
        uint32_t bit = s->request.ask_refused & CIS_GRANT_BIT(g);
        o->refused |= usage->grants_refused[g] != 0 ? bit : 0;
    }
    if (o->refused != 0) {
        o->code = cis_fail(&o->error, CIS_E_INPUT_REQUIRED,
                           "was refused what the person may allow (grants.refused)");
    }
}

static cis_code finish(cis_session *s, struct cis_run_outcome *o, int64_t skill_code,
                       struct cis_error *err)
{
    struct cis_engine_instance_usage usage = {0};
    struct cis_engine_instance_end end = {0};
    struct cis_skillabi_plan plan = {0};
    cis_host_stderr_flush(&s->host);
    if (s->host.instance != NULL) {
        cis_engine_instance_usage(s->host.instance, &usage);
        end = *cis_engine_instance_end(s->host.instance);
        /* An exit unwinds the guest like a trap; where it stood then is no news to anybody. */
        o->backtrace =
            cis_strdup(end.exited ? "" : cis_engine_instance_backtrace(s->host.instance));
        cis_session_end_guest(s); /* its memory is not held while the store is waited for */
    }
    tell_time(s, o, &end);
    ask_for_refused(s, &usage, o);
    if (o->code == CIS_E_INPUT_REQUIRED) {
        o->question = s->host.question;
        s->host.question = (struct cis_buf){0};
    }
    cis_run_recording_end(s, o);
    cis_wasi_p2_end(&s->host);
    cis_corelibs_end(&s->host);
    cis_wasi_p1_end(&s->host); /* what the guest left open is closed before it is committed */
    bool keep = s->request.tx != CIS_TX_DISCARD &&
                (o->code == CIS_OK || (o->code == CIS_E_FAILED && s->request.tx == CIS_TX_ALWAYS));
    struct cis_session_changes changes = {0};
    CIS_TRY(cis_session_changes(s, keep, &changes, err));
    CIS_CLEANUP(cis_file_changes_done) struct cis_file_changes files = {0};
    struct cis_stop look = stop_after(LOOK_NS, s->request.cancel);
    cis_file_changes_collect(s->files, &look, &files);
    if (s->request.program == NULL) {
        cis_skillabi_plan(cis_engine_module_info(s->request.module), &s->request.abi, &plan, NULL);
    } else {
        cis_run_program_entry(&s->request, &plan.entry, NULL);
    }
    bool changed = s->files != NULL && cis_run_files_dirty(s->files);
    if (!keep && s->files != NULL) {
        cis_run_files_plan_nothing(s->files);
        cis_run_files_discard(s->files);
    }
    CIS_CLEANUP(cis_freep)
    char *entry = cis_strndup(plan.entry.ptr != NULL ? plan.entry.ptr : "", plan.entry.len);
    struct cis_report r = {.session = s,
                           .usage = &usage,
                           .end = &end,
                           .outcome = o,
                           .files = &files,
                           .entry = entry,
                           .skill_code = skill_code};
    store_and_report(s, &r, o, keep ? CIS_KEEP : CIS_KEEP_NOTHING, &changes);
    tell_files(s, o);
    o->dropped_changes = changed && o->branch[0] == 0 && s->request.tx != CIS_TX_DISCARD;
    cis_code code = cis_buf_check(&o->report, "report", err);
    size_t max = result_max(s, o);
    if (code == CIS_OK && (max > CIS_STORED_RESULT_MAX || o->branch[0] != 0)) {
        make_report(&r, max, &o->report); /* what is known only now */
        code = cis_buf_check(&o->report, "report", err);
    }
    cis_session_changes_done(&changes);
    for (size_t i = 0; i < 3 && s->request.program != NULL; i++) {
        o->std[i] = s->host.wasi_env.std[i];
        s->host.wasi_env.std[i].kept = (struct cis_buf){0};
    }
    return code;
}

/* A skill that was granted files finds its tenant's current branch, as programs find theirs. */
static void give_workspace(struct cis_run_request *r, struct cis_run_mount *mount)
{
    uint32_t granted = r->grants != NULL ? r->grants->bits : 0;
    if (r->program == NULL && r->nmounts == 0 && r->fs_cache != NULL &&
        (granted & CIS_GRANT_BIT(CIS_GRANT_FS_READ)) != 0) {
        bool writes = (granted & CIS_GRANT_BIT(CIS_GRANT_FS_WRITE)) != 0;
        *mount = (struct cis_run_mount){.guest_path = CIS_RUN_SKILL_WORKSPACE,
                                        .mode = writes ? CIS_MOUNT_RW : CIS_MOUNT_RO};
        r->mounts = mount;
        r->nmounts = 1;
    }
}

cis_code cis_run_execute(const struct cis_run_request *request, struct cis_run_outcome *out_outcome,
                         struct cis_error *err)
{
    cis_session *s = NULL;
    struct cis_run_request r = *request;
    struct cis_run_mount workspace;
    give_workspace(&r, &workspace);
    struct cis_run_outcome o = {.output = CIS_BUF_INIT(0), .report = CIS_BUF_INIT(SIZE_MAX / 4)};
    int64_t skill_code = 0;
    o.code = cis_session_open(&r, &s, &o.error);
    if (s == NULL) {
        return cis_fail(err, o.code, "%s", o.error.msg);
    }
    memcpy(o.id, s->id, sizeof o.id);
    if (s->request.program != NULL) {
        if (o.code == CIS_OK ||
            (s->host.instance != NULL && cis_engine_instance_end(s->host.instance)->exited)) {
            call_program(s, &o);
        }
    } else if (o.code == CIS_OK) {
        call(s, &o, &skill_code);
    }
    cis_code code = finish(s, &o, skill_code, err);
    cis_session_close(s);
    if (code != CIS_OK) {
        cis_run_outcome_done(&o);
        return code;
    }
    *out_outcome = o;
    return CIS_OK;
}
