/* Questions to the person and progress: the core functions of module `cis`, and the interface
 * cis:skill/agent. Programs may import both beside WASI. */
#include "skillabi/iface.h"

enum { AGENT_DENIED = -1, AGENT_INVALID = -2, AGENT_LIMIT = -3 };

static cis_code host_ask_call(cis_engine_instance *instance, union cis_slot *io,
                              struct cis_error *err)
{
    struct cis_str key, request, answer = {NULL, 0};
    if (!cis_abi_text(instance, io[0], io[1], &key) ||
        !cis_abi_text(instance, io[2], io[3], &request) ||
        !cis_engine_instance_holds(instance, io[4].u32, io[5].u32)) {
        return cis_abi_return(io, AGENT_INVALID);
    }
    const struct cis_str_pair question = {key, request};
    cis_code code = cis_host_ask(cis_host_of(instance), instance, &question, &answer, err);
    if (code != CIS_OK) {
        int64_t told = code == CIS_E_INVALID  ? AGENT_INVALID
                       : code == CIS_E_DENIED ? AGENT_DENIED
                                              : AGENT_LIMIT;
        return cis_abi_answer(instance, io, "host_ask", code, told, err);
    }
    size_t cap = io[5].u32;
    bool written =
        cis_abi_write(instance, io[4].u32, answer.ptr, cis_utf8_floor(answer.ptr, answer.len, cap));
    return cis_abi_return(io, written ? (int64_t)answer.len : AGENT_INVALID);
}

static cis_code host_progress_call(cis_engine_instance *instance, union cis_slot *io,
                                   struct cis_error *err)
{
    struct cis_str message;
    (void)err;
    if (!cis_abi_text(instance, io[2], io[3], &message)) {
        return cis_abi_return(io, AGENT_INVALID);
    }
    cis_host_progress(cis_host_of(instance), io[0].u32, io[1].u32, message);
    return cis_abi_return(io, 0);
}

static const struct cis_hostfn rows[] = {
    CIS_ABI_ROW("cis", host_ask, "iiiiii:i", NONE, 10, 0, "key,klen,request,rlen,out,cap",
                "Full length of the person's answer as JSON (null: declined), of which at most cap "
                "bytes are written. Without an answer the run ends as input_required. -1: not "
                "granted (ai for sampling, fs=ro for roots); -2: key or request are wrong; -3: a "
                "limit."),
    CIS_ABI_ROW("cis", host_progress, "iiii:i", NONE, 1, 0, "done,total,message,mlen",
                "How far the run is, for whoever looks at it; total 0: not known. 0: ok."),
};

const struct cis_hostfn_table cis_abi_agent = {"cis-agent", rows, sizeof rows / sizeof *rows};

const struct cis_hostfn *cis_skillabi_agent_row(const struct cis_extern *import)
{
    for (size_t i = 0; i < cis_abi_agent.nrows; i++) {
        if (cis_str_is(import->name, rows[i].name) && cis_str_is(import->module, rows[i].module) &&
            strcmp(import->type, rows[i].type) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

/* ---- components ---- */

cis_code cis_iface_ask(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                       struct cis_error *err)
{
    struct cis_str answer = {NULL, 0};
    const struct cis_str_pair question = {cis_val_text(args), cis_val_text(cis_val_nth(args, 1))};
    cis_code code = cis_host_ask(cis_host_of(instance), instance, &question, &answer, err);
    if (code != CIS_OK) {
        return cis_iface_failed(instance, result, "agent.ask", code, err);
    }
    cis_val *option;
    cis_val_set_result(result, true, &option);
    if (cis_str_is(answer, "null")) {
        cis_val_set_none(option);
        return CIS_OK;
    }
    code = cis_val_set_text(instance, cis_val_set_some(option), answer, err);
    return cis_iface_built(instance, result, "agent.ask", code, err);
}

cis_code cis_iface_progress(cis_engine_instance *instance, const cis_val *args, cis_val *result,
                            struct cis_error *err)
{
    (void)result, (void)err;
    const cis_val *total = cis_val_inner(cis_val_nth(args, 1));
    cis_host_progress(cis_host_of(instance), cis_val_uint(args),
                      total != NULL ? cis_val_uint(total) : 0, cis_val_text(cis_val_nth(args, 2)));
    return CIS_OK;
}

const struct cis_ifacefn *cis_skillabi_agent_function(struct cis_str interface, struct cis_str name)
{
    size_t n;
    const struct cis_iface_table *table = cis_skillabi_interfaces(&n)[0];
    struct cis_str version, plain = cis_iface_version(interface, &version);
    for (size_t i = 0; i < table->nrows; i++) {
        const struct cis_ifacefn *row = &table->rows[i];
        if (cis_str_is(plain, "cis:skill/agent") && cis_str_is(plain, row->interface) &&
            cis_str_is(name, row->name) && cis_iface_fits(version, cis_str_of(table->version))) {
            return row;
        }
    }
    return NULL;
}
