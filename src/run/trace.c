/* --trace host: one line a host call, in every ABI, from the trampoline. */
#include "run/session.h"

#include <inttypes.h>
#include "base/float.h"

static void slot_text(struct cis_buf *out, char type, const union cis_slot *slot)
{
    switch (type) {
    case 'i':
        cis_buf_printf(out, "%" PRId32, slot->i32);
        break;
    case 'I':
        cis_buf_printf(out, "%" PRId64, slot->i64);
        break;
    case 'f':
        cis_buf_float(out, (double)slot->f32);
        break;
    case 'F':
        cis_buf_float(out, slot->f64);
        break;
    default:
        cis_buf_text(out, "?");
    }
}

/* A parameter pair NAME,NAMElen is shown as text when its bytes are printable and inside memory. */
static bool span_text(struct cis_buf *out, cis_engine_instance *instance, const union cis_slot *ptr,
                      const union cis_slot *len, struct cis_str len_name)
{
    /* "klen", "mlen": what was read; "olen" is room for what is written later. */
    bool is_len = len_name.len >= 3 && memcmp(len_name.ptr + len_name.len - 3, "len", 3) == 0 &&
                  !cis_str_is(len_name, "olen");
    if (!is_len || instance == NULL) {
        return false;
    }
    const char *at = cis_engine_instance_at(instance, ptr->u32, len->u32);
    if (at == NULL) {
        return false;
    }
    size_t shown = len->u32 < 48 ? len->u32 : cis_utf8_floor(at, len->u32, 48);
    if (!cis_utf8_valid(at, shown)) {
        return false;
    }
    cis_buf_json(out, (struct cis_str){at, shown});
    if (shown < len->u32) {
        cis_buf_text(out, "…");
    }
    return true;
}

void cis_trace_text(struct cis_buf *line, cis_engine_instance *instance,
                    const struct cis_hostfn *row, const union cis_slot *args,
                    const union cis_slot *result, cis_code code, uint64_t ns)
{
    struct cis_str names = cis_str_of(row->params != NULL ? row->params : ""), name, next;
    cis_buf_printf(line, "%s.%s(", row->module, row->name);
    const char *type = row->type;
    for (size_t i = 0; *type != 0 && *type != ':'; type++, i++) {
        cis_str_split(&names, ',', &name);
        cis_buf_printf(line, "%s%.*s=", i != 0 ? ", " : "", (int)name.len, name.ptr);
        struct cis_str rest = names;
        cis_str_split(&rest, ',', &next);
        if (*type == 'i' && type[1] == 'i' &&
            span_text(line, instance, &args[i], &args[i + 1], next)) {
            continue;
        }
        slot_text(line, *type, &args[i]);
    }
    cis_buf_byte(line, ')');
    if (*type == ':' && type[1] != 0 && code == CIS_OK) {
        cis_buf_text(line, " = ");
        slot_text(line, type[1], result);
    }
    const struct cis_engine_instance_end *end =
        instance != NULL ? cis_engine_instance_end(instance) : NULL;
    if (end != NULL && end->exited) { /* the end that the guest asked for */
        cis_buf_printf(line, " exit %" PRId32, end->exit_code);
    } else if (code != CIS_OK) {
        cis_buf_printf(line, " ! %s", cis_code_name(code));
    }
    cis_buf_printf(line, " [%" PRIu64 " ns]", ns);
}

/* The line goes to code that is not ours. */
static void tell(cis_session *s, struct cis_buf *line)
{
    cis_session_pause(s);
    s->request.trace(s->request.trace_self, cis_buf_cstr(line));
    cis_code over = cis_session_resume(s, NULL);
    (void)over; /* the guest has ended; its next step finds that out */
}

void cis_trace_line(void *self, const struct cis_hostfn *row, const union cis_slot *args,
                    const union cis_slot *result, cis_code code, uint64_t ns)
{
    cis_session *s = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(4096);
    cis_trace_text(&line, s->host.instance, row, args, result, code, ns);
    tell(s, &line);
}

void cis_trace_typed_text(struct cis_buf *line, const struct cis_ifacefn *row, const cis_val *args,
                          size_t nargs, const cis_val *result, cis_code code, uint64_t ns)
{
    struct cis_str names = cis_str_of(row->params), name;
    cis_buf_printf(line, "%s.%s(", row->interface, row->name);
    for (size_t i = 0; i < nargs; i++) {
        cis_str_split(&names, ',', &name);
        cis_buf_printf(line, "%s%.*s%s", i != 0 ? ", " : "", (int)name.len, name.ptr,
                       name.len != 0 ? "=" : "");
        cis_val_print(cis_val_nth(args, i), line);
    }
    cis_buf_byte(line, ')');
    if (result != NULL && code == CIS_OK) {
        cis_buf_text(line, " = ");
        cis_val_print(result, line);
    }
    if (code != CIS_OK) {
        cis_buf_printf(line, " ! %s", cis_code_name(code));
    }
    cis_buf_printf(line, " [%" PRIu64 " ns]", ns);
}

void cis_trace_typed(void *self, const struct cis_ifacefn *row, const cis_val *args, size_t nargs,
                     const cis_val *result, cis_code code, uint64_t ns)
{
    cis_session *s = self;
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(16384);
    cis_trace_typed_text(&line, row, args, nargs, result, code, ns);
    tell(s, &line);
}
