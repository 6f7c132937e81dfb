/* A peer of `cis run`: Wasmtime and its own WASI, through its C library as it is published, and
 * nothing around it. Code is compiled once and then mapped from CODE.
 *
 *   wasmtime CODE MODULE HOST GUEST [ARGS…] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define WASMTIME_FEATURE_WASI
#include <wasmtime.h>

static void check(wasmtime_error_t *error, wasm_trap_t *trap)
{
    int code = 1;
    wasm_byte_vec_t text = {0, NULL};
    if (error == NULL && trap == NULL) {
        return;
    }
    if (error != NULL && wasmtime_error_exit_status(error, &code)) {
        exit(code);
    }
    if (error != NULL) {
        wasmtime_error_message(error, &text);
    } else {
        wasm_trap_message(trap, &text);
    }
    fprintf(stderr, "wasmtime: %.*s\n", (int)text.size, text.data);
    exit(1);
}

static void *file(const char *path, size_t *out_len)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL || fseek(in, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *out_len = (size_t)ftell(in);
    rewind(in);
    void *bytes = malloc(*out_len);
    if (bytes == NULL || fread(bytes, 1, *out_len, in) != *out_len) {
        perror(path);
        exit(1);
    }
    fclose(in);
    return bytes;
}

static wasmtime_module_t *module(wasm_engine_t *engine, const char *code, const char *source)
{
    wasmtime_module_t *made = NULL;
    wasmtime_error_t *error = wasmtime_module_deserialize_file(engine, code, &made);
    if (error == NULL) {
        return made;
    }
    wasmtime_error_delete(error);
    size_t len;
    wasm_byte_vec_t out;
    void *bytes = file(source, &len);
    check(wasmtime_module_new(engine, bytes, len, &made), NULL);
    check(wasmtime_module_serialize(made, &out), NULL);
    FILE *to = fopen(code, "wb");
    if (to == NULL || fwrite(out.data, 1, out.size, to) != out.size || fclose(to) != 0) {
        perror(code);
        exit(1);
    }
    free(bytes);
    return made;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: wasmtime CODE MODULE HOST GUEST [ARGS...]\n");
        return 2;
    }
    wasm_engine_t *engine = wasm_engine_new();
    wasmtime_module_t *program = module(engine, argv[1], argv[2]);
    wasmtime_store_t *store = wasmtime_store_new(engine, NULL, NULL);
    wasmtime_context_t *context = wasmtime_store_context(store);
    wasmtime_linker_t *linker = wasmtime_linker_new(engine);
    check(wasmtime_linker_define_wasi(linker), NULL);
    wasi_config_t *wasi = wasi_config_new();
    const char *guest = argv[4];
    argv[4] = "program";
    wasi_config_set_argv(wasi, (size_t)(argc - 4), (const char **)(argv + 4));
    wasi_config_inherit_stdin(wasi);
    wasi_config_inherit_stdout(wasi);
    wasi_config_inherit_stderr(wasi);
    wasi_config_preopen_dir(wasi, argv[3], guest, true);
    check(wasmtime_context_set_wasi(context, wasi), NULL);
    wasmtime_instance_t instance;
    wasmtime_extern_t start;
    wasm_trap_t *trap = NULL;
    wasmtime_error_t *error =
        wasmtime_linker_instantiate(linker, context, program, &instance, &trap);
    check(error, trap);
    if (!wasmtime_instance_export_get(context, &instance, "_start", 6, &start)) {
        fprintf(stderr, "wasmtime: no _start\n");
        return 1;
    }
    error = wasmtime_func_call(context, &start.of.func, NULL, 0, NULL, 0, &trap);
    check(error, trap);
    return 0;
}
