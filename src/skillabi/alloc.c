/* Memory in the guest for what the host hands over: from the guest's own allocator when it exports
 * one, else from pages added at the end of its memory. Never a fixed address: compilers keep the
 * stack and static data at the low end.
 *
 * An allocator is guest code: it may grow the memory, call host functions, trap, or lie. Every
 * pointer into the guest is looked up again afterwards, and its answer is checked. */
#include "skillabi/abi.h"

enum kind { UNKNOWN, NONE, GROW, MALLOC, ALLOC, CABI, BINDGEN, BINDGEN_OLD, KINDS };

#define ALIGNMENT 16u

static const struct {
    const char *name, *type, *label;
} kinds[KINDS] = {
    [NONE] = {"", "", ""},
    [GROW] = {"", "", "memory.grow"},
    [MALLOC] = {"malloc", "i:i", "malloc"},
    [ALLOC] = {"alloc", "i:i", "alloc"},
    [CABI] = {"cabi_realloc", "iiii:i", "cabi_realloc"},
    [BINDGEN] = {"__wbindgen_malloc", "ii:i", "__wbindgen_malloc"},
    [BINDGEN_OLD] = {"__wbindgen_malloc", "i:i", "__wbindgen_malloc"},
};

static bool exports(const struct cis_engine_module_info *info, const char *name, const char *type)
{
    const struct cis_extern *e = cis_info_export(info, cis_str_of(name));
    return e != NULL && e->kind == CIS_EXTERN_FUNC && strcmp(e->type, type) == 0;
}

static bool has_memory(const struct cis_engine_module_info *info)
{
    const struct cis_extern *e = cis_info_export(info, CIS_STR("memory"));
    if (e != NULL && e->kind == CIS_EXTERN_MEMORY) {
        return true;
    }
    for (size_t i = 0; i < info->nimports; i++) {
        if (info->imports[i].kind == CIS_EXTERN_MEMORY) {
            return true;
        }
    }
    return false;
}

static enum kind probe(const struct cis_engine_module_info *info)
{
    if (!has_memory(info)) {
        return NONE;
    }
    for (enum kind k = MALLOC; k < KINDS; k++) {
        if (exports(info, kinds[k].name, kinds[k].type)) {
            return k;
        }
    }
    return GROW;
}

const char *cis_abi_allocator(const struct cis_engine_module_info *info)
{
    return kinds[probe(info)].label;
}

static const struct cis_engine_module_info *info_of(cis_engine_instance *instance)
{
    return cis_engine_module_info(cis_linked_module(cis_engine_instance_linked(instance)));
}

static enum kind kind_of(cis_engine_instance *instance)
{
    struct cis_host_heap *heap = &cis_host_of(instance)->heap;
    if (heap->kind == UNKNOWN) {
        heap->kind = probe(info_of(instance));
    }
    return (enum kind)heap->kind;
}

/* Pages of ours are handed out front to back; a block given back in reverse order is used again. */
static cis_code grow(cis_engine_instance *instance, uint64_t len, struct cis_abi_block *out,
                     struct cis_error *err)
{
    struct cis_host_heap *heap = &cis_host_of(instance)->heap;
    uint64_t room = (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (heap->end - heap->next < room) {
        uint64_t at;
        CIS_TRY(cis_engine_instance_grow(instance, room, &at, err));
        if (at != heap->end) { /* the guest grew in between: what was left is lost to us */
            heap->next = at;
        }
        heap->end = cis_engine_instance_memory_size(instance);
    }
    if (heap->next + room > UINT32_MAX) {
        return cis_fail(err, CIS_E_MEMORY, "no room for %llu bytes below 4 GiB",
                        (unsigned long long)len);
    }
    *out = (struct cis_abi_block){(uint32_t)heap->next, (uint32_t)len, true};
    heap->next += room;
    return CIS_OK;
}

static cis_code ask(cis_engine_instance *instance, enum kind kind, uint32_t len, uint32_t *out_ptr,
                    struct cis_error *err)
{
    union cis_slot io[4] = {{.u32 = len}};
    if (kind == CABI) {
        io[0].u32 = 0;
        io[1].u32 = 0;
        io[2].u32 = ALIGNMENT;
        io[3].u32 = len;
    } else if (kind == BINDGEN) {
        io[1].u32 = 1;
    }
    CIS_TRY(cis_engine_instance_call(instance, cis_str_of(kinds[kind].name), kinds[kind].type, io,
                                     err));
    *out_ptr = io[0].u32;
    return CIS_OK;
}

cis_code cis_abi_alloc(cis_engine_instance *instance, uint64_t len, struct cis_abi_block *out,
                       struct cis_error *err)
{
    enum kind kind = kind_of(instance);
    len = len == 0 ? 1 : len;
    if (len > INT32_MAX || kind == NONE) {
        return cis_fail(err, CIS_E_MEMORY, "the guest has no room for %llu bytes%s",
                        (unsigned long long)len, kind == NONE ? ": it has no memory" : "");
    }
    if (kind == GROW) {
        return grow(instance, len, out, err);
    }
    uint32_t ptr;
    CIS_TRY(ask(instance, kind, (uint32_t)len, &ptr, err));
    if (ptr == 0) {
        return cis_fail(err, CIS_E_MEMORY, "the guest's %s has no room for %llu bytes",
                        kinds[kind].name, (unsigned long long)len);
    }
    if (!cis_engine_instance_holds(instance, ptr, len)) {
        return cis_fail(err, CIS_E_BADPTR,
                        "the guest's %s(%llu) answered %u, which is not in its memory",
                        kinds[kind].name, (unsigned long long)len, ptr);
    }
    *out = (struct cis_abi_block){ptr, (uint32_t)len, false};
    return CIS_OK;
}

cis_code cis_abi_alloc_input(cis_engine_instance *instance, uint64_t len, struct cis_abi_block *out,
                             struct cis_error *err)
{
    cis_code code = cis_abi_alloc(instance, len, out, err);
    const struct cis_engine_instance_end *end = cis_engine_instance_end(instance);
    if (code != CIS_E_MEMORY || end->code != CIS_OK || end->exited || len > INT32_MAX ||
        kind_of(instance) == NONE || kind_of(instance) == GROW) {
        return code;
    }
    return grow(instance, len, out, err);
}

cis_code cis_abi_free(cis_engine_instance *instance, const struct cis_abi_block *block,
                      struct cis_error *err)
{
    struct cis_host_heap *heap = &cis_host_of(instance)->heap;
    if (block->grown || kind_of(instance) == GROW) {
        uint64_t room = ((uint64_t)block->len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (block->ptr != 0 && block->ptr + room == heap->next) {
            heap->next = block->ptr;
        }
        return CIS_OK;
    }
    union cis_slot io[3] = {{.u32 = block->ptr}, {.u32 = block->len}, {.u32 = 1}};
    const struct cis_engine_module_info *info = info_of(instance);
    bool plain = kind_of(instance) == MALLOC && exports(info, "free", "i:");
    if (plain) {
        return cis_engine_instance_call(instance, CIS_STR("free"), "i:", io, err);
    }
    if ((kind_of(instance) == MALLOC || kind_of(instance) == ALLOC) &&
        exports(info, "dealloc", "ii:")) {
        return cis_engine_instance_call(instance, CIS_STR("dealloc"), "ii:", io, err);
    }
    if (kind_of(instance) == BINDGEN && exports(info, "__wbindgen_free", "iii:")) {
        return cis_engine_instance_call(instance, CIS_STR("__wbindgen_free"), "iii:", io, err);
    }
    if (kind_of(instance) == BINDGEN_OLD && exports(info, "__wbindgen_free", "ii:")) {
        return cis_engine_instance_call(instance, CIS_STR("__wbindgen_free"), "ii:", io, err);
    }
    return CIS_OK; /* it exports nothing to give memory back with */
}

cis_code cis_abi_give(cis_engine_instance *instance, struct cis_bytes data,
                      struct cis_abi_block *out, struct cis_error *err)
{
    struct cis_abi_block block;
    CIS_TRY(cis_abi_alloc(instance, data.len, &block, err));
    if (!cis_abi_write(instance, block.ptr, data.ptr, data.len)) {
        return cis_fail(err, CIS_E_BADPTR, "guest memory shrank"); /* cannot: memories only grow */
    }
    *out = block;
    return CIS_OK;
}

cis_code cis_abi_give_value(cis_engine_instance *instance, struct cis_str key,
                            struct cis_abi_block *out, bool *out_found, struct cis_error *err)
{
    /* The key is guest memory too: copied, because the allocator may write over it or move it. */
    char own[CIS_ABI_KEY_MAX];
    if (key.len > sizeof own) {
        return cis_fail(err, CIS_E_INVALID, "memory key of %zu bytes: at most %u", key.len,
                        CIS_ABI_KEY_MAX);
    }
    if (key.len != 0) {
        memcpy(own, key.ptr, key.len);
    }
    key.ptr = own;
    cis_memory_view *view = cis_host_of(instance)->memory;
    struct cis_bytes value;
    bool found;
    CIS_TRY(cis_memory_view_get(view, key, &value, &found, err));
    if (!found) {
        *out_found = false;
        return CIS_OK;
    }
    size_t len = value.len;
    struct cis_abi_block block;
    CIS_TRY(cis_abi_alloc(instance, len, &block, err));
    CIS_TRY(cis_memory_view_get(view, key, &value, &found, err));
    if (!found || value.len != len || !cis_abi_write(instance, block.ptr, value.ptr, len)) {
        return cis_fail(err, CIS_E_CONFLICT, "the guest's allocator changed the key being read");
    }
    block.len = (uint32_t)len;
    *out = block;
    *out_found = true;
    return CIS_OK;
}
