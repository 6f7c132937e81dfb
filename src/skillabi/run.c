/* One call of a skill: its initialisation, its entry point or method with the host's input, its
 * shutdown; and what its answer means. Input goes from the caller's bytes straight into guest
 * memory; a text answer is copied out once. */
#include "skillabi/abi.h"

#include <inttypes.h>
#include "base/json.h"

#define POINTER_MIN 4096u /* a smaller value of main or of a text method is a number */

struct piece {
    const void *ptr;
    size_t len;
};

struct run {
    cis_guest *guest;
    struct cis_host *host;
    const struct cis_skillabi_options *options;
    struct cis_skillabi_plan plan;
    union cis_slot io[4];
    bool returned;       /* io[0] holds the entry point's value */
    bool exited;         /* the guest ended itself by exit */
    struct cis_buf text; /* a text answer, or numbers as JSON */
    bool has_text;
};

static bool is(const struct run *r, const char *kind)
{
    return strcmp(r->plan.kind, kind) == 0;
}

/* Calls an export; the guest's own exit is an end of the run, not a failure of it. */
static cis_code call(struct run *r, struct cis_str name, const char *type, struct cis_error *err)
{
    cis_code code = cis_guest_call(r->guest, name, type, r->io, err);
    if (cis_guest_end(r->guest)->exited) {
        r->exited = true;
        return CIS_OK;
    }
    return code;
}

static const struct cis_extern *export_of(const struct run *r, const char *name)
{
    cis_image *image = cis_program_image(cis_guest_program(r->guest));
    return cis_image_export(image, cis_str_of(name));
}

/* ---- input ---- */
static cis_code give(struct run *r, const struct piece *pieces, size_t n, size_t extra,
                     struct cis_abi_block *out, struct cis_error *err)
{
    size_t total = extra;
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].len > INT32_MAX - total) {
            return cis_fail(err, CIS_E_LIMIT, "input larger than 2 GiB");
        }
        total += pieces[i].len;
    }
    struct cis_abi_block block;
    cis_code code = cis_abi_alloc_input(r->guest, total, &block, err);
    const struct cis_guest_end *end = cis_guest_end(r->guest);
    if (code == CIS_E_MEMORY && end->code == CIS_OK && !end->exited) {
        struct cis_guest_usage usage;
        cis_guest_usage(r->guest, &usage);
        cis_error_prefix(err, code, "input of %zu bytes", total);
        return cis_guest_limit(r->guest, code, "memory", cis_guest_limits(r->guest)->memory_bytes,
                               usage.memory_bytes + total, err);
    }
    CIS_TRY(code);
    uint8_t *at;
    CIS_TRY(cis_guest_span(r->guest, block.ptr, total, "input", (void **)&at, err));
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].len != 0) {
            memcpy(at, pieces[i].ptr, pieces[i].len);
        }
        at += pieces[i].len;
    }
    memset(at, 0, extra);
    block.len = (uint32_t)(total == 0 ? 1 : total);
    *out = block;
    return CIS_OK;
}

/* A block goes back where the callee does not own it: always after execute, whose contract says
 * so, and where that is the custom of the allocator. Guests with alloc or __wbindgen_malloc take
 * their input over. */
static cis_code give_back(struct run *r, const struct cis_abi_block *block, struct cis_error *err)
{
    if (block->grown || is(r, "execute") || strcmp(r->plan.allocator, "malloc") == 0) {
        return cis_abi_free(r->guest, block, err);
    }
    return CIS_OK;
}

static struct piece input_piece(const struct run *r)
{
    return (struct piece){r->host->input.ptr, r->host->input.len};
}

static void config_json(const struct cis_host *host, struct cis_buf *out)
{
    const char *sep = "";
    cis_buf_byte(out, '{');
    cis_map_foreach (&host->config, e) {
        const struct cis_host_value *value = e->value;
        cis_buf_text(out, sep);
        cis_buf_json(out, e->key);
        cis_buf_byte(out, ':');
        cis_buf_json(out, (struct cis_str){value->text, value->len});
        sep = ",";
    }
    cis_buf_byte(out, '}');
}

/* What comes before and after the input in an adjacently tagged event. The names of the protocol
 * are events of their own; any other name is a Custom event. */
static void event_json(const struct cis_host *host, const char *name, struct cis_buf *head,
                       struct cis_buf *tail, bool *out_with_input)
{
    *out_with_input = false;
    if (strcmp(name, "Init") == 0) {
        cis_buf_text(head, "{\"type\":\"Init\",\"data\":{\"config\":");
        config_json(host, head);
        cis_buf_text(tail, "}}");
    } else if (strcmp(name, "Shutdown") == 0 || strcmp(name, "Tick") == 0) {
        cis_buf_printf(head, "{\"type\":\"%s\"}", name);
    } else if (strcmp(name, "MemoryChange") == 0 || strcmp(name, "AgentCall") == 0) {
        cis_buf_printf(head, "{\"type\":\"%s\",\"data\":", name);
        cis_buf_text(tail, "}");
        *out_with_input = true;
    } else {
        cis_buf_text(head, "{\"type\":\"Custom\",\"data\":{\"name\":");
        cis_buf_json(head, cis_str_of(name));
        cis_buf_text(head, ",\"data\":");
        cis_buf_text(tail, "}}");
        *out_with_input = true;
    }
}

static const char *event_name(const struct run *r)
{
    return r->options != NULL && r->options->event != NULL ? r->options->event : "run";
}

/* ---- the shapes of entry points ---- */
static cis_code need_memory(const struct run *r, struct cis_error *err)
{
    if (r->plan.allocator[0] != 0) {
        return CIS_OK;
    }
    return cis_fail(err, CIS_E_ENTRY, "%.*s takes text, but the module has no memory",
                    r->plan.entry.len > 64 ? 64 : (int)r->plan.entry.len, r->plan.entry.ptr);
}

static cis_code call_entry(struct run *r, struct cis_error *err)
{
    CIS_TRY(call(r, r->plan.entry, r->plan.entry_type, err));
    r->returned = !r->exited && strchr(r->plan.entry_type, ':')[1] != 0;
    return CIS_OK;
}

static cis_code take_answer(struct run *r, struct cis_error *err);

/* (ptr, len) or (ptr) with a NUL, for one block. */
static cis_code call_with(struct run *r, const struct piece *pieces, size_t n,
                          struct cis_error *err)
{
    bool with_len = strncmp(r->plan.entry_type, "ii:", 3) == 0;
    struct cis_abi_block block;
    CIS_TRY(need_memory(r, err));
    CIS_TRY(give(r, pieces, n, with_len ? 0 : 1, &block, err));
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        len += pieces[i].len;
    }
    r->io[0].u32 = block.ptr;
    r->io[1].u32 = (uint32_t)len;
    CIS_TRY(call_entry(r, err));
    if (r->exited) {
        return CIS_OK;
    }
    CIS_TRY(take_answer(r, err));
    union cis_slot value = r->io[0];
    cis_code code = give_back(r, &block, err);
    r->io[0] = value;
    return code;
}

static cis_code call_event(struct run *r, struct cis_error *err)
{
    struct piece name = {event_name(r), strlen(event_name(r))}, data = input_piece(r);
    struct cis_abi_block name_block, data_block;
    CIS_TRY(need_memory(r, err));
    CIS_TRY(give(r, &name, 1, 0, &name_block, err));
    CIS_TRY(give(r, &data, 1, 0, &data_block, err));
    r->io[0].u32 = name_block.ptr;
    r->io[1].u32 = (uint32_t)name.len;
    r->io[2].u32 = data_block.ptr;
    r->io[3].u32 = (uint32_t)data.len;
    CIS_TRY(call_entry(r, err));
    if (r->exited) {
        return CIS_OK;
    }
    union cis_slot value = r->io[0];
    CIS_TRY(give_back(r, &data_block, err));
    CIS_TRY(give_back(r, &name_block, err));
    r->io[0] = value;
    return CIS_OK;
}

static cis_code call_handle_event(struct run *r, struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf head = CIS_BUF_INIT(64u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf tail = CIS_BUF_INIT(16);
    bool with_input;
    event_json(r->host, event_name(r), &head, &tail, &with_input);
    CIS_TRY(cis_buf_check(&head, "event", err));
    CIS_TRY(cis_buf_check(&tail, "event", err));
    struct piece input = with_input ? input_piece(r) : (struct piece){"", 0};
    if (with_input && input.len == 0) {
        input = (struct piece){"null", 4};
    }
    struct piece pieces[] = {{head.ptr, head.len}, input, {tail.ptr, tail.len}};
    return call_with(r, pieces, 3, err);
}

static cis_code call_plain(struct run *r, struct cis_error *err)
{
    memset(r->io, 0, sizeof r->io); /* main(argc, argv) of a C compiler: 0, NULL */
    r->host->input_pos = 0;
    CIS_TRY(call_entry(r, err));
    return r->exited ? CIS_OK : take_answer(r, err);
}

static cis_code enter(struct run *r, struct cis_error *err)
{
    if (is(r, "numbers")) {
        r->has_text = true;
        cis_code code = cis_abi_numbers(r->guest, &r->plan, r->host->input, &r->text, err);
        r->exited = cis_guest_end(r->guest)->exited;
        return r->exited ? CIS_OK : code;
    }
    if (is(r, "event")) {
        return call_event(r, err);
    }
    if (is(r, "handle-event")) {
        return call_handle_event(r, err);
    }
    if (is(r, "main") || is(r, "command") || is(r, "init") || r->plan.entry_type[0] == ':') {
        return call_plain(r, err);
    }
    struct piece input = input_piece(r);
    return call_with(r, &input, 1, err);
}

/* ---- the answer ---- */
/* A NUL-terminated JSON text in the guest, as it is now. */
static bool json_at(const struct run *r, uint32_t ptr, struct cis_bytes *out)
{
    uint64_t size = cis_guest_memory_size(r->guest);
    if (ptr == 0 || ptr >= size) {
        return false;
    }
    const uint8_t *at = cis_guest_at(r->guest, ptr, size - ptr);
    const uint8_t *end = at != NULL ? memchr(at, 0, (size_t)(size - ptr)) : NULL;
    if (end == NULL || !cis_json_valid(at, (size_t)(end - at), NULL)) {
        return false;
    }
    *out = cis_bytes_of(at, (size_t)(end - at));
    return true;
}

/* Copies a text answer while the guest's memory still holds it. */
static cis_code take_answer(struct run *r, struct cis_error *err)
{
    bool pointer = is(r, "execute");
    bool either = is(r, "main") || is(r, "method") || is(r, "text");
    struct cis_bytes text;
    if (!r->returned || (!pointer && !(either && r->io[0].u32 >= POINTER_MIN)) ||
        !json_at(r, r->io[0].u32, &text)) {
        return CIS_OK;
    }
    struct cis_host *host = r->host;
    if (text.len > host->output.max) {
        return cis_guest_limit(r->guest, CIS_E_BUDGET, "output", host->output.max, text.len, err);
    }
    CIS_TRY(cis_budget_charge(&host->budget, text.len, "result", err));
    cis_buf_add(&r->text, text.ptr, text.len);
    r->has_text = true;
    return cis_buf_check(&r->text, "result", err);
}

static void status_json(struct cis_buf *out, bool success, int64_t code, const char *skill)
{
    cis_buf_printf(
        out, "{\"success\":%s,\"code\":%" PRId64 ",\"skill\":", success ? "true" : "false", code);
    cis_buf_json(out, cis_str_of(skill != NULL ? skill : ""));
    cis_buf_byte(out, '}');
}

/* Whether the entry point's value means success, when it is a code. */
static bool succeeded(const struct run *r, int64_t code, bool written)
{
    if (r->has_text) {
        return true;
    }
    if (is(r, "method")) {
        return code >= 0; /* a count */
    }
    if (is(r, "execute")) {
        return written && code == 0; /* no JSON text where one was promised */
    }
    return code == 0;
}

static cis_code conclude(struct run *r, int64_t code, bool is_code, struct cis_skillabi_result *out,
                         struct cis_error *err)
{
    struct cis_host *host = r->host;
    bool written = host->output_written;
    struct cis_skillabi_result result = {.code = code};
    bool number = !is_code && !r->exited && r->returned && is(r, "main") && !r->has_text;
    result.success =
        is_code || r->exited ? code == 0 : (number && !written) || succeeded(r, code, written);
    if (written) {
        result.value = host->output; /* moved: the run's output is the result's now */
        host->output = CIS_BUF_INIT(0);
    } else if (r->has_text && !is_code && !r->exited) {
        result.value = r->text;
        r->text = CIS_BUF_INIT(0);
    } else {
        result.value = CIS_BUF_INIT(host->output.max > 4096 ? host->output.max : 4096);
        if (number) {
            cis_buf_printf(&result.value, "%" PRId64, code);
            result.code = 0;
        } else {
            status_json(&result.value, result.success, code, host->skill);
        }
    }
    cis_code check = cis_buf_check(&result.value, "result", err);
    if (check != CIS_OK) {
        cis_buf_done(&result.value);
        return check;
    }
    result.is_json = cis_json_valid(result.value.ptr, result.value.len, NULL);
    cis_buf_done(&out->value);
    *out = result;
    return CIS_OK;
}

cis_code cis_skillabi_start(cis_guest *guest, struct cis_error *err)
{
    cis_image *image = cis_program_image(cis_guest_program(guest));
    const struct cis_extern *e = cis_image_export(image, CIS_STR("_initialize"));
    if (e == NULL || e->kind != CIS_EXTERN_FUNC || strcmp(e->type, ":") != 0) {
        return CIS_OK;
    }
    union cis_slot io[1] = {{.i64 = 0}};
    return cis_guest_call(guest, e->name, e->type, io, err);
}

/* skill_init or skill_shutdown; *out_code 0 when it returns nothing. */
static cis_code call_hook(struct run *r, const char *name, int64_t *out_code, struct cis_error *err)
{
    const struct cis_extern *e = export_of(r, name);
    memset(r->io, 0, sizeof r->io);
    CIS_TRY(call(r, e->name, e->type, err));
    *out_code = strcmp(e->type, ":i") == 0 ? r->io[0].i32 : 0;
    return CIS_OK;
}

static cis_code prepare(struct run *r, int64_t *out_code, struct cis_error *err)
{
    bool kept = r->options != NULL && r->options->kept;
    *out_code = 0;
    if (!kept && !is(r, "command")) {
        cis_code code = cis_skillabi_start(r->guest, err);
        r->exited = cis_guest_end(r->guest)->exited;
        CIS_TRY(r->exited ? CIS_OK : code);
    }
    if (kept || r->exited || !r->plan.has_init || cis_str_is(r->plan.entry, "skill_init")) {
        return CIS_OK;
    }
    return call_hook(r, "skill_init", out_code, err);
}

static cis_code run(struct run *r, struct cis_skillabi_result *out, struct cis_error *err)
{
    int64_t code, ignored;
    CIS_TRY(prepare(r, &code, err));
    bool is_code = code != 0; /* of skill_init: the skill is not entered */
    if (!is_code && !r->exited) {
        CIS_TRY(enter(r, err));
        code = r->returned ? r->io[0].i32 : 0;
        bool last = r->plan.has_shutdown && !cis_str_is(r->plan.entry, "skill_shutdown");
        if (!r->exited && last && !(r->options != NULL && r->options->kept)) {
            CIS_TRY(call_hook(r, "skill_shutdown", &ignored, err));
            if (r->exited && cis_guest_end(r->guest)->exit_code == 0) {
                r->exited = false; /* an orderly end after the answer */
            }
        }
    }
    if (r->exited) {
        code = cis_guest_end(r->guest)->exit_code;
    }
    return conclude(r, code, is_code, out, err);
}

cis_code cis_skillabi_run(cis_guest *guest, struct cis_host *host,
                          const struct cis_skillabi_options *options,
                          struct cis_skillabi_result *out, struct cis_error *err)
{
    struct run r = {.guest = guest, .host = host, .options = options};
    r.text = CIS_BUF_INIT(host->output.max);
    const struct cis_image_info *info = cis_image_info(cis_program_image(cis_guest_program(guest)));
    CIS_TRY(cis_skillabi_plan(info, options, &r.plan, err));
    cis_code code = run(&r, out, err);
    cis_buf_done(&r.text);
    return code;
}
