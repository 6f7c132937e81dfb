/* cis:skill, interfaces ai and http. */
#include <jansson.h>
#include "skillabi/iface.h"

cis_code cis_iface_chat(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                        struct cis_error *err)
{
    struct cis_str prompt = cis_val_text(args);
    if (prompt.len > CIS_ABI_PROMPT_MAX) {
        return cis_iface_too_large(result, CIS_ABI_PROMPT_MAX);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf answer = CIS_BUF_INIT(CIS_ABI_ANSWER_MAX);
    cis_code code = cis_host_ai(cis_host_of(instance), instance, prompt, &answer, err);
    if (code != CIS_OK) {
        return cis_iface_failed(instance, result, "ai.chat", code, err);
    }
    cis_val *text;
    cis_val_set_result(result, true, &text);
    code = cis_val_set_text(instance, text, cis_buf_view(&answer), err);
    return cis_iface_built(instance, result, "ai.chat", code, err);
}

/* ---- http ---- */

/* Headers as the host takes them: a JSON object, repeated names as arrays. */
static bool add_header(json_t *object, struct cis_str name, struct cis_str value)
{
    json_t *list = json_object_getn(object, name.ptr, name.len);
    json_t *text = json_stringn(value.ptr, value.len);
    if (list == NULL) {
        list = json_array();
        if (json_object_setn_new(object, name.ptr, name.len, list) != 0) {
            json_decref(text);
            return false;
        }
    }
    return json_array_append_new(list, text) == 0;
}

static cis_code take_headers(const cis_val *list, struct cis_buf *out, struct cis_error *err)
{
    size_t n = cis_val_len(list), bytes = 0;
    if (n > CIS_HOST_HTTP_HEADERS_MAX) {
        return cis_fail(err, CIS_E_USAGE, "more than %u headers", CIS_HOST_HTTP_HEADERS_MAX);
    }
    json_t *object = json_object();
    bool good = object != NULL;
    for (size_t i = 0; i < n && good; i++) {
        const cis_val *pair = cis_val_at(list, i);
        struct cis_str name = cis_val_text(cis_val_at(pair, 0));
        struct cis_str value = cis_val_text(cis_val_at(pair, 1));
        bytes += name.len + value.len;
        if (bytes > CIS_HOST_HTTP_HEADERS_BYTES || memchr(name.ptr, 0, name.len) != NULL) {
            json_decref(object);
            return cis_fail(err, CIS_E_USAGE, "headers: larger than %u bytes, or a name with NUL",
                            CIS_HOST_HTTP_HEADERS_BYTES);
        }
        good = add_header(object, name, value);
    }
    size_t len = good && n != 0 ? json_dumpb(object, NULL, 0, JSON_COMPACT) : 0;
    uint8_t *room = len != 0 ? cis_buf_reserve(out, len) : NULL;
    if (room != NULL) {
        out->len += json_dumpb(object, (char *)room, len, JSON_COMPACT);
    }
    json_decref(object);
    return good ? cis_buf_check(out, "headers", err) : cis_fail(err, CIS_E_NOMEM, "out of memory");
}

/* Borrowed from the value, or copied to room when it is a list. */
static cis_code take_body(const cis_val *body, struct cis_buf *room, struct cis_bytes *out,
                          struct cis_error *err)
{
    const cis_val *inner = cis_val_inner(body);
    *out = cis_bytes_of("", 0);
    if (cis_str_is(cis_val_text(body), "text")) {
        struct cis_str text = cis_val_text(inner);
        *out = cis_bytes_of(text.ptr, text.len);
    } else if (inner != NULL) {
        size_t n = cis_val_len(inner);
        uint8_t *at = cis_buf_reserve(room, n + 1);
        CIS_TRY(cis_buf_check(room, "body", err));
        cis_val_copy_bytes(inner, at);
        *out = cis_bytes_of(at, n);
    }
    return CIS_OK;
}

static cis_code give_headers(cis_engine_instance *instance, const struct cis_buf *json,
                             cis_val *out, struct cis_error *err)
{
    json_t *object = json_loadb((const char *)json->ptr, json->len, JSON_ALLOW_NUL, NULL), *value;
    if (object == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "http.send: out of memory");
    }
    const char *name;
    size_t i = 0;
    cis_code code = cis_val_set_list(instance, out, json_object_size(object), err);
    if (code == CIS_OK) {
        json_object_foreach(object, name, value)
        {
            cis_val *pair = cis_val_item(out, i++);
            struct cis_str text = {json_string_value(value), json_string_length(value)};
            cis_val_set_tuple(pair, 2);
            code = code == CIS_OK
                       ? cis_val_set_text(instance, cis_val_item(pair, 0), cis_str_of(name), err)
                       : code;
            code = code == CIS_OK ? cis_val_set_text(instance, cis_val_item(pair, 1), text, err)
                                  : code;
        }
    }
    json_decref(object);
    return code;
}

static cis_code give_response(cis_engine_instance *instance, const struct cis_host_exchange *x,
                              bool is_text, cis_val *result, struct cis_error *err)
{
    const struct cis_buf *body = x->answer;
    static const char *const names[] = {"status", "headers", "body"};
    cis_val *record, *inner;
    cis_val_set_result(result, true, &record);
    cis_val_set_record(record, names, 3);
    cis_val_set_u16(cis_val_item(record, 0), x->status);
    CIS_TRY(give_headers(instance, x->names, cis_val_item(record, 1), err));
    if (body->len == 0) {
        cis_val_set_variant(cis_val_item(record, 2), "none", NULL);
        return CIS_OK;
    }
    cis_val_set_variant(cis_val_item(record, 2), is_text ? "text" : "bytes", &inner);
    return is_text ? cis_val_set_text(instance, inner, cis_buf_view(body), err)
                   : cis_val_set_bytes(instance, inner, cis_buf_bytes(body), err);
}

static cis_code send_request(cis_engine_instance *instance, const cis_val *request, cis_val *result,
                             struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf headers = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf room = CIS_BUF_INIT(CIS_ABI_LIST_MAX + 1);
    CIS_CLEANUP(cis_buf_done) struct cis_buf names = CIS_BUF_INIT(512u << 10);
    CIS_CLEANUP(cis_buf_done) struct cis_buf answer = cis_abi_http_buf(instance);
    struct cis_host_exchange x = {.method = cis_val_text(cis_val_at(request, 0)),
                                  .url = cis_val_text(cis_val_at(request, 1)),
                                  .names = &names,
                                  .answer = &answer};
    CIS_TRY(take_headers(cis_val_at(request, 2), &headers, err));
    x.headers = cis_buf_view(&headers);
    CIS_TRY(take_body(cis_val_at(request, 3), &room, &x.body, err));
    CIS_TRY(cis_host_http(cis_host_of(instance), instance, &x, err));
    bool is_text = cis_utf8_valid(answer.ptr, answer.len);
    if (!is_text && answer.len > CIS_ABI_LIST_MAX) {
        return cis_iface_too_large(result, CIS_ABI_LIST_MAX);
    }
    cis_code code = give_response(instance, &x, is_text, result, err);
    return cis_iface_built(instance, result, "http.send", code, err);
}

cis_code cis_iface_send(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                        struct cis_error *err)
{
    const cis_val *body = cis_val_inner(cis_val_at(args, 3));
    if (body != NULL && cis_val_len(body) > CIS_ABI_LIST_MAX) {
        return cis_iface_too_large(result, CIS_ABI_LIST_MAX);
    }
    if (cis_val_text(cis_val_at(args, 1)).len > CIS_ABI_URL_MAX) {
        return cis_iface_too_large(result, CIS_ABI_URL_MAX);
    }
    cis_code code = send_request(instance, args, result, err);
    return code == CIS_OK ? CIS_OK : cis_iface_failed(instance, result, "http.send", code, err);
}
