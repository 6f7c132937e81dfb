/* Input goes from the caller's bytes straight into guest memory, in the shape its entry point
 * takes: (ptr, len), a NUL-terminated text, an event with its name, an event as JSON, stdin. */
#include "skillabi/call.h"
#include "base/json_write.h"

struct piece {
    const void *ptr;
    size_t len;
};

static cis_code give(struct cis_abi_call *r, const struct piece *pieces, size_t n, size_t extra,
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
    cis_code code = cis_abi_alloc_input(r->instance, total, &block, err);
    const struct cis_engine_instance_end *end = cis_engine_instance_end(r->instance);
    if (code == CIS_E_MEMORY && end->code == CIS_OK && !end->exited) {
        struct cis_engine_instance_usage usage;
        cis_engine_instance_usage(r->instance, &usage);
        cis_error_prefix(err, code, "input of %zu bytes", total);
        return cis_engine_instance_limit(r->instance, code, "memory",
                                         cis_engine_instance_limits(r->instance)->memory_bytes,
                                         usage.memory_bytes + total, err);
    }
    CIS_TRY(code);
    const void *span;
    CIS_TRY(cis_engine_instance_span(r->instance, block.ptr, total, "input", &span, err));
    uint8_t *at = cis_engine_instance_out(r->instance, block.ptr, total);
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
static cis_code give_back(struct cis_abi_call *r, const struct cis_abi_block *block,
                          struct cis_error *err)
{
    if (block->grown || cis_abi_is(r, "execute") || strcmp(r->plan.allocator, "malloc") == 0) {
        return cis_abi_free(r->instance, block, err);
    }
    return CIS_OK;
}

static struct piece input_piece(const struct cis_abi_call *r)
{
    return (struct piece){r->host->input.ptr, r->host->input.len};
}

static void config_json(const struct cis_host *host, struct cis_buf *out)
{
    cis_buf_byte(out, '{');
    cis_map_foreach (&host->config, e) {
        const struct cis_host_value *value = e->value;
        struct cis_str text = {value->text, value->len};
        cis_json_write(out, CIS_JSON(CIS_J_KEY(e->key), CIS_J(NULL, text)));
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
        cis_json_write(head, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("type", name), CIS_J_OPEN("data"),
                                      CIS_J_KEY(CIS_STR("config"))));
        config_json(host, head);
        cis_buf_text(tail, "}}");
    } else if (strcmp(name, "Shutdown") == 0 || strcmp(name, "Tick") == 0) {
        cis_json_object(head, CIS_JSON(CIS_J("type", name)));
    } else if (strcmp(name, "MemoryChange") == 0 || strcmp(name, "AgentCall") == 0) {
        cis_json_write(head,
                       CIS_JSON(CIS_J_OPEN(NULL), CIS_J("type", name), CIS_J_KEY(CIS_STR("data"))));
        cis_buf_text(tail, "}");
        *out_with_input = true;
    } else {
        cis_json_write(head, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("type", "Custom"), CIS_J_OPEN("data"),
                                      CIS_J("name", name), CIS_J_KEY(CIS_STR("data"))));
        cis_buf_text(tail, "}}");
        *out_with_input = true;
    }
}

static const char *event_name(const struct cis_abi_call *r)
{
    return r->options != NULL && r->options->event != NULL ? r->options->event : "run";
}

/* ---- the shapes of entry points ---- */
static cis_code need_memory(const struct cis_abi_call *r, struct cis_error *err)
{
    if (r->plan.allocator[0] != 0) {
        return CIS_OK;
    }
    return cis_fail(err, CIS_E_ENTRY, "%.*s takes text, but the module has no memory",
                    r->plan.entry.len > 64 ? 64 : (int)r->plan.entry.len, r->plan.entry.ptr);
}

static cis_code call_entry(struct cis_abi_call *r, struct cis_error *err)
{
    CIS_TRY(cis_abi_call_export(r, r->plan.entry, r->plan.entry_type, err));
    r->returned = !r->exited && strchr(r->plan.entry_type, ':')[1] != 0;
    return CIS_OK;
}

/* (ptr, len) or (ptr) with a NUL, for one block. */
static cis_code call_with(struct cis_abi_call *r, const struct piece *pieces, size_t n,
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
    CIS_TRY(cis_abi_take_answer(r, err));
    union cis_slot value = r->io[0];
    cis_code code = give_back(r, &block, err);
    r->io[0] = value;
    return code;
}

static cis_code call_event(struct cis_abi_call *r, struct cis_error *err)
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

static cis_code call_handle_event(struct cis_abi_call *r, struct cis_error *err)
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

static cis_code call_plain(struct cis_abi_call *r, struct cis_error *err)
{
    memset(r->io, 0, sizeof r->io); /* main(argc, argv) of a C compiler: 0, NULL */
    r->host->input_pos = 0;
    CIS_TRY(call_entry(r, err));
    return r->exited ? CIS_OK : cis_abi_take_answer(r, err);
}

cis_code cis_abi_enter(struct cis_abi_call *r, struct cis_error *err)
{
    if (cis_abi_is(r, "numbers")) {
        r->has_text = true;
        cis_code code = cis_abi_numbers(r->instance, &r->plan, r->host->input, &r->text, err);
        r->exited = cis_engine_instance_end(r->instance)->exited;
        return r->exited ? CIS_OK : code;
    }
    if (cis_abi_is(r, "event")) {
        return call_event(r, err);
    }
    if (cis_abi_is(r, "handle-event")) {
        return call_handle_event(r, err);
    }
    if (cis_abi_is(r, "main") || cis_abi_is(r, "command") || cis_abi_is(r, "init") ||
        r->plan.entry_type[0] == ':') {
        return call_plain(r, err);
    }
    struct piece input = input_piece(r);
    return call_with(r, &input, 1, err);
}
