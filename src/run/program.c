/* Programs: linked with WASI alone, entered by _start, _initialize or one export. */
#include "run/program.h"
#include "base/wraps.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "base/float.h"
#include "wasi/p1/p1.h"

#define ARGS_MAX 64u /* parameters or results of one function */

/* ---- linking ---- */

static const struct cis_hostfn *row_of(const struct cis_extern *import)
{
    static const struct cis_hostfn_table *const tables[] = {&cis_wasi_p1_table,
                                                            &cis_wasi_unstable_table};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (size_t i = 0; i < tables[t]->nrows; i++) {
            const struct cis_hostfn *row = &tables[t]->rows[i];
            if (cis_str_is(import->name, row->name) && cis_str_is(import->module, row->module) &&
                strcmp(import->type, row->type) == 0) {
                return row;
            }
        }
    }
    return cis_skillabi_agent_row(import);
}

bool cis_run_provides(const struct cis_extern *import)
{
    if (import->kind == CIS_EXTERN_MEMORY) {
        return cis_str_is(import->module, "env") && cis_str_is(import->name, "memory");
    }
    return import->kind == CIS_EXTERN_FUNC && row_of(import) != NULL;
}

static const struct cis_hostfn *resolve(void *self, const struct cis_extern *import)
{
    const struct cis_run_program *p = self;
    const struct cis_hostfn *row = p->no_wasi ? cis_skillabi_agent_row(import) : row_of(import);
    return row == NULL && p->trap_unknown_imports ? &cis_hostfn_missing : row;
}

/* One message whatever kind of module asks for it. */
static cis_code refuse_wasi(const struct cis_run_request *request, struct cis_error *err)
{
    const struct cis_engine_module_info *info = cis_engine_module_info(request->module);
    const struct cis_run_program *p = request->program;
    bool refused = p->no_wasi && !p->trap_unknown_imports && p->interfaces == NULL;
    for (size_t i = 0; refused && i < info->nimports; i++) {
        const struct cis_extern *e = &info->imports[i];
        if (info->component ? cis_str_starts(e->name, CIS_STR("wasi:"))
                            : row_of(e) != NULL && cis_skillabi_agent_row(e) == NULL) {
            return cis_fail(err, CIS_E_IMPORT,
                            "imports %s%.*s: WASI is switched off (runtime.enable_wasi)",
                            info->component ? "" : "WASI's ",
                            e->name.len > 96 ? 96 : (int)e->name.len, e->name.ptr);
        }
    }
    return CIS_OK;
}

cis_code cis_run_program_link(const struct cis_run_request *request, const struct cis_stop *stop,
                              cis_linked **out_program, struct cis_error *err)
{
    CIS_TRY(refuse_wasi(request, err));
    if (cis_engine_module_info(request->module)->component) {
        return cis_run_component_link(request, stop, out_program, err);
    }
    return cis_linked_new(request->module, resolve, (void *)(uintptr_t)request->program,
                          out_program, err);
}

void cis_run_program_env(cis_session *session)
{
    const struct cis_run_program *p = session->request.program;
    struct cis_host *h = &session->host;
    if (session->files != NULL) {
        h->wasi_env.dirs = cis_run_files_dirs(session->files, &h->wasi_env.ndirs);
    }
    h->wasi_env.files_max = session->request.files_max;
    h->wasi_env.sockets_max = session->request.sockets_max;
    h->wasi_env.handles_max = session->request.handles_max;
    h->wasi_env.dns_servers = session->request.dns_servers;
    h->wasi_env.uid = geteuid();
    h->wasi_env.umask = cis_file_umask();
    h->wasi_env.gid = getegid();
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        h->wasi_env.std[i] = p->std[i];
    }
    h->wasi_env.listeners = p->listeners;
    h->wasi_env.nlisteners = p->nlisteners;
    h->wasi_env.seeded = p->seeded;
    memcpy(h->wasi_env.seed, p->seed, sizeof h->wasi_env.seed);
    h->args = p->args;
    h->env = p->env;
    h->embedder = p->embedder;
    h->fixed_clock = p->fixed_clock;
    h->clock_ns = p->clock_ns;
}

/* ---- entering ---- */

static const struct cis_extern *function(cis_engine_module *module, const char *name)
{
    const struct cis_extern *e = cis_engine_module_export(module, cis_str_of(name));
    return e != NULL && e->kind == CIS_EXTERN_FUNC ? e : NULL;
}

void cis_run_list_functions(const struct cis_engine_module_info *info, struct cis_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < info->nexports; i++) {
        const struct cis_extern *e = &info->exports[i];
        bool interface = strcmp(e->type, "instance") == 0;
        if (e->kind != CIS_EXTERN_FUNC && !interface) {
            continue;
        }
        if (out->len + e->name.len + 32 > out->max) {
            cis_buf_text(out, ", …");
            return;
        }
        cis_buf_printf(out, "%s" CIS_STR_FMT "%s", n++ != 0 ? ", " : "", CIS_STR_ARG(e->name),
                       interface ? ".…" : "");
    }
    if (n == 0) {
        cis_buf_text(out, "none");
    }
}

/* `f(1, 2)` is split as components have it, `f` takes its arguments from the command line. A name
 * is taken as it is where an export has it, whatever is in it. */
struct call {
    const struct cis_extern *e; /* NULL: there is none */
    struct cis_str listed;      /* what is between the parentheses */
    bool lists;
};

static struct call read_call(cis_engine_module *module, const char *text)
{
    struct call call = {.e = function(module, text)};
    const char *open = strchr(text, '(');
    size_t len = strlen(text);
    if (call.e == NULL && open != NULL && text[len - 1] == ')') {
        struct cis_str name = {text, (size_t)(open - text)};
        const struct cis_extern *e = cis_engine_module_export(module, name);
        call.e = e != NULL && e->kind == CIS_EXTERN_FUNC ? e : NULL;
        call.listed = (struct cis_str){open + 1, len - name.len - 2};
        call.lists = true;
    }
    return call;
}

cis_code cis_run_program_entry(const struct cis_run_request *request, struct cis_str *out,
                               struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(120);
    const char *invoke = request->program->invoke;
    const struct cis_extern *e;
    if (cis_engine_module_info(request->module)->component) {
        return cis_run_component_entry(request, out, err);
    }
    if (invoke != NULL) {
        e = read_call(request->module, invoke).e;
    } else {
        e = function(request->module, "_start");
        e = e != NULL ? e : function(request->module, "_initialize");
    }
    if (e == NULL) {
        cis_run_list_functions(cis_engine_module_info(request->module), &names);
        return invoke != NULL
                   ? cis_fail(err, CIS_E_ENTRY, "exports no function %.60s; functions: %s", invoke,
                              cis_buf_cstr(&names))
                   : cis_fail(err, CIS_E_ENTRY,
                              "neither _start nor _initialize; --invoke calls one of: %s",
                              cis_buf_cstr(&names));
    }
    if (invoke == NULL && strcmp(e->type, ":") != 0) {
        return cis_fail(err, CIS_E_ENTRY,
                        CIS_STR_FMT
                        " takes or returns values; the start function of a program does not",
                        CIS_STR_ARG(e->name));
    }
    *out = e->name;
    return CIS_OK;
}

/* ---- one function with numbers ---- */

CIS_WRAPS static bool whole(const char *text, int64_t low, uint64_t high, uint64_t *out)
{
    bool minus = text[0] == '-';
    const char *digits = text + (minus ? 1 : 0);
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    char *end;
    if (!isdigit((unsigned char)digits[0])) {
        return false;
    }
    errno = 0;
    uint64_t n = strtoull(digits, &end, hex ? 16 : 10);
    if (errno != 0 || *end != 0 || (hex && end == digits + 2)) {
        return false;
    }
    if (minus ? n > (uint64_t)0 - (uint64_t)low : n > high) {
        return false;
    }
    *out = minus ? 0 - n : n;
    return true;
}

static bool number(char type, const char *text, union cis_slot *out)
{
    uint64_t n;
    char *end;
    *out = (union cis_slot){.i64 = 0};
    switch (type) {
    case 'i':
        if (!whole(text, INT32_MIN, UINT32_MAX, &n)) {
            return false;
        }
        out->u32 = (uint32_t)n;
        return true;
    case 'I':
        if (!whole(text, INT64_MIN, UINT64_MAX, &n)) {
            return false;
        }
        out->u64 = n;
        return true;
    case 'f':
        out->f32 = cis_float_read_single(text, &end);
        return end != text && *end == 0;
    default:
        out->f64 = cis_float_read(text, &end);
        return end != text && *end == 0;
    }
}

static void real(double value, bool single, struct cis_buf *out)
{
    char text[CIS_FLOAT_TEXT_MAX];
    cis_float_exact(value, single, text);
    cis_buf_text(out, text);
}

static void show(char type, const union cis_slot *slot, struct cis_buf *out)
{
    if (type == 'i') {
        cis_buf_printf(out, "%" PRId32, slot->i32);
    } else if (type == 'I') {
        cis_buf_printf(out, "%" PRId64, slot->i64);
    } else {
        real(type == 'f' ? (double)slot->f32 : slot->f64, type == 'f', out);
    }
    cis_buf_byte(out, '\n');
}

/* What the function takes, whatever was wrong. */
static cis_code wrong(const struct cis_extern *e, const char *what, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf type = CIS_BUF_INIT(120);
    cis_abi_type_text(e->type, &type);
    int name = e->name.len > 60 ? 60 : (int)e->name.len;
    return cis_fail(err, CIS_E_USAGE, "%.*s%s: %s", name, e->name.ptr, cis_buf_cstr(&type), what);
}

static size_t given(const char *const *args)
{
    size_t n = 0;
    while (args != NULL && args[n] != NULL) {
        n++;
    }
    return n;
}

/* The next one of `f(1, 2)`, without the blanks around it. */
static bool next_listed(struct cis_str *rest, struct cis_buf *out)
{
    struct cis_str one;
    (void)cis_str_split(rest, ',', &one);
    while (one.len != 0 && one.ptr[0] == ' ') {
        one = (struct cis_str){one.ptr + 1, one.len - 1};
    }
    while (one.len != 0 && one.ptr[one.len - 1] == ' ') {
        one.len--;
    }
    out->len = 0;
    cis_buf_str(out, one);
    return out->failed == CIS_OK && one.len != 0;
}

static size_t count_listed(struct cis_str listed)
{
    size_t n = 0;
    bool any = false;
    for (size_t i = 0; i < listed.len; i++) {
        n += listed.ptr[i] == ',';
        any |= listed.ptr[i] != ' ';
    }
    return any ? n + 1 : 0;
}

static cis_code read_args(cis_session *s, const struct call *call, size_t params,
                          union cis_slot *io, struct cis_error *err)
{
    const char *const *args = s->request.program->invoke_args;
    size_t n = call->lists ? count_listed(call->listed) : given(args);
    CIS_CLEANUP(cis_buf_done) struct cis_buf one = CIS_BUF_INIT(1024);
    struct cis_str rest = call->listed;
    char what[64];
    if (call->lists && given(args) != 0) {
        return wrong(call->e, "give its arguments in the parentheses or after them, not both", err);
    }
    if (n != params) {
        snprintf(what, sizeof what, "takes %zu number%s, %zu given", params, params == 1 ? "" : "s",
                 n);
        return wrong(call->e, what, err);
    }
    for (size_t i = 0; i < n; i++) {
        bool whole = !call->lists || next_listed(&rest, &one);
        const char *text = call->lists ? cis_buf_cstr(&one) : args[i];
        if (!whole || !number(call->e->type[i], text, &io[i])) {
            snprintf(what, sizeof what, "argument %zu, \"%.20s\", does not fit", i + 1, text);
            return wrong(call->e, what, err);
        }
    }
    return CIS_OK;
}

static cis_code invoke(cis_session *s, const struct call *call, struct cis_buf *out,
                       struct cis_error *err)
{
    const struct cis_extern *e = call->e;
    size_t params = strcspn(e->type, ":");
    const char *results = e->type[params] == ':' ? e->type + params + 1 : "";
    union cis_slot io[ARGS_MAX] = {{.i64 = 0}};
    if (params > ARGS_MAX || strlen(results) > ARGS_MAX ||
        strspn(e->type, "iIfF:") != strlen(e->type)) {
        return wrong(e, "only functions of at most 64 numbers can be called", err);
    }
    CIS_TRY(read_args(s, call, params, io, err));
    CIS_TRY(cis_engine_instance_call(s->host.instance, e->name, e->type, io, err));
    for (size_t i = 0; results[i] != 0; i++) {
        show(results[i], &io[i], out);
    }
    return cis_buf_check(out, "result", err);
}

cis_code cis_run_program_call(cis_session *s, struct cis_buf *out, struct cis_error *err)
{
    cis_engine_module *module = s->request.module;
    const char *name = s->request.program->invoke;
    const struct cis_extern *start = function(module, "_start");
    cis_code code;
    if (name != NULL) {
        const struct call call = read_call(module, name);
        bool first = cis_str_is(call.e->name, "_initialize") || start != NULL;
        code = first ? CIS_OK : cis_skillabi_start(s->host.instance, err);
        code = code == CIS_OK ? invoke(s, &call, out, err) : code;
    } else if (start != NULL) {
        union cis_slot io[1] = {{.i64 = 0}};
        code = cis_engine_instance_call(s->host.instance, start->name, start->type, io, err);
    } else {
        code = cis_skillabi_start(s->host.instance, err);
    }
    return cis_engine_instance_end(s->host.instance)->exited ? CIS_OK : code;
}
