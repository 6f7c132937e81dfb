#include "cli/skill/skill.h"

#include <jansson.h>
#include "cli/patience.h"

#include <stdarg.h>
#include <stdlib.h>
#include "config/config.h"

cis_code cis_cli_skill_home(cis_app *app, struct cis_skill_home *out, struct cis_error *err)
{
    struct cis_skill_home home = {.data_dir = cis_app_data_dir(app),
                                  .config_dir = cis_app_config_dir(app),
                                  .stop = cis_app_stop(app)};
    if (!cis_signature_policy_parse(cis_str_of(cis_app_config(app)->signature_policy),
                                    &home.policy)) {
        return cis_fail(err, CIS_E_INVALID, "skills.signature_policy: not off, warn or require");
    }
    CIS_TRY(cis_app_store(app, &home.store, err));
    *out = home;
    return CIS_OK;
}

cis_code cis_cli_stage(const struct cis_cli *cli, const struct cis_skill_home *home,
                       struct cis_str name, struct cis_package *out, struct cis_error *err)
{
    cis_patience *patience = cis_patience_begin(cli, "reading", cli->args[0]);
    cis_code code = cis_package_stage(home, cis_str_of(cli->tenant), cli->args[0], name, out, err);
    cis_patience_end(patience);
    return code;
}

int cis_cli_with_home(struct cis_cli *cli,
                      cis_code (*body)(struct cis_cli *cli, const struct cis_skill_home *home,
                                       struct cis_error *err))
{
    struct cis_error err = {0};
    cis_app *app = NULL;
    struct cis_skill_home home;
    cis_code code = cis_app_open(cli, &app, &err);
    if (code == CIS_OK) {
        code = cis_cli_skill_home(app, &home, &err);
    }
    if (code == CIS_OK) {
        home.compiler = cli->program;
        home.compile_memory = cis_app_config(app)->compile_memory;
        home.compile_ns = cis_app_config(app)->compile_time_ns;
        code = body(cli, &home, &err);
    }
    int exit_code = code == CIS_OK ? 0 : cis_code_skill_exit(code);
    if (code != CIS_OK && err.code == code) { /* else the body has told it already */
        exit_code = cis_cli_fail(cli, &err);
    }
    cis_app_close(app);
    return exit_code;
}

void cis_cli_line(FILE *to, const char *fmt, ...)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf safe = CIS_BUF_INIT(1u << 22);
    char *text = NULL;
    CIS_CLEANUP(cis_buf_done) struct cis_buf raw = CIS_BUF_INIT(1u << 21);
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    text = n >= 0 ? (char *)cis_buf_reserve(&raw, (size_t)n + 1) : NULL;
    if (text != NULL) {
        vsnprintf(text, (size_t)n + 1, fmt, again);
        cis_cli_printable_line(&safe, (struct cis_str){text, (size_t)n});
        cis_buf_byte(&safe, '\n');
    }
    va_end(again);
    va_end(args);
    if (to == stdout) {
        cis_cli_out(safe.ptr, safe.len);
    } else {
        fwrite(safe.ptr, 1, safe.len, to);
    }
}

void cis_cli_grants_text(const struct cis_grants *set, struct cis_buf *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4u << 20);
    cis_grants_json(set, &text);
    json_t *list = json_loadb(cis_buf_cstr(&text), text.len, 0, NULL);
    for (size_t i = 0; i < json_array_size(list); i++) {
        cis_buf_text(out, i > 0 ? ", " : "");
        cis_buf_text(out, json_string_value(json_array_get(list, i)));
    }
    if (json_array_size(list) == 0) {
        cis_buf_text(out, "none");
    }
    json_decref(list);
}

const char *cis_cli_grant_words(const char *grant)
{
    static const struct {
        const char *prefix, *words;
    } rows[] = {
        {"memory=read", "read what it has stored, and public entries of other skills"},
        {"memory=write", "store data in its own memory"},
        {"memory", "store data in its own memory and read it"},
        {"ai", "ask the configured AI (costs what your provider charges)"},
        {"network", "send and fetch data over HTTP(S) to any public host"},
        {"http=", "send and fetch data over HTTP(S) to this origin"},
        {"net=", "open network connections as named"},
        {"dns", "look up host names"},
        {"fs=rw", "read and change files of its workspace"},
        {"fs=ro", "read files of its workspace"},
        {"env=", "see this environment variable"},
        {"clocks", "see the time"},
        {"random", "get random numbers"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (cis_str_starts(cis_str_of(grant), cis_str_of(rows[i].prefix))) {
            return rows[i].words;
        }
    }
    return "";
}

const char *cis_cli_key_label(const struct cis_keyring *ring, const char *hex)
{
    const struct cis_key *key = cis_keyring_find(ring, cis_str_of(hex));
    return key != NULL ? key->label : "";
}
