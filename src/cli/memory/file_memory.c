#include "cli/memory/file_memory.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/crypto.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "store/calls.h"

#define PREFIX "file:"
#define CLAIM_MAX (256u << 20) /* bytes of one claim in memory; as of an import */

struct cis_str cis_file_stem(struct cis_str path)
{
    size_t from = path.len, to;
    while (from > 0 && path.ptr[from - 1] != '/') {
        from--;
    }
    for (to = path.len; to > from + 1 && path.ptr[to - 1] != '.'; to--) {
    }
    return (struct cis_str){path.ptr + from, (to > from + 1 ? to - 1 : path.len) - from};
}

void cis_file_memory_ns(const char *path, char *out)
{
    char real[PATH_MAX];
    struct stat st;
    size_t room = CIS_FILE_NS_MAX - sizeof PREFIX;
    if (realpath(path, real) == NULL || stat(real, &st) != 0 || !S_ISREG(st.st_mode)) {
        struct cis_str stem = cis_file_stem(cis_str_of(path));
        snprintf(out, CIS_FILE_NS_MAX, PREFIX "%.*s", (int)(stem.len < room ? stem.len : room),
                 stem.ptr);
        return;
    }
    size_t len = strlen(real);
    if (len <= room) {
        snprintf(out, CIS_FILE_NS_MAX, PREFIX "%s", real);
        return;
    }
    uint8_t digest[CIS_SHA256_BYTES];
    char hex[2 * CIS_SHA256_BYTES + 1];
    cis_sha256(cis_bytes_of(real, len), digest);
    cis_hex(digest, sizeof digest, hex);
    size_t tail = room - 1 - strlen(hex) - 1;
    snprintf(out, CIS_FILE_NS_MAX, PREFIX "@%s/%s", hex, real + len - tail);
}

bool cis_file_memory_has_stem(struct cis_str ns, struct cis_str stem)
{
    struct cis_str rest = ns;
    if (!cis_str_starts(ns, CIS_STR(PREFIX))) {
        return false;
    }
    rest.ptr += strlen(PREFIX);
    rest.len -= strlen(PREFIX);
    bool path = rest.len > 0 && (rest.ptr[0] == '/' || rest.ptr[0] == '@');
    return cis_str_eq(path ? cis_file_stem(rest) : rest, stem);
}

/* ---- claiming ---- */

struct claim {
    struct cis_str from, to;
    struct cis_kv_op *ops; /* two for each entry: written there, removed here */
    size_t n, cap;
    struct cis_buf
        texts;  /* keys, values and categories of the entries, which are borrowed otherwise */
    size_t *at; /* where those of entry i begin */
    cis_code code;
    struct cis_error *err;
};

static void claim_done(struct claim *c)
{
    cis_free(c->ops);
    cis_free(c->at);
    cis_buf_done(&c->texts);
}

static bool grow(struct claim *c)
{
    size_t cap = cis_cap_next(c->cap, 64, CIS_MEM_MAX);
    struct cis_kv_op *ops = cis_realloc_array(c->ops, cis_size_mul(2, cap), sizeof *ops);
    if (ops != NULL) {
        c->ops = ops;
    }
    size_t *at = ops != NULL ? cis_realloc_array(c->at, cap, sizeof *at) : NULL;
    if (at == NULL) {
        c->code = cis_fail(c->err, CIS_E_NOMEM, "memory: out of memory");
        return false;
    }
    c->at = at;
    c->cap = cap;
    return true;
}

static bool take(void *self, const struct cis_kv_entry *e)
{
    struct claim *c = self;
    if (c->n == c->cap && !grow(c)) {
        return false;
    }
    c->at[c->n] = c->texts.len;
    cis_buf_str(&c->texts, e->key);
    cis_buf_add(&c->texts, e->value.ptr, e->value.len);
    cis_buf_str(&c->texts, e->category);
    struct cis_kv_op *op = &c->ops[2 * c->n++];
    op[0] = (struct cis_kv_op){.ns = c->to,
                               .key = {NULL, e->key.len},
                               .value = {NULL, e->value.len},
                               .is_public = e->is_public,
                               .category = {NULL, e->category.len}};
    op[1] = (struct cis_kv_op){.ns = c->from, .key = {NULL, e->key.len}, .remove = true};
    c->code = cis_buf_check(&c->texts, "memory of a file", c->err);
    return c->code == CIS_OK;
}

cis_code cis_file_memory_claim(cis_store *store, struct cis_str tenant, struct cis_str ns,
                               struct cis_str stem, uint64_t *out_moved,
                               const struct cis_stop *stop, struct cis_error *err)
{
    char old[CIS_FILE_NS_MAX];
    *out_moved = 0;
    snprintf(old, sizeof old, PREFIX "%.*s", (int)stem.len, stem.ptr);
    if (stem.len > CIS_STORE_NAME_MAX - strlen(PREFIX) || cis_str_is(ns, old)) {
        return CIS_OK;
    }
    CIS_CLEANUP(claim_done)
    struct claim c = {.from = cis_str_of(old),
                      .to = ns,
                      .texts = CIS_BUF_INIT(CLAIM_MAX),
                      .code = CIS_OK,
                      .err = err};
    struct cis_kv_query query = {.ns = c.from, .values = true};
    CIS_TRY(cis_store_kv_list(store, tenant, &query, take, &c, stop, err));
    CIS_TRY(c.code);
    if (c.n == 0) {
        return CIS_OK;
    }
    for (size_t i = 0; i < c.n; i++) { /* the texts do not move any more */
        const char *text = (const char *)c.texts.ptr + c.at[i];
        struct cis_kv_op *op = &c.ops[2 * i];
        op[0].key.ptr = op[1].key.ptr = text;
        op[0].value.ptr = (const uint8_t *)text + op[0].key.len;
        op[0].category.ptr = text + op[0].key.len + op[0].value.len;
    }
    struct cis_store_commit commit = {.kv = c.ops, .nkv = 2 * c.n, .note = "memory of a file"};
    CIS_TRY(cis_store_commit(store, tenant, &commit, stop, err));
    *out_moved = c.n;
    return CIS_OK;
}
