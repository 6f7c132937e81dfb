/* cis_composed: one component made of several. */
#include "cis/compose.h"

#include <jansson.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/mem.h"
#include "engine/code/compose.h"
#include "lib/composed.h"
#include "lib/internal.h"

struct cis_composed {
    struct cis_buf wasm, scan;
};

static cis_code parts_of(const struct cis_compose_options *o, struct cis_compose_part *parts,
                         struct cis_error *err)
{
    for (size_t i = 0; i < o->nfiles; i++) {
        const struct cis_compose_file *f = &o->files[i];
        if (f->name == NULL || f->wasm == NULL ||
            !cis_utf8_valid(f->name, strnlen(f->name, CIS_COMPOSE_NAME_MAX + 1))) {
            return cis_fail(err, CIS_E_USAGE, "compose: part %zu has no name, or no bytes", i);
        }
        parts[i].name = (struct cis_str){f->name, strnlen(f->name, CIS_COMPOSE_NAME_MAX + 1)};
        parts[i].wasm = cis_bytes_of(f->wasm, f->len);
    }
    return CIS_OK;
}

static cis_code make(cis_runtime *runtime, const struct cis_compose_options *o, cis_composed *out,
                     struct cis_error *err)
{
    size_t n = o->nfiles;
    if (n > CIS_COMPOSE_PARTS_MAX || (n != 0 && o->files == NULL)) {
        return cis_fail(err, CIS_E_USAGE, "compose: needs 1 to %u parts", CIS_COMPOSE_PARTS_MAX);
    }
    struct cis_compose_part *parts CIS_CLEANUP(cis_freep) =
        cis_calloc(cis_size_add(n, 1), sizeof *parts);
    if (parts == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "compose: out of memory");
    }
    CIS_TRY(parts_of(o, parts, err));
    const struct cis_composition c = {
        .parts = parts,
        .nparts = n,
        .wac = {o->wac, o->wac != NULL ? strnlen(o->wac, CIS_COMPOSE_TEXT_MAX + 1) : 0}};
    const struct cis_engine_module_options module = {
        .name = o->wac_name, .features = runtime->features, .stop = {CIS_NEVER, o->cancel}};
    return cis_engine_compose(runtime->engine, &c, &module, &out->wasm, &out->scan, err);
}

enum cis_code cis_compose(cis_runtime *runtime, const struct cis_compose_options *options,
                          cis_composed **out_composed, struct cis_error *err)
{
    struct cis_compose_options o = CIS_COMPOSE_OPTIONS_INIT;
    CIS_TRY(cis_lib_here(runtime, err));
    CIS_TRY(cis_sized_take(&cis_sized_compose_options, options, &o, err));
    cis_composed *made = cis_zalloc(sizeof *made);
    if (made == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "compose: out of memory");
    }
    made->wasm = CIS_BUF_INIT(CIS_COMPOSED_MAX);
    made->scan = CIS_BUF_INIT(64u << 20);
    cis_code code = make(runtime, &o, made, err);
    if (code != CIS_OK) {
        cis_composed_free(made);
        return code;
    }
    *out_composed = made;
    return CIS_OK;
}

void cis_composed_free(cis_composed *composed)
{
    if (composed != NULL) {
        cis_buf_done(&composed->wasm);
        cis_buf_done(&composed->scan);
        cis_free(composed);
    }
}

const void *cis_composed_wasm(const cis_composed *composed, size_t *out_len)
{
    *out_len = composed->wasm.len;
    return composed->wasm.ptr;
}

static void write_form(const json_t *all, enum cis_composed_form form, struct cis_buf *out)
{
    char *text = NULL;
    switch (form) {
    case CIS_COMPOSED_JSON:
        text = json_dumps(all, JSON_COMPACT);
        cis_buf_text(out, text != NULL ? text : "null");
        cis_free(text);
        break;
    case CIS_COMPOSED_TEXT:
        cis_composed_text(all, out);
        break;
    case CIS_COMPOSED_DOT:
        cis_composed_dot(all, out);
        break;
    case CIS_COMPOSED_SVG:
        cis_composed_svg(all, out);
        break;
    }
}

enum cis_code cis_composed_explain(const cis_composed *composed, enum cis_composed_form form,
                                   char **out_text, size_t *out_len, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(256u << 20);
    json_t *root =
        json_loadb((const char *)composed->scan.ptr, composed->scan.len, JSON_ALLOW_NUL, NULL);
    if (root == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "compose: out of memory for the explanation");
    }
    write_form(json_object_get(root, "composed"), form, &out);
    json_decref(root);
    CIS_TRY(cis_buf_check(&out, "explanation", err));
    char *text = cis_strndup(cis_buf_cstr(&out), out.len);
    if (text == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "compose: out of memory for the explanation");
    }
    *out_text = text;
    if (out_len != NULL) {
        *out_len = out.len;
    }
    return CIS_OK;
}
