#include "base/json_write.h"

#include <inttypes.h>

/* Does the buffer end with a value? Its last byte says so: values end with a quote, a bracket, a
 * digit, or the e or l of a word. */
static bool after_value(const struct cis_buf *out)
{
    uint8_t last = out->len != 0 ? out->ptr[out->len - 1] : 0;
    return (last >= '0' && last <= '9') || (last != 0 && strchr("\"}]el", last) != NULL);
}

static void write_value(struct cis_buf *out, const struct cis_json_part *p)
{
    switch (p->kind) {
    case CIS_JSON_KEY:
        cis_buf_json(out, p->text);
        cis_buf_byte(out, ':');
        break;
    case CIS_JSON_STR:
        cis_buf_json(out, p->text);
        break;
    case CIS_JSON_UINT:
        cis_buf_printf(out, "%" PRIu64, p->number);
        break;
    case CIS_JSON_INT:
        cis_buf_printf(out, "%" PRId64, (int64_t)p->number);
        break;
    case CIS_JSON_RAW:
        cis_buf_str(out, p->text.len != 0 ? p->text : CIS_STR("null"));
        break;
    case CIS_JSON_CLOSE:
        cis_buf_str(out, p->text);
        break;
    case CIS_JSON_END:
    case CIS_JSON_NOTHING:
        break;
    }
}

void cis_json_write(struct cis_buf *out, const struct cis_json_part *parts)
{
    for (const struct cis_json_part *p = parts; p != NULL && p->kind != CIS_JSON_END; p++) {
        if (p->kind == CIS_JSON_NOTHING ||
            (p->kind == CIS_JSON_RAW && p->name == NULL && p->text.len == 0)) {
            continue;
        }
        if (p->kind != CIS_JSON_CLOSE && after_value(out)) {
            cis_buf_byte(out, ',');
        }
        if (p->name != NULL) {
            cis_buf_json(out, cis_str_of(p->name));
            cis_buf_byte(out, ':');
        }
        write_value(out, p);
    }
}

void cis_json_object(struct cis_buf *out, const struct cis_json_part *parts)
{
    cis_json_write(out, CIS_JSON(CIS_J_OPEN(NULL)));
    cis_json_write(out, parts);
    cis_json_write(out, CIS_JSON(CIS_J_CLOSE));
}
