/* An untrusted program works on a folder without touching it: reads fall through, changes go to a
 * branch, and what it changed is looked at afterwards.
 *
 *   program STORE FOLDER PROGRAM.wasm [ARGS…]      (the folder is the program's /in) */
#include <cis/cis.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what, const struct cis_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->msg);
    return 1;
}

static char *read_file(const char *path, size_t *out_len)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
        long len = ftell(file);
        rewind(file);
        bytes = len > 0 ? malloc((size_t)len) : NULL;
        if (bytes != NULL && fread(bytes, 1, (size_t)len, file) != (size_t)len) {
            free(bytes);
            bytes = NULL;
        }
        *out_len = (size_t)len;
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

static int run_on_folder(cis_runtime *runtime, cis_module *module, const char *folder, char **args)
{
    struct cis_error err = {CIS_E_OK, 0, ""};
    cis_wasi_config *wasi = NULL;
    cis_result *result = NULL;
    if (cis_wasi_config_new(runtime, &wasi, &err) != CIS_E_OK) {
        return fail("run", &err);
    }
    cis_wasi_config_dir(wasi, folder, "/in", CIS_DIR_COW, NULL);
    for (; *args != NULL; args++) {
        cis_wasi_config_arg(wasi, *args);
    }
    enum cis_code code = cis_wasi_run(wasi, module, &result, &err);
    cis_wasi_config_free(wasi);
    if (code != CIS_E_OK) {
        return fail("run", &err);
    }
    int32_t exit_code = 0;
    fputs(cis_result_stream(result, 1, NULL, NULL), stdout);
    fputs(cis_result_stream(result, 2, NULL, NULL), stderr);
    if (!cis_result_exit(result, &exit_code)) {
        fprintf(stderr, "ended: %s\n", cis_result_message(result));
    }
    printf("exit %d; changes: %s\n", exit_code,
           cis_result_branch(result)[0] != 0 ? "on a branch of their own" : "none");
    cis_result_free(result);
    return exit_code;
}

int main(int argc, char **argv)
{
    struct cis_error err = {CIS_E_OK, 0, ""};
    struct cis_runtime_config config = CIS_RUNTIME_CONFIG_INIT;
    cis_runtime *runtime = NULL;
    cis_module *module = NULL;
    size_t len = 0;
    if (argc < 4) {
        fprintf(stderr, "usage: program STORE FOLDER PROGRAM.wasm [ARGS...]\n");
        return 2;
    }
    char *bytes = read_file(argv[3], &len);
    config.data_dir = argv[1];
    int status = 1;
    if (bytes == NULL) {
        fprintf(stderr, "%s: cannot be read\n", argv[3]);
    } else if (cis_runtime_new(&config, &runtime, &err) != CIS_E_OK ||
               cis_module_load(runtime, bytes, len, argv[3], &module, &err) != CIS_E_OK) {
        status = fail(argv[3], &err);
    } else {
        status = run_on_folder(runtime, module, argv[2], argv + 3);
    }
    cis_module_unref(module);
    cis_runtime_free(runtime);
    free(bytes);
    return status;
}
