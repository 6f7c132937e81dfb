#include "incoming.h"

#include <errno.h>
#include "base/buf.h"
#include "engine/code/document.h"

static void load_guest(struct place *p)
{
    struct cis_buf wasm = CIS_BUF_INIT(1u << 20), component = CIS_BUF_INIT(4u << 20);
    struct cis_engine_module_options options = {0};
    char block[65536];
    size_t n;
    FILE *f = fopen(CIS_GUESTS_DIR "/incoming.wasm", "rb");
    assert_non_null(f);
    while ((n = fread(block, 1, sizeof block, f)) != 0) {
        cis_buf_add(&wasm, block, n);
    }
    fclose(f);
    assert_ok(
        cis_component_make(cis_buf_bytes(&wasm), cis_bytes_of("", 0), &options, &component, err));
    assert_ok(
        cis_module_load(p->runtime, component.ptr, component.len, "incoming", &p->module, err));
    cis_buf_done(&component);
    cis_buf_done(&wasm);
}

int place_setup_slots(void **state, uint32_t cpu_slots)
{
    struct place *p = calloc(1, sizeof *p);
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    assert_non_null(p);
    config.compile_in_process = true;
    config.cpu_slots = cpu_slots;
    assert_ok(cis_runtime_new(&config, &p->runtime, err));
    load_guest(p);
    assert_ok(cis_wasi_config_new(p->runtime, &p->run, err));
    place_renew(p);
    *state = p;
    return 0;
}

int place_setup(void **state)
{
    return place_setup_slots(state, 0);
}

int place_teardown(void **state)
{
    struct place *p = *state;
    cis_component_close(p->component);
    cis_wasi_config_free(p->run);
    cis_module_unref(p->module);
    cis_runtime_free(p->runtime);
    free(p);
    return 0;
}

void place_renew(struct place *p)
{
    cis_component_close(p->component);
    p->component = NULL;
    assert_ok(cis_component_open(p->run, p->module, &p->component, err));
}

/* ---- the peer ---- */

static bool again(struct peer *peer)
{
    if (peer->said < peer->again) {
        peer->said++;
        return true;
    }
    peer->said = 0;
    return false;
}

static void list(char *to, size_t cap, const struct cis_http_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(to);
        snprintf(to + len, cap - len, "%s: %s\n", headers[i].name, headers[i].value);
    }
}

static enum cis_code take_head(void *self, const struct cis_http_head *head, struct cis_error *why)
{
    struct peer *peer = self;
    assert_int_equal(head->size, sizeof *head);
    if (head->status != 0 && again(peer)) {
        return cis_error_errno(why, EAGAIN);
    }
    peer->heads++;
    if (head->status == 0) {
        snprintf(peer->head, sizeof peer->head, "fault %d %s\n", (int)head->fault, head->message);
        return CIS_E_OK;
    }
    assert_int_equal(head->fault, CIS_HTTP_FINE);
    snprintf(peer->head, sizeof peer->head, "%d length=%lld\n", head->status,
             (long long)head->length);
    list(peer->head, sizeof peer->head, head->headers, head->nheaders);
    return cis_error_errno(why, peer->head_error);
}

static enum cis_code take_bytes(void *self, const void *data, size_t len, size_t *out_n,
                                struct cis_error *why)
{
    struct peer *peer = self;
    const uint8_t *at = data;
    size_t n = peer->piece != 0 && peer->piece < len ? peer->piece : len;
    assert_int_equal(peer->heads, 1);
    assert_int_equal(peer->ends, 0);
    assert_true(len > 0);
    if (peer->write_error != 0 && peer->taken >= peer->fail_at) {
        return cis_error_errno(why, peer->write_error);
    }
    if (again(peer)) {
        return cis_error_errno(why, EAGAIN);
    }
    for (size_t i = 0; peer->check && i < n; i++) {
        peer->wrong |= at[i] != (uint8_t)((peer->taken + i) % 251);
    }
    if (peer->len + n <= peer->body_max) {
        peer->body = realloc(peer->body, peer->len + n + 1);
        memcpy(peer->body + peer->len, data, n);
        peer->len += n;
        peer->body[peer->len] = 0;
    }
    peer->taken += n;
    *out_n = n;
    return CIS_E_OK;
}

static enum cis_code take_end(void *self, const struct cis_http_header *trailers, size_t n,
                              struct cis_error *why)
{
    struct peer *peer = self;
    if (again(peer)) {
        return cis_error_errno(why, EAGAIN);
    }
    peer->ends++;
    list(peer->tail, sizeof peer->tail, trailers, n);
    return CIS_E_OK;
}

static enum cis_code give_bytes(void *self, void *to, size_t cap, size_t *out_n,
                                struct cis_error *why)
{
    struct peer *peer = self;
    uint64_t left = peer->give - peer->given;
    size_t n = peer->piece != 0 && peer->piece < cap ? peer->piece : cap;
    peer->reads++;
    if (peer->read_error != 0 && peer->given >= peer->fail_at) {
        return cis_error_errno(why, peer->read_error);
    }
    if (again(peer)) {
        return cis_error_errno(why, EAGAIN);
    }
    n = n < left ? n : (size_t)left;
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)to)[i] = (uint8_t)((peer->given + i) % 251);
    }
    peer->given += n;
    *out_n = n;
    if (n == 0) {
        peer->in.trailers = peer->late;
        peer->in.ntrailers = peer->nlate;
    }
    return CIS_E_OK;
}

void peer_init(struct peer *peer, const char *method, const char *path)
{
    struct cis_http_incoming in = CIS_HTTP_INCOMING_INIT;
    struct cis_http_answer answer = CIS_HTTP_ANSWER_INIT;
    *peer = (struct peer){.in = in, .answer = answer, .body_max = 65536};
    peer->in.method = method;
    peer->in.path = path;
    peer->in.self = peer;
    peer->in.head = take_head;
    peer->in.write = take_bytes;
    peer->in.end = take_end;
    if (strcmp(method, "POST") == 0) {
        peer->in.read = give_bytes;
    }
}

void peer_done(struct peer *peer)
{
    free(peer->body);
    peer->body = NULL;
}

cis_code ask(struct place *p, struct peer *peer, struct cis_error *err)
{
    cis_code code = cis_component_handle(p->component, &peer->in, &peer->answer, err);
    if (code == CIS_OK) {
        assert_int_equal(peer->answer.fault == CIS_HTTP_FINE, peer->ends == 1);
        assert_int_equal(peer->answer.body_out, peer->taken);
        assert_true(peer->heads <= 1);
    }
    assert_true(peer->ends <= peer->heads);
    assert_false(peer->wrong);
    return code;
}

void assert_says(struct place *p, const char *path, const char *body)
{
    struct peer peer;
    peer_init(&peer, "GET", path);
    assert_ok(ask(p, &peer, err));
    assert_int_equal(peer.answer.fault, CIS_HTTP_FINE);
    assert_int_equal(peer.answer.status, 200);
    assert_string_equal(peer.body != NULL ? peer.body : "", body);
    peer_done(&peer);
}
