/* Programs that are components: linked with WASI 0.2, entered by wasi:cli/run or by one function
 * whose call is given as text. */
#include "engine/component/component.h"
#include "provider/corelibs/corelibs.h"
#include "run/program.h"
#include "wasi/p2/p2.h"

/* Has this program been told to do without the interface's package? */
static bool left_out(const char *without, struct cis_str interface)
{
    struct cis_str rest = interface, package;
    return without != NULL && cis_str_split(&rest, '/', &package) && cis_str_is(package, without);
}

const struct cis_ifacefn *cis_run_built_in(struct cis_str interface, struct cis_str name,
                                           const char *without, uint32_t wasi)
{
    if (left_out(without, interface) || cis_wasi_p2_off(wasi, interface, name) != NULL) {
        return NULL;
    }
    const struct cis_ifacefn *row = cis_wasi_p2_function(interface, name);
    row = row != NULL ? row : cis_corelibs_function(interface, name);
    return row != NULL ? row : cis_skillabi_agent_function(interface, name);
}

const struct cis_iface_resource *cis_run_built_in_resource(struct cis_str interface,
                                                           struct cis_str name, const char *without)
{
    if (left_out(without, interface)) {
        return NULL;
    }
    const struct cis_iface_resource *found = cis_wasi_p2_resource(interface, name);
    return found != NULL ? found : cis_corelibs_resource(interface, name);
}

/* All of WASI is switched off, for this interface too? */
static bool is_off(const struct cis_run_program *p, struct cis_str interface)
{
    return p->no_wasi && cis_str_starts(interface, CIS_STR("wasi:"));
}

/* What is built in first, then what the embedder provides. */
static const struct cis_ifacefn *function(void *self, struct cis_str interface, struct cis_str name)
{
    const struct cis_run_program *p = self;
    const struct cis_ifacefn *row =
        is_off(p, interface) ? NULL : cis_run_built_in(interface, name, p->without, p->wasi);
    return row != NULL || p->interfaces == NULL
               ? row
               : p->interfaces->function(p->interfaces->self, interface, name);
}

static const struct cis_iface_resource *resource(void *self, struct cis_str interface,
                                                 struct cis_str name)
{
    const struct cis_run_program *p = self;
    const struct cis_iface_resource *found =
        is_off(p, interface) ? NULL : cis_run_built_in_resource(interface, name, p->without);
    return found != NULL || p->interfaces == NULL
               ? found
               : p->interfaces->resource(p->interfaces->self, interface, name);
}

static const char *off(void *self, struct cis_str interface, struct cis_str name)
{
    const struct cis_run_program *p = self;
    return left_out(p->without, interface) ? NULL : cis_wasi_p2_off(p->wasi, interface, name);
}

bool cis_run_has_interface(struct cis_str interface, struct cis_str name, const char *without,
                           uint32_t wasi)
{
    return cis_run_built_in(interface, name, without, wasi) != NULL;
}

cis_code cis_run_wasi_features(const char *list, uint32_t *inout_wasi, struct cis_error *err)
{
    return cis_wasi_p2_features(list, inout_wasi, err);
}

/* ---- packages ---- */

static struct cis_str package_of(const struct cis_ifacefn *row)
{
    struct cis_str rest = cis_str_of(row->interface), package;
    (void)cis_str_split(&rest, '/', &package);
    return package;
}

/* Of this table? If not, its names are added, each once. */
static bool is_package(const struct cis_iface_table *table, const char *package,
                       struct cis_buf *names)
{
    for (size_t i = 0; i < table->nrows; i++) {
        struct cis_str one = package_of(&table->rows[i]);
        if (cis_str_is(one, package)) {
            return true;
        }
        bool named = names->len != 0 && memmem(names->ptr, names->len, one.ptr, one.len) != NULL;
        if (!named) {
            cis_buf_text(names, names->len != 0 ? ", " : "");
            cis_buf_str(names, one);
        }
    }
    return false;
}

cis_code cis_run_check_package(const char *package, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(CIS_ERROR_MSG_MAX);
    size_t n;
    const struct cis_iface_table *const *tables = cis_wasi_p2_tables(&n);
    if (is_package(&cis_corelibs_table, package, &names)) {
        return CIS_OK;
    }
    for (size_t i = 0; i < n; i++) {
        if (is_package(tables[i], package, &names)) {
            return CIS_OK;
        }
    }
    return cis_fail(err, CIS_E_USAGE, "%.60s: not a built-in package: %s", package,
                    cis_buf_cstr(&names));
}

/* All that function and resource above look at. */
static uint64_t provider_id(const struct cis_run_program *p)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(1024);
    uint64_t more = p->interfaces != NULL ? p->interfaces->id : 0;
    cis_buf_printf(&text, "run %u %d %d %llu %s", p->wasi, p->trap_unknown_imports, p->no_wasi,
                   (unsigned long long)more, p->without != NULL ? p->without : "");
    bool whole = text.failed == CIS_OK && (p->interfaces == NULL || more != 0);
    return whole ? cis_iface_provider_id(cis_buf_view(&text)) : 0;
}

cis_code cis_run_component_link(const struct cis_run_request *request, const struct cis_stop *stop,
                                cis_linked **out_program, struct cis_error *err)
{
    const struct cis_iface_provider *more = request->program->interfaces;
    struct cis_iface_provider provider = {.function = function,
                                          .resource = resource,
                                          .self = (void *)(uintptr_t)request->program,
                                          .off = off,
                                          .trap_unknown = request->program->trap_unknown_imports};
    provider.id = provider_id(request->program);
    if (more != NULL) {
        provider.owner = more->owner;
        provider.ref = more->ref;
        provider.unref = more->unref;
        provider.given = more->given;
    }
    const struct cis_engine_module_info *info = cis_engine_module_info(request->module);
    for (size_t i = 0; i < info->nimports; i++) {
        struct cis_str name = info->imports[i].name;
        if (cis_wasi_p2_too_new(name)) {
            return cis_fail(err, CIS_E_UNSUPPORTED,
                            "imports " CIS_STR_FMT
                            ": needs WASI 0.3 (async), which this build does not provide",
                            CIS_STR_ARG(name));
        }
    }
    return cis_component_link(request->module, &provider, stop, out_program, err);
}

cis_code cis_run_component_entry(const struct cis_run_request *request, struct cis_str *out,
                                 struct cis_error *err)
{
    if (request->program->invoke != NULL) {
        *out = cis_str_of(request->program->invoke);
        return CIS_OK;
    }
    const struct cis_engine_module_info *info = cis_engine_module_info(request->module);
    const struct cis_extern *e = cis_wasi_p2_command(info);
    if (e == NULL) {
        CIS_TRY(cis_wasi_p2_exports_too_new(info, err));
    }
    if (e == NULL && cis_wasi_p2_handler(info) != NULL) {
        return cis_fail(err, CIS_E_ENTRY,
                        "exports wasi:http/incoming-handler, not wasi:cli/run: it answers HTTP "
                        "requests, and cis run is no server");
    }
    if (e == NULL) {
        return cis_fail(err, CIS_E_ENTRY,
                        "exports no wasi:cli/run@0.2; --invoke 'f(args)' calls a function");
    }
    *out = e->name;
    return CIS_OK;
}

/* `interface.f(args)`: the last dot before the arguments parts the two. An interface without its
 * package and version is found among the exports. */
cis_code cis_run_component_text(cis_session *s, const char *call, struct cis_buf *out,
                                struct cis_error *err)
{
    const struct cis_engine_module_info *info = cis_engine_module_info(s->request.module);
    size_t head = strcspn(call, "("), dot = head;
    while (dot > 0 && call[dot - 1] != '.') {
        dot--;
    }
    struct cis_str text = cis_str_of(call + dot), bare = {call + dot, head - dot};
    CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(1024);
    struct cis_str interface = {call, dot != 0 ? dot - 1 : 0};
    for (size_t i = 0; dot != 0 && i < info->nexports; i++) {
        struct cis_str full = info->exports[i].name, version = full, path;
        if (!cis_str_split(&version, '@', &path)) {
            path = full;
        }
        bool tail = path.len > interface.len && path.ptr[path.len - interface.len - 1] == '/' &&
                    memcmp(path.ptr + path.len - interface.len, interface.ptr, interface.len) == 0;
        if (cis_str_eq(full, interface) || cis_str_eq(path, interface) || tail) {
            interface = full;
            break;
        }
    }
    if (dot != 0) {
        cis_buf_str(&name, interface);
        cis_buf_byte(&name, '#');
    }
    cis_buf_str(&name, bare);
    CIS_TRY(cis_buf_check(&name, "--invoke", err));
    struct cis_error why = {0};
    cis_code code = cis_component_call_text(s->host.instance, cis_buf_view(&name), text, out, &why);
    if (code == CIS_E_ENTRY) { /* a wrong name: say which ones there are */
        CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(200);
        cis_run_list_functions(info, &names);
        return cis_fail(err, code, "%s; functions: %s", why.msg, cis_buf_cstr(&names));
    }
    return code == CIS_OK ? CIS_OK : cis_fail(err, code, "%s", why.msg);
}

cis_code cis_run_component_handle(cis_session *s, const struct cis_http_incoming *request,
                                  struct cis_http_answer *out_answer, struct cis_error *err)
{
    const struct cis_extern *e = cis_wasi_p2_handler(cis_engine_module_info(s->request.module));
    if (e == NULL) {
        return cis_fail(err, CIS_E_ENTRY, "exports no wasi:http/incoming-handler@0.2");
    }
    return cis_wasi_p2_handle(s->host.instance, e->name, request, out_answer, err);
}

/* A result that is an error, as text: cases of other types that are called so have a % before them.
 */
static bool is_err(struct cis_str text)
{
    return cis_str_is(text, "err") || cis_str_starts(text, CIS_STR("err("));
}

static cis_code invoke(cis_session *s, const char *call, bool *out_failed, struct cis_buf *out,
                       struct cis_error *err)
{
    CIS_TRY(cis_run_component_text(s, call, out, err));
    *out_failed = is_err(cis_buf_view(out));
    if (out->len != 0) {
        cis_buf_byte(out, '\n');
    }
    return cis_buf_check(out, "result", err);
}

cis_code cis_run_component_call(cis_session *s, bool *out_failed, struct cis_buf *out,
                                struct cis_error *err)
{
    const struct cis_extern *e = cis_wasi_p2_command(cis_engine_module_info(s->request.module));
    cis_code code;
    *out_failed = false;
    if (s->request.program->invoke != NULL) {
        code = invoke(s, s->request.program->invoke, out_failed, out, err);
    } else {
        CIS_CLEANUP(cis_buf_done) struct cis_buf name = CIS_BUF_INIT(1024);
        cis_vals *vals = NULL;
        cis_buf_str(&name, e->name);
        cis_buf_text(&name, "#run");
        CIS_TRY(cis_buf_check(&name, "entry", err));
        CIS_TRY(cis_vals_new(s->host.instance, 0, &vals, err));
        code = cis_component_call(s->host.instance, cis_buf_view(&name), "func() -> result", vals,
                                  err);
        *out_failed = code == CIS_OK && !cis_val_is_ok(cis_vals_result(vals));
        cis_vals_free(vals);
    }
    return cis_engine_instance_end(s->host.instance)->exited ? CIS_OK : code;
}
