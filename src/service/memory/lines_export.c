/* Memory as JSON lines: writing. */
#include "base/json_write.h"
#include "service/memory/memory.h"
#include "store/calls.h"

struct exporter {
    struct cis_sink *out;
    struct cis_buf line;
    cis_code code;
    struct cis_error error;
};

static void add_base64(struct cis_buf *out, struct cis_bytes data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    cis_buf_byte(out, '"');
    for (size_t i = 0; i < data.len && out->failed == CIS_OK; i += 3) {
        size_t left = data.len - i;
        uint32_t v = (uint32_t)data.ptr[i] << 16;
        v |= left > 1 ? (uint32_t)data.ptr[i + 1] << 8 : 0;
        v |= left > 2 ? data.ptr[i + 2] : 0;
        char quad[4] = {digits[v >> 18], digits[(v >> 12) & 63],
                        left > 1 ? digits[(v >> 6) & 63] : '=', left > 2 ? digits[v & 63] : '='};
        cis_buf_add(out, quad, sizeof quad);
    }
    cis_buf_byte(out, '"');
}

/* As text when a JSON string can hold exactly these bytes. */
static void add_bytes(struct cis_buf *out, const char *text_name, const char *binary_name,
                      struct cis_bytes data)
{
    bool text = cis_utf8_valid(data.ptr, data.len) &&
                (data.len == 0 || memchr(data.ptr, 0, data.len) == NULL);
    if (text) {
        struct cis_str value = {(const char *)data.ptr, data.len};
        cis_json_write(out, CIS_JSON(CIS_J(text_name, value)));
    } else {
        cis_json_write(out, CIS_JSON(CIS_J_KEY(cis_str_of(binary_name))));
        add_base64(out, data);
    }
}

void cis_memory_entry_json(struct cis_buf *out, const struct cis_kv_entry *entry)
{
    add_bytes(out, "ns", "ns_base64", cis_bytes_of(entry->ns.ptr, entry->ns.len));
    add_bytes(out, "key", "key_base64", cis_bytes_of(entry->key.ptr, entry->key.len));
    if (entry->value.ptr == NULL) {
        cis_json_write(out, CIS_JSON(CIS_J("bytes", entry->value.len)));
    } else {
        add_bytes(out, "value", "base64", entry->value);
    }
    cis_json_write(out,
                   CIS_JSON(CIS_J("public", entry->is_public), CIS_J("category", entry->category),
                            CIS_J("updated_ms", entry->updated_ms)));
}

static bool write_line(void *self, const struct cis_kv_entry *e)
{
    struct exporter *x = self;
    struct cis_buf *line = &x->line;
    cis_buf_reset(line);
    cis_json_write(line, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u)));
    cis_memory_entry_json(line, e);
    cis_buf_text(line, "}\n");
    x->code = cis_buf_check(line, "export", &x->error);
    if (x->code == CIS_OK && x->out->write(x->out->self, line->ptr, line->len) != CIS_OK) {
        x->code = cis_fail(&x->error, CIS_E_IO, "export: cannot write the output");
    }
    return x->code == CIS_OK;
}

cis_code cis_memory_export(cis_store *store, struct cis_str tenant, struct cis_str ns,
                           struct cis_sink *out, const struct cis_stop *stop, struct cis_error *err)
{
    /* The longest line: every byte of the largest value escaped, and its key. */
    struct exporter x = {
        .out = out, .line = CIS_BUF_INIT(7u * CIS_STORE_VALUE_MAX), .code = CIS_OK};
    struct cis_kv_query query = {.ns = ns, .values = true};
    cis_code code = cis_store_kv_list(store, tenant, &query, write_line, &x, stop, err);
    cis_buf_done(&x.line);
    if (code == CIS_OK && x.code != CIS_OK) {
        if (err != NULL) {
            *err = x.error;
        }
        return x.code;
    }
    return code;
}
