/* Composing itself, in the child or in this process: files become bytes, texts binaries, and the
 * result is validated on its way to where it goes. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "engine/code/child.h"
#include "engine/code/code.h"
#include "engine/code/compose.h"
#include "engine/code/document.h"

#define STEP (4u << 20) /* of a result that is written */

/* A message that begins with a line is of the text, any other names its parts. */
static cis_code cannot(wasmtime_error_t *error, const char *name, bool text, struct cis_error *err)
{
    char said[1024];
    size_t n = cis_glue_error_text(error, NULL, said, sizeof said - 1);
    said[n] = 0;
    said[strcspn(said, "\n")] = 0;
    wasmtime_error_delete(error);
    if (text && said[0] >= '0' && said[0] <= '9') {
        return cis_fail(err, CIS_E_INVALID, "%s:%s", name, said);
    }
    return text ? cis_fail(err, CIS_E_INVALID, "%s: %s", name, said)
                : cis_fail(err, CIS_E_INVALID, "%s", said);
}

/* A result on its way into a file. The disk begins with it at once: whoever syncs the file later
 * waits for the rest. */
struct writing {
    int to, sys;
    struct cis_bytes data;
    pthread_t thread;
    bool apart;
};

static void *write_down(void *self)
{
    struct writing *w = self;
    for (size_t at = 0; w->sys == 0 && at < w->data.len; at += STEP) {
        size_t n = w->data.len - at < STEP ? w->data.len - at : STEP;
        w->sys = cis_fd_write_all(w->to, w->data.ptr + at, n);
        (void)sync_file_range(w->to, (off_t)at, (off_t)n, SYNC_FILE_RANGE_WRITE);
    }
    return NULL;
}

/* While it is validated, where a thread can be had. */
static void writing_begin(struct writing *w)
{
    w->apart = w->to != 0 && pthread_create(&w->thread, NULL, write_down, w) == 0;
}

static int writing_end(struct writing *w)
{
    if (w->apart) {
        pthread_join(w->thread, NULL);
    } else if (w->to != 0) {
        write_down(w);
    }
    return w->sys;
}

/* What the parts are to each other is known only when all of it is validated. */
static cis_code validated(struct cis_bytes binary, const char *name, unsigned features,
                          struct cis_buf *json, struct cis_error *err)
{
    static const char invalid[] = "not a valid WebAssembly module: ";
    const struct cis_engine_module_options o = {.name = name, .features = features};
    struct cis_error why = {0};
    cis_code code = cis_scan_json(binary, &o, json, &why);
    const char *at = strstr(why.msg, invalid);
    if (code == CIS_E_INVALID && at != NULL) {
        return cis_fail(err, code, "%s: the parts do not fit together: %s", name,
                        at + sizeof invalid - 1);
    }
    return code == CIS_OK ? code : cis_fail(err, code, "%s", why.msg);
}

static cis_code result_of(const struct cis_glue_text *made, int to, const char *name,
                          unsigned features, struct cis_buf *out, struct cis_buf *json,
                          struct cis_error *err)
{
    struct cis_bytes binary = {(const uint8_t *)made->ptr, made->len};
    if (binary.len > CIS_MODULE_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "%s: the result is larger than %u bytes", name,
                        CIS_MODULE_MAX);
    }
    struct writing w = {.to = to, .data = binary};
    writing_begin(&w);
    cis_code code = validated(binary, name, features, json, err);
    int sys = writing_end(&w);
    CIS_TRY(code);
    if (sys != 0) {
        return cis_fail_sys(err, CIS_E_IO, sys, "%s: cannot write the result", name);
    }
    if (to == 0) {
        cis_buf_add(out, binary.ptr, binary.len);
    }
    return cis_buf_check(out, name, err);
}

static cis_code compose_binaries(const struct cis_glue_part *parts, const struct cis_composition *c,
                                 const char *name, unsigned features, struct cis_buf *out,
                                 struct cis_buf *json, struct cis_error *err)
{
    struct cis_glue_text made = {0};
    uint64_t before = cis_glue_heap_short();
    wasmtime_error_t *error = cis_glue_compose(parts, c->nparts, c->wac.ptr, c->wac.len, &made);
    cis_code code = error != NULL ? cannot(error, name, c->wac.ptr != NULL, err) : CIS_OK;
    if (cis_glue_heap_short() != before) {
        code = cis_engine_enough(before, name, err);
    }
    code = code == CIS_OK ? result_of(&made, c->to, name, features, out, json, err) : code;
    cis_glue_text_free(&made);
    return code;
}

/* What a part is as long as it is worked on: its file, and the binary of a text. */
struct held {
    struct cis_buf text;
    void *mapped;
    size_t len;
};

static void held_done(struct held *h)
{
    cis_buf_done(&h->text);
    if (h->mapped != NULL) {
        munmap(h->mapped, h->len);
    }
}

/* Whoever cuts the file off meanwhile ends the child. */
static cis_code bytes_of(const struct cis_compose_part *part, const char *name, struct held *h,
                         struct cis_bytes *out, struct cis_error *err)
{
    *out = part->wasm;
    if (part->file == 0 || part->wasm.len == 0) {
        return CIS_OK;
    }
    if (lseek(part->file, 0, SEEK_END) != (off_t)part->wasm.len) {
        return cis_fail(err, CIS_E_IO, "%s: was changed while it was read", name);
    }
    void *at = mmap(NULL, part->wasm.len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, part->file, 0);
    if (at == MAP_FAILED) {
        return cis_fail_sys(err, errno == ENOMEM ? CIS_E_NOMEM : CIS_E_IO, errno, "%s", name);
    }
    h->mapped = at;
    h->len = part->wasm.len;
    *out = cis_bytes_of(at, h->len);
    return CIS_OK;
}

/* The binary of a part, which must be a component. */
static cis_code binary_of(const struct cis_compose_part *part, struct held *h,
                          struct cis_glue_part *out, struct cis_error *err)
{
    char name[CIS_COMPOSE_NAME_MAX + 1];
    struct cis_bytes wasm;
    snprintf(name, sizeof name, CIS_STR_FMT, CIS_STR_ARG(part->name));
    CIS_TRY(bytes_of(part, name, h, &wasm, err));
    CIS_TRY(cis_module_binary(wasm, name, &h->text, err));
    struct cis_bytes binary = h->text.len != 0 ? cis_buf_bytes(&h->text) : wasm;
    if (binary.len < 8 || binary.ptr[6] != 1) {
        return cis_fail(err, CIS_E_INVALID,
                        "%s: is a core module; `cis component new` makes a component of it", name);
    }
    *out = (struct cis_glue_part){(const uint8_t *)part->name.ptr, part->name.len, binary.ptr,
                                  binary.len};
    return CIS_OK;
}

cis_code cis_compose_here(const struct cis_composition *c, const char *name, unsigned features,
                          struct cis_buf *out, struct cis_buf *json, struct cis_error *err)
{
    size_t n = c->nparts;
    struct cis_glue_part *parts = cis_calloc(n != 0 ? n : 1, sizeof *parts);
    struct held *held = cis_calloc(n != 0 ? n : 1, sizeof *held);
    cis_code code = parts != NULL && held != NULL
                        ? CIS_OK
                        : cis_fail(err, CIS_E_NOMEM, "%s: out of memory", name);
    for (size_t i = 0; code == CIS_OK && i < n; i++) {
        held[i].text = CIS_BUF_INIT(CIS_MODULE_MAX);
        code = binary_of(&c->parts[i], &held[i], &parts[i], err);
    }
    code = code == CIS_OK ? compose_binaries(parts, c, name, features, out, json, err) : code;
    for (size_t i = 0; held != NULL && i < n; i++) {
        held_done(&held[i]);
    }
    cis_free(held);
    cis_free(parts);
    return code;
}
