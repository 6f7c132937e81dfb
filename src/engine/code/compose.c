/* Composing, on both sides of the pipe; see compose.h. */
#include "engine/code/compose.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"
#include "engine/code/child.h"
#include "engine/code/document.h"
#include "engine/code/file_hash.h"

#define SCAN_JSON_MAX (64u << 20)
#define PLUGS UINT64_MAX /* instead of the length of a text */

/* A request: this, the sizes of each part, the text, then name and bytes of each part. What is a
 * file is a descriptor of the child, otherwise 0. */
struct head {
    uint64_t text_len, nparts, to;
};
struct sizes {
    uint64_t name, wasm, file;
};

static cis_code check(const struct cis_composition *c, const char *name, struct cis_error *err)
{
    if (c->nparts > CIS_COMPOSE_PARTS_MAX || (c->nparts == 0 && c->wac.ptr == NULL)) {
        return cis_fail(err, CIS_E_USAGE, "%s: %s", name,
                        c->nparts == 0 ? "nothing to compose" : "more than 1,000 parts");
    }
    if (c->wac.ptr != NULL && c->wac.len > CIS_COMPOSE_TEXT_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%s: larger than %u bytes", name, CIS_COMPOSE_TEXT_MAX);
    }
    uint64_t all = 0;
    size_t files = 0;
    for (size_t i = 0; i < c->nparts; i++) {
        if (c->parts[i].name.len == 0 || c->parts[i].name.len > CIS_COMPOSE_NAME_MAX) {
            return cis_fail(err, CIS_E_USAGE, "%s: a part's name has 1 to %u bytes", name,
                            CIS_COMPOSE_NAME_MAX);
        }
        if (c->parts[i].wasm.len > CIS_MODULE_MAX ||
            (all += c->parts[i].wasm.len) > CIS_MODULE_MAX) {
            return cis_fail(err, CIS_E_LIMIT, "%s: the parts are larger than %u bytes together",
                            name, CIS_MODULE_MAX);
        }
        files += c->parts[i].file != 0;
    }
    return files <= CIS_COMPOSE_FILES_MAX
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE, "%s: more than %u parts are files", name,
                          CIS_COMPOSE_FILES_MAX);
}

char *cis_compose_name_of(const char *path)
{
    static const char *const endings[] = {".wasm", ".wat", ".component"};
    const char *slash = strrchr(path, '/');
    struct cis_str name = cis_str_of(slash != NULL ? slash + 1 : path);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        struct cis_str end = cis_str_of(endings[i]);
        if (name.len > end.len && memcmp(name.ptr + name.len - end.len, end.ptr, end.len) == 0) {
            name.len -= end.len;
        }
    }
    if (name.len == 0 || cis_str_is(name, "-") || !cis_utf8_valid(name.ptr, name.len) ||
        cis_utf8_steers(name.ptr, name.len)) {
        name = CIS_STR("component");
    }
    name.len = cis_utf8_floor(name.ptr, name.len, CIS_COMPOSE_NAME_MAX);
    return cis_strndup(name.ptr, name.len);
}

/* ---- over the pipe ---- */

/* Nothing is copied but what is said of the parts. */
struct request {
    struct cis_buf about;
    struct cis_bytes *pieces;
    size_t n;
    int fds[1 + CIS_COMPOSE_FILES_MAX]; /* of the child from 3 on */
    size_t nfds;
    uint64_t fds_bytes;
};
_Static_assert(1 + CIS_COMPOSE_FILES_MAX <= CIS_PROCESS_FDS, "the result and the parts");

/* What it is in the child. */
static uint64_t handed(struct request *r, int fd)
{
    if (fd == 0) {
        return 0;
    }
    r->fds[r->nfds] = fd;
    return 3 + r->nfds++;
}

static void request_done(struct request *r)
{
    cis_buf_done(&r->about);
    cis_free(r->pieces);
}

static cis_code request_of(const struct cis_composition *c, const char *name, struct request *out,
                           struct cis_error *err)
{
    struct head head = {c->wac.ptr != NULL ? c->wac.len : PLUGS, c->nparts, handed(out, c->to)};
    cis_buf_add(&out->about, &head, sizeof head);
    for (size_t i = 0; i < c->nparts; i++) {
        const struct cis_compose_part *part = &c->parts[i];
        struct sizes sizes = {part->name.len, part->wasm.len, handed(out, part->file)};
        cis_buf_add(&out->about, &sizes, sizeof sizes);
        out->fds_bytes += part->file != 0 ? part->wasm.len : 0;
    }
    out->pieces = cis_calloc(cis_size_add(2, cis_size_mul(2, c->nparts)), sizeof *out->pieces);
    if (out->pieces == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name);
    }
    out->pieces[out->n++] = cis_buf_bytes(&out->about);
    out->pieces[out->n++] = cis_bytes_of(c->wac.ptr, c->wac.len);
    for (size_t i = 0; i < c->nparts; i++) {
        const struct cis_compose_part *part = &c->parts[i];
        out->pieces[out->n++] = cis_bytes_of(part->name.ptr, part->name.len);
        out->pieces[out->n++] = part->file == 0 ? part->wasm : cis_bytes_of(NULL, 0);
    }
    return cis_buf_check(&out->about, name, err);
}

/* False: fewer are left. */
static bool take(struct cis_bytes *left, uint64_t n, struct cis_bytes *out)
{
    if (n > left->len) {
        return false;
    }
    *out = (struct cis_bytes){left->ptr, (size_t)n};
    *left = (struct cis_bytes){left->ptr + n, left->len - (size_t)n};
    return true;
}

/* The other way round; the parts point into the request. */
static bool read_request(struct cis_bytes left, struct cis_composition *c,
                         struct cis_compose_part *parts)
{
    struct head head;
    struct cis_bytes at, sizes, text;
    if (!take(&left, sizeof head, &at)) {
        return false;
    }
    memcpy(&head, at.ptr, sizeof head);
    if (head.nparts > CIS_COMPOSE_PARTS_MAX || head.to >= 3 + CIS_PROCESS_FDS ||
        !take(&left, head.nparts * sizeof(struct sizes), &sizes)) {
        return false;
    }
    if (head.text_len != PLUGS) {
        if (!take(&left, head.text_len, &text)) {
            return false;
        }
        c->wac = (struct cis_str){(const char *)text.ptr, text.len};
    }
    for (size_t i = 0; i < head.nparts; i++) {
        struct sizes size;
        struct cis_bytes name;
        memcpy(&size, sizes.ptr + i * sizeof size, sizeof size);
        bool file = size.file != 0;
        if (size.file >= 3 + CIS_PROCESS_FDS || !take(&left, size.name, &name) ||
            (!file && !take(&left, size.wasm, &parts[i].wasm))) {
            return false;
        }
        if (file) {
            parts[i].wasm = (struct cis_bytes){NULL, size.wasm};
            parts[i].file = (int)size.file;
        }
        parts[i].name = (struct cis_str){(const char *)name.ptr, name.len};
    }
    c->parts = parts;
    c->nparts = (size_t)head.nparts;
    c->to = (int)head.to;
    return true;
}

cis_code cis_child_compose(struct cis_bytes request, const char *name, unsigned features,
                           struct cis_buf *out, struct cis_error *err)
{
    struct cis_composition c = {0};
    struct cis_compose_part *parts = cis_calloc(CIS_COMPOSE_PARTS_MAX, sizeof *parts);
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(SCAN_JSON_MAX);
    cis_code code = CIS_OK;
    if (parts == NULL) {
        code = cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name);
    } else if (!read_request(request, &c, parts)) {
        code = cis_fail(err, CIS_E_USAGE, "the request names parts that it does not contain");
    }
    code = code == CIS_OK ? check(&c, name, err) : code;
    code = code == CIS_OK ? cis_compose_here(&c, name, features, out, &json, err) : code;
    if (code == CIS_OK) {
        cis_child_scan_end(&json, out);
        code = cis_buf_check(out, name, err);
    }
    cis_free(parts);
    return code;
}

static cis_code make_in_child(const struct cis_composition *c, const char *name,
                              const struct cis_engine_module_options *o,
                              const struct cis_child_limits *limits, struct cis_buf *out,
                              struct cis_buf *json, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf answer = CIS_BUF_INIT((size_t)CIS_MODULE_MAX + SCAN_JSON_MAX);
    CIS_CLEANUP(request_done)
    struct request request = {
        .about = CIS_BUF_INIT(CIS_COMPOSE_PARTS_MAX * sizeof(struct sizes) + sizeof(struct head))};
    CIS_TRY(request_of(c, name, &request, err));
    const struct cis_child_work work = {
        .job = CIS_CHILD_COMPOSE,
        .input = request.pieces,
        .ninput = request.n,
        .fds = request.fds,
        .nfds = request.nfds,
        .fds_bytes = request.fds_bytes,
        .name = name,
        .doing = "composing",
        .features = o->features,
        .stop = {o->stop.deadline_ns != 0 ? o->stop.deadline_ns : CIS_NEVER, o->stop.cancel}};
    uint64_t unused;
    CIS_TRY(cis_child_run(limits, &work, &unused, &answer, err));
    CIS_TRY(cis_child_scan_split(&answer, name, json, err));
    cis_buf_move(&answer, out);
    return cis_buf_check(out, name, err);
}

static cis_code make(const struct cis_composition *c, const struct cis_engine_module_options *o,
                     const struct cis_child_limits *limits, struct cis_buf *out,
                     struct cis_buf *out_json, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf unwanted = CIS_BUF_INIT(SCAN_JSON_MAX);
    struct cis_buf *json = out_json != NULL ? out_json : &unwanted;
    const char *name = o->name != NULL ? o->name : "composition";
    CIS_TRY(check(c, name, err));
    return limits->program == NULL ? cis_compose_here(c, name, o->features, out, json, err)
                                   : make_in_child(c, name, o, limits, out, json, err);
}

cis_code cis_composition_make(const struct cis_composition *c,
                              const struct cis_engine_module_options *o, struct cis_buf *out,
                              struct cis_buf *out_json, struct cis_error *err)
{
    const struct cis_child_limits limits = {
        .program = o->compiler, .memory_bytes = o->compile_memory, .ns = o->compile_ns};
    return make(c, o, &limits, out, out_json, err);
}

cis_code cis_engine_compose(cis_engine *e, const struct cis_composition *c,
                            const struct cis_engine_module_options *options, struct cis_buf *out,
                            struct cis_buf *out_json, struct cis_error *err)
{
    struct cis_engine_module_options o = *options;
    o.name = o.name != NULL ? o.name : "composition";
    if (o.stop.deadline_ns == 0) {
        o.stop.deadline_ns = CIS_NEVER;
    }
    const struct cis_child_limits limits = {
        .program = e->options.compile_in_process ? NULL : e->options.compiler,
        .memory_bytes = e->options.compile_memory,
        .ns = e->options.compile_ns};
    CIS_TRY(cis_child_turn_begin(e, &o.stop, o.name, err));
    cis_code code = make(c, &o, &limits, out, out_json, err);
    cis_child_turn_end(e);
    return code;
}

/* ---- remembered ---- */

/* Of all that goes in: what a composition is remembered by. */
static cis_code digest_of(const struct cis_composition *c, uint8_t out[CIS_SHA256_BYTES],
                          struct cis_error *err)
{
    static const char label[] = "cis composition 1";
    uint8_t part[CIS_SHA256_BYTES];
    CIS_CLEANUP(cis_buf_done)
    struct cis_buf all = CIS_BUF_INIT((size_t)CIS_COMPOSE_PARTS_MAX * 512 + CIS_COMPOSE_TEXT_MAX);
    struct head head = {c->wac.ptr != NULL ? c->wac.len : PLUGS, c->nparts, 0};
    cis_buf_add(&all, label, sizeof label);
    cis_buf_add(&all, &head, sizeof head);
    if (c->wac.ptr != NULL) {
        cis_buf_str(&all, c->wac);
    }
    for (size_t i = 0; i < c->nparts; i++) {
        struct sizes sizes = {c->parts[i].name.len, c->parts[i].wasm.len, 0};
        cis_sha256(c->parts[i].wasm, part);
        cis_buf_add(&all, &sizes, sizeof sizes);
        cis_buf_str(&all, c->parts[i].name);
        cis_buf_add(&all, part, sizeof part);
    }
    CIS_TRY(cis_buf_check(&all, "composition", err)); /* of a part of it: another's */
    cis_sha256(cis_buf_bytes(&all), out);
    return CIS_OK;
}

struct making {
    cis_engine *engine;
    const struct cis_composition *c;
    const struct cis_engine_module_options *options;
    struct cis_buf made;
};

static cis_code make_now(void *self, struct cis_bytes *out, struct cis_error *err)
{
    struct making *m = self;
    CIS_TRY(cis_engine_compose(m->engine, m->c, m->options, &m->made, NULL, err));
    *out = cis_buf_bytes(&m->made);
    return CIS_OK;
}

cis_code cis_engine_module_load_composed(cis_engine *engine, const struct cis_composition *c,
                                         const struct cis_engine_module_options *options,
                                         cis_engine_module **out_module, struct cis_error *err)
{
    uint8_t key[CIS_SHA256_BYTES];
    CIS_TRY(check(c, options->name != NULL ? options->name : "composition", err));
    CIS_TRY(digest_of(c, key, err));
    struct making m = {engine, c, options, CIS_BUF_INIT(CIS_MODULE_MAX)};
    cis_code code =
        cis_engine_module_load_made(engine, key, options, make_now, &m, out_module, err);
    cis_buf_done(&m.made);
    return code;
}
