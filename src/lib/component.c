/* cis_component: an instance of a component that is kept, and calls of its exports. */
#include "cis/component.h"

#include "base/mem.h"
#include "cis/http_handler.h"
#include "lib/wasi.h"
#include "lib/wit.h"

struct cis_component {
    struct cis_lib_program program; /* what its surroundings are made of */
    cis_module *module;
    cis_session *session;
    cis_wit_call *call; /* the one that is being made; NULL */
    bool doomed;        /* closed during a call: it goes when that is over */
};

enum cis_code cis_component_open(const cis_wasi_config *config, cis_module *module,
                                 cis_component **out_component, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(module->runtime, err));
    cis_component *c = cis_zalloc(sizeof *c);
    if (c == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "component: out of memory");
    }
    c->module = cis_module_ref(module);
    cis_code code = config->record == NULL
                        ? cis_lib_program_make(config, module, &c->program, err)
                        : cis_fail(err, CIS_E_UNSUPPORTED,
                                   "%s: an instance that is kept cannot be recorded; a run of one "
                                   "call can (cis_wasi_config_invoke)",
                                   module->name);
    if (code == CIS_OK && !cis_engine_module_info(c->program.q.request.module)->component) {
        code =
            cis_fail(err, CIS_E_UNSUPPORTED, "%s: is a core module, not a component", module->name);
    }
    if (code == CIS_OK) {
        c->program.program.no_entry = true;
        code = cis_session_open(&c->program.q.request, &c->session, err);
    }
    if (code != CIS_OK) {
        cis_component_close(c);
        return code;
    }
    *out_component = c;
    return CIS_OK;
}

void cis_component_close(cis_component *c)
{
    if (c == NULL || cis_lib_here(c->module->runtime, NULL) != CIS_OK) {
        return;
    }
    if (cis_session_busy(c->session)) {
        c->doomed = true;
        return;
    }
    if (c->call != NULL) { /* its owner frees it; there is nothing left that it could do */
        cis_vals_free(c->call->vals);
        c->call->vals = NULL;
        c->call->args = NULL;
        c->call->nargs = 0;
        c->call->result = NULL;
        c->call->instance = NULL;
        c->call->component = NULL;
        if (c->call->first.code == CIS_OK) { /* steps that come now do nothing */
            cis_fail(&c->call->first, CIS_E_USAGE, "the component was closed");
        }
    }
    /* Whoever drops an object may ask this component for anything, or close it: it is there until
     * all of that is done, and refuses. */
    cis_session_closing(c->session);
    cis_lib_embedder_done(&c->program.embedder);
    cis_session_close(c->session);
    cis_lib_program_done(&c->program);
    cis_module_unref(c->module);
    cis_free(c);
}

static void leave(cis_component *c)
{
    cis_session_leave(c->session);
    if (c->doomed) {
        cis_component_close(c);
    }
}

enum cis_code cis_component_eval(cis_component *c, const char *text, char **out_text,
                                 struct cis_error *err)
{
    CIS_TRY(cis_lib_here(c->module->runtime, err));
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(CIS_OUTPUT_MAX_DEFAULT);
    CIS_TRY(cis_session_enter(c->session, "eval", err));
    cis_code code = cis_run_component_text(c->session, text, &out, err);
    leave(c);
    CIS_TRY(code);
    char *copy = cis_strdup(out.len != 0 ? cis_buf_cstr(&out) : "");
    if (copy == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "result: out of memory");
    }
    *out_text = copy;
    return CIS_OK;
}

enum cis_code cis_component_handle(cis_component *c, const struct cis_http_incoming *request,
                                   struct cis_http_answer *out_answer, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(c->module->runtime, err));
    if (c->call != NULL) {
        return cis_fail(err, CIS_E_USAGE, "handle: another call is being made");
    }
    CIS_TRY(cis_sized_check(&cis_sized_http_incoming, request, err));
    if (out_answer != NULL) {
        CIS_TRY(cis_sized_check(&cis_sized_http_answer, out_answer, err));
    }
    CIS_TRY(cis_session_enter(c->session, "handle", err));
    struct cis_http_answer whole = CIS_HTTP_ANSWER_INIT;
    cis_code code = cis_run_component_handle(c->session, request, &whole, err);
    if (code == CIS_OK && out_answer != NULL) {
        cis_sized_give(&cis_sized_http_answer, &whole, out_answer);
    }
    leave(c);
    return code;
}

static cis_code call_make(cis_component *c, const char *name, const char *type, cis_wit_call *call,
                          struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4096);
    CIS_TRY(cis_lib_type_text(type, &text, &call->nargs, err));
    if (strstr(cis_buf_cstr(&text), "own<") != NULL ||
        strstr(cis_buf_cstr(&text), "borrow<") != NULL) {
        return cis_fail(err, CIS_E_UNSUPPORTED, "%s: has resources among its values", name);
    }
    call->instance = cis_session_instance(c->session);
    call->runtime = c->module->runtime;
    call->name = cis_strdup(name);
    call->type = cis_strdup(cis_buf_cstr(&text));
    if (call->name == NULL || call->type == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name);
    }
    CIS_TRY(cis_vals_new(call->instance, call->nargs, &call->vals, err));
    call->args = cis_vals_arg(call->vals, 0);
    return CIS_OK;
}

static void call_free(cis_wit_call *call)
{
    if (call->component != NULL) {
        call->component->call = NULL;
    }
    cis_vals_free(call->vals);
    cis_free(call->name);
    cis_free(call->type);
    cis_free(call);
}

enum cis_code cis_component_begin(cis_component *c, const char *name, const char *type,
                                  cis_wit_call **out_call, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(c->module->runtime, err));
    CIS_TRY(cis_session_idle(c->session, name, err));
    if (c->call != NULL) {
        return cis_fail(err, CIS_E_USAGE, "%s: another call is being made", name);
    }
    cis_wit_call *call = cis_zalloc(sizeof *call);
    if (call == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name);
    }
    cis_code code = call_make(c, name, type, call, err);
    if (code != CIS_OK) {
        call_free(call);
        return code;
    }
    call->component = c;
    c->call = call;
    *out_call = call;
    return CIS_OK;
}

cis_wit *cis_wit_param(cis_wit_call *call, size_t i)
{
    return call->vals != NULL && !call->performed && i < call->nargs
               ? (cis_wit *)cis_vals_arg(call->vals, i)
               : NULL;
}

enum cis_code cis_wit_perform(cis_wit_call *call, struct cis_error *err)
{
    CIS_TRY(cis_lib_here(call->runtime, err));
    if (call->performed) {
        return cis_fail(err, CIS_E_USAGE, "a call can be performed only once");
    }
    if (call->first.code != CIS_OK) {
        return cis_fail(err, call->first.code, "%s: %s", call->name, call->first.msg);
    }
    if (call->vals == NULL) {
        return cis_fail(err, CIS_E_USAGE, "not a call to perform");
    }
    cis_component *c = call->component;
    CIS_TRY(cis_session_enter(c->session, call->name, err));
    call->performed = true;
    cis_code code =
        cis_component_call(call->instance, cis_str_of(call->name), call->type, call->vals, err);
    if (code == CIS_OK) {
        call->result = (cis_val *)(uintptr_t)cis_vals_result(call->vals);
    }
    if (call->doomed) { /* freed meanwhile */
        call_free(call);
    }
    leave(c);
    return code;
}

void cis_wit_call_free(cis_wit_call *call)
{
    if (call != NULL && call->component != NULL && call->performed &&
        cis_session_busy(call->component->session)) {
        call->doomed = true;
    } else if (call != NULL) {
        call_free(call);
    }
}
