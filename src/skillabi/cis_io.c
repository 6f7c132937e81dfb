/* `cis`, input and output of any size in chunks; for guests of every other ABI too. */
#include "skillabi/abi.h"

static cis_code input_len_call(cis_engine_instance *instance, union cis_slot *io,
                               struct cis_error *err)
{
    (void)err;
    return cis_abi_return(io, (int64_t)cis_host_of(instance)->input.len);
}

static cis_code input_read_call(cis_engine_instance *instance, union cis_slot *io,
                                struct cis_error *err)
{
    (void)err;
    struct cis_bytes input = cis_host_of(instance)->input;
    int64_t offset = io[0].i64;
    uint32_t cap = io[2].u32;
    if (offset < 0 || !cis_engine_instance_holds(instance, io[1].u32, cap)) {
        return cis_abi_return(io, -2);
    }
    uint64_t left = (uint64_t)offset < input.len ? input.len - (uint64_t)offset : 0;
    uint64_t n = left < cap ? left : cap;
    n = n < INT32_MAX ? n : INT32_MAX;
    if (n != 0 && !cis_abi_write(instance, io[1].u32, input.ptr + offset, (size_t)n)) {
        return cis_abi_return(io, -2);
    }
    return cis_abi_return(io, (int64_t)n);
}

static cis_code output_write_call(cis_engine_instance *instance, union cis_slot *io,
                                  struct cis_error *err)
{
    struct cis_bytes data;
    if (!cis_abi_bytes(instance, io[0], io[1], &data)) {
        return cis_abi_return(io, -2);
    }
    CIS_TRY(cis_host_output(cis_host_of(instance), instance, data, err));
    return cis_abi_return(io, 0);
}

#define ROW(fn, sig, g, c, rc, par, text) CIS_ABI_ROW("cis", fn, sig, g, c, rc, par, text)

static const struct cis_hostfn rows[] = {
    ROW(input_len, ":I", NONE, 1, 0, "", "Bytes of the input."),
    ROW(input_read, "Iii:i", NONE, 1, 0, "offset,ptr,cap",
        "Bytes of the input from offset on, at most cap; 0: at its end; -2: a negative offset, or "
        "a buffer outside the memory."),
    ROW(output_write, "ii:i", NONE, 1, 0, "ptr,len",
        "Appends bytes to the output, which then replaces what the entry point returns. 0: ok; -2: "
        "outside the memory. Past the run's output limit the run ends."),
};

const struct cis_hostfn_table cis_abi_cis_io = {"cis-io", rows, sizeof rows / sizeof *rows};
