#include "cli/beside.h"

#include "base/file.h"
#include "base/mem.h"

cis_code cis_cli_beside(const struct cis_cli *cli, const char *folder, const char *file,
                        const char *how, char **out_path, struct cis_error *err)
{
    static const char *const places[] = {"..", "../share/cis"};
    const char *slash = strrchr(cli->program, '/');
    size_t len = slash != NULL ? (size_t)(slash - cli->program) : 0;
    for (size_t i = 0; slash != NULL && i < sizeof places / sizeof *places; i++) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf path = CIS_BUF_INIT(8192);
        cis_buf_add(&path, cli->program, len);
        cis_buf_printf(&path, "/%s/%s/%s", places[i], folder, file);
        CIS_TRY(cis_buf_check(&path, "path", err));
        if (cis_file_exists(cis_buf_cstr(&path))) {
            *out_path = cis_strdup(cis_buf_cstr(&path));
            return *out_path != NULL ? CIS_OK : cis_fail(err, CIS_E_NOMEM, "out of memory");
        }
    }
    return cis_fail(err, CIS_E_NOTFOUND,
                    "%s is neither in %s nor in share/cis/%s beside the folder of cis: %s", file,
                    folder, folder, how);
}

cis_code cis_cli_shell_module(const struct cis_cli *cli, char **out_path, struct cis_error *err)
{
    return cis_cli_beside(cli, "shell", "cis-shell.wasm",
                          "`make build` makes it where Rust has the target wasm32-wasip1 (`rustup "
                          "target add wasm32-wasip1`)",
                          out_path, err);
}
