/* A WebAssembly skill run from C: load, run, print. Build:
 *   cc embed.c $(pkg-config --cflags --libs cis) -o embed
 * The module is compiled by the installed program `cis`, in a child process with limits.
 * Run: ./embed skill.wasm '{"name":"Ada"}' */
#include <cis/cis.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    static unsigned char wasm[1 << 20];
    FILE *file = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: embed FILE.wasm JSON\n");
        return 2;
    }
    size_t len = fread(wasm, 1, sizeof wasm, file);
    fclose(file);
    cis_runtime *runtime = NULL;
    struct cis_error err;
    char *output = NULL;
    enum cis_code code = cis_runtime_new(NULL, &runtime, &err);
    if (code == CIS_E_OK) {
        code = cis_execute_wasm(runtime, wasm, len, argv[2], strlen(argv[2]), &output, NULL, &err);
    }
    puts(code == CIS_E_OK ? output : err.msg);
    cis_output_free(output);
    cis_runtime_free(runtime);
    return cis_code_skill_exit(code);
}
