/* `cis mcp install CLIENT`, `cis mcp uninstall CLIENT`: the entry of this server in a client's
 * configuration. What stands beside it in the file stays as it is. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/mcp/place.h"
#include "cli/skill/skill.h"
#include "engine/code/engine.h"

#define FILE_MAX ((size_t)4 << 20)
#define NAME_MAX_ 64u

/* Where a client looks: in the folder that it is opened in, or in the home folder. */
static const struct client {
    const char *name, *file, *servers;
    bool home, toml;
    struct cis_cli_mcp_words words;
} clients[] = {
    {"claude", ".mcp.json", "mcpServers", false, false, {"url", "headers", true}},
    {"codex", ".codex/config.toml", "mcp_servers", true, true, {"url", "http_headers", false}},
    {"cursor", ".cursor/mcp.json", "mcpServers", false, false, {"url", "headers", false}},
    {"gemini", ".gemini/settings.json", "mcpServers", false, false, {"httpUrl", "headers", false}},
    {"vscode", ".vscode/mcp.json", "servers", false, false, {"url", "headers", true}}};

struct job {
    struct cis_cli *cli;
    const struct client *client;
    const char *name; /* of the entry */
    char *path;       /* of the file */
    struct cis_buf text, after;
    json_t *entry; /* NULL: to be removed */
};

static void job_done(struct job *j)
{
    cis_free(j->path);
    cis_buf_done(&j->text);
    cis_buf_done(&j->after);
    json_decref(j->entry);
}

static cis_code no_memory(struct cis_error *err)
{
    return cis_fail(err, CIS_E_NOMEM, "out of memory");
}

/* ---- what is asked for ---- */

static cis_code find_client(struct job *j, struct cis_error *err)
{
    const char *name = j->cli->args[0];
    for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
        if (strcmp(clients[i].name, name) == 0) {
            j->client = &clients[i];
        }
    }
    if (j->client == NULL) {
        return cis_fail(err, CIS_E_USAGE,
                        "no client \"%.40s\": claude, codex, cursor, gemini or vscode; others take "
                        "the command `cis mcp --dir FOLDER:cow` in their configuration",
                        name);
    }
    const char *home = getenv("HOME");
    if (j->client->home && (home == NULL || home[0] != '/')) {
        return cis_fail(err, CIS_E_USAGE, "HOME is not set: it is where %s keeps its configuration",
                        name);
    }
    j->path = j->client->home ? cis_path_join(home, j->client->file) : cis_strdup(j->client->file);
    return j->path != NULL ? CIS_OK : no_memory(err);
}

static cis_code take_name(struct job *j, struct cis_error *err)
{
    j->name = cis_cli_value(j->cli, "name");
    j->name = j->name != NULL ? j->name : "cis";
    size_t n = strspn(j->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n != 0 && j->name[n] == 0 && n <= NAME_MAX_
               ? CIS_OK
               : cis_fail(err, CIS_E_USAGE,
                          "--name %.80s: letters, digits, - and _, at most %u of them", j->name,
                          NAME_MAX_);
}

static void add(json_t *args, const char *text)
{
    json_array_append_new(args, json_string(text));
}

/* Whoever starts the server does so in a folder of his own. */
static cis_code add_folder(json_t *args, const char *spec, struct cis_error *err)
{
    const char *cow = cis_cli_mcp_cow(spec);
    char path[PATH_MAX];
    if (cow == NULL) {
        return cis_fail(err, CIS_E_USAGE, "--dir %.100s: not HOST:cow or HOST:cow=BRANCH", spec);
    }
    CIS_CLEANUP(cis_freep) char *host = cis_strndup(spec, (size_t)(cow - spec));
    if (host == NULL) {
        return no_memory(err);
    }
    if (realpath(host, path) == NULL) {
        return cis_fail_sys(err, errno == ENOENT ? CIS_E_NOTFOUND : CIS_E_IO, errno, "--dir %.100s",
                            host);
    }
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(PATH_MAX + 1024);
    cis_buf_printf(&text, "%s%s", path, cow);
    CIS_TRY(cis_buf_check(&text, "--dir", err));
    add(args, "--dir");
    add(args, cis_buf_cstr(&text));
    return CIS_OK;
}

static cis_code make_entry(struct job *j, struct cis_error *err)
{
    static const char *const passed[] = {"workspace", "tools", "tenant", "store", "home"};
    const struct cis_cli *cli = j->cli;
    const char *dir = cis_cli_value(cli, "dir"), *branch = cis_cli_value(cli, "workspace");
    if (cis_cli_has(cli, "http")) {
        return cis_cli_mcp_http_entry(cli, &j->client->words, &j->entry, err);
    }
    if (cis_cli_has(cli, "token-file") || cis_cli_has(cli, "no-token")) {
        return cis_fail(err, CIS_E_USAGE, "--token-file and --no-token go with --http");
    }
    if (dir != NULL && branch != NULL) {
        return cis_fail(err, CIS_E_USAGE, "--dir and --workspace cannot be used together");
    }
    json_t *args = json_array();
    j->entry = json_pack("{s:s,s:o}", "command", cli->program, "args", args);
    if (j->entry == NULL) {
        return cis_fail(err, CIS_E_USAGE, "the path of this program is not UTF-8");
    }
    if (j->client->words.type) {
        json_object_set_new(j->entry, "type", json_string("stdio"));
    }
    add(args, "mcp");
    if (branch == NULL) {
        CIS_TRY(add_folder(args, dir != NULL ? dir : ".:cow", err));
    }
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        const char *value = cis_cli_value(cli, passed[i]);
        CIS_CLEANUP(cis_buf_done) struct cis_buf option = CIS_BUF_INIT(64);
        cis_buf_printf(&option, "--%s", passed[i]);
        if (value != NULL) {
            add(args, cis_buf_cstr(&option));
            add(args, value);
        }
    }
    size_t n = json_array_size(args);
    for (size_t i = 0; i < n; i++) {
        if (!json_is_string(json_array_get(args, i))) {
            return cis_fail(err, CIS_E_USAGE, "a path or a name is not UTF-8");
        }
    }
    return CIS_OK;
}

/* ---- JSON ---- */

static int take_part(const char *text, size_t len, void *out)
{
    cis_buf_add(out, text, len);
    return 0;
}

/* As people write it. Without memory the buffer says so. */
static void dump(const json_t *value, struct cis_buf *out)
{
    if (json_dump_callback(value, take_part, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER) != 0) {
        out->failed = CIS_E_NOMEM;
    }
    cis_buf_byte(out, '\n');
}

static cis_code edit_json(struct job *j, struct cis_error *err)
{
    json_error_t why;
    json_t *all = j->text.len == 0 ? json_object()
                                   : json_loadb((const char *)j->text.ptr, j->text.len,
                                                JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(all)) {
        json_decref(all);
        return cis_fail(err, CIS_E_INVALID,
                        "%.120s: not a JSON object (line %d); --print shows the entry, to be added "
                        "by hand",
                        j->path, all == NULL ? why.line : 1);
    }
    json_t *servers = json_object_get(all, j->client->servers);
    if (servers != NULL && !json_is_object(servers)) {
        json_decref(all);
        return cis_fail(err, CIS_E_INVALID, "%.120s: %s is not an object", j->path,
                        j->client->servers);
    }
    if (servers == NULL && j->entry != NULL) {
        servers = json_object();
        json_object_set_new(all, j->client->servers, servers);
    }
    if (j->entry != NULL) {
        json_object_set(servers, j->name, j->entry);
    } else {
        json_object_del(servers, j->name);
    }
    dump(all, &j->after);
    json_decref(all);
    return cis_buf_check(&j->after, j->path, err);
}

/* ---- TOML ---- */

static cis_code parse_toml(const struct job *j, const struct cis_buf *text, json_t **out,
                           struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(4 * FILE_MAX);
    CIS_TRY(cis_toml_to_json(cis_buf_view(text), j->path, &json, err));
    json_t *all = json_loadb((const char *)json.ptr, json.len, 0, NULL);
    *out = json_incref(json_object_get(all, "value"));
    json_decref(all);
    return *out != NULL ? CIS_OK : no_memory(err);
}

/* Does a table of the entry begin on this line: [mcp_servers.NAME], or one below it? */
static bool is_ours(const struct job *j, struct cis_str line)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf head = CIS_BUF_INIT(256);
    cis_buf_printf(&head, "[%s.%s", j->client->servers, j->name);
    struct cis_str text = cis_str_trim(line);
    bool starts = cis_str_starts(text, cis_buf_view(&head)) && text.len > head.len;
    return starts && (text.ptr[head.len] == ']' || text.ptr[head.len] == '.');
}

static void copy_others(struct job *j)
{
    struct cis_str rest = cis_buf_view(&j->text), line;
    bool ours = false;
    while (rest.len != 0) {
        bool more = cis_str_split(&rest, '\n', &line);
        if (cis_str_starts(cis_str_trim(line), CIS_STR("["))) {
            ours = is_ours(j, line);
        }
        if (!ours) {
            cis_buf_str(&j->after, line);
            cis_buf_text(&j->after, more ? "\n" : "");
        }
    }
    if (j->after.len != 0 && j->after.ptr[j->after.len - 1] != '\n') {
        cis_buf_byte(&j->after, '\n');
    }
}

static void write_text(const json_t *value, struct cis_buf *out)
{
    cis_buf_json(out, cis_str_of(json_string_value(value)));
}

static void write_value(const json_t *value, struct cis_buf *out)
{
    const char *key;
    json_t *one;
    const char *before = "{ ";
    if (json_is_string(value)) {
        write_text(value, out);
        return;
    }
    cis_buf_text(out, json_is_array(value) ? "[" : "");
    for (size_t i = 0; i < json_array_size(value); i++) {
        cis_buf_text(out, i != 0 ? ", " : "");
        write_text(json_array_get(value, i), out);
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, one)
    {
        cis_buf_printf(out, "%s%s = ", before, key);
        write_text(one, out);
        before = ", ";
    }
    cis_buf_text(out, json_is_array(value) ? "]" : " }");
}

/* What an entry has: texts, a list of texts, an object of texts. */
static void write_table(const json_t *entry, const struct job *j, struct cis_buf *out)
{
    const char *key;
    json_t *one;
    cis_buf_printf(out, "[%s.%s]\n", j->client->servers, j->name);
    json_object_foreach((json_t *)(uintptr_t)entry, key, one)
    {
        cis_buf_printf(out, "%s = ", key);
        write_value(one, out);
        cis_buf_byte(out, '\n');
    }
}

/* Is the file what it was, but for the entry? It was edited as lines, which a text of several lines
 * could mislead. */
static bool is_right(const struct job *j, json_t *before, json_t *after)
{
    json_t *old = json_object_get(before, j->client->servers);
    json_t *new = json_object_get(after, j->client->servers);
    bool right = j->entry == NULL ? json_object_get(new, j->name) == NULL
                                  : json_equal(json_object_get(new, j->name), j->entry) != 0;
    json_object_del(old, j->name);
    json_object_del(new, j->name);
    if (json_object_size(old) == 0) {
        json_object_del(before, j->client->servers);
    }
    if (json_object_size(new) == 0) {
        json_object_del(after, j->client->servers);
    }
    return right && json_equal(before, after);
}

static cis_code edit_toml(struct job *j, struct cis_error *err)
{
    json_t *before = NULL, *after = NULL;
    CIS_TRY(parse_toml(j, &j->text, &before, err));
    copy_others(j);
    if (j->entry != NULL) {
        cis_buf_text(&j->after, j->after.len != 0 ? "\n" : "");
        write_table(j->entry, j, &j->after);
    }
    struct cis_error why;
    bool right = cis_buf_check(&j->after, j->path, &why) == CIS_OK &&
                 parse_toml(j, &j->after, &after, &why) == CIS_OK && is_right(j, before, after);
    json_decref(before);
    json_decref(after);
    return right ? CIS_OK
                 : cis_fail(err, CIS_E_INVALID,
                            "%.120s: %s.%s stands there in a form that is not known; --print shows "
                            "the entry, to be put there by hand",
                            j->path, j->client->servers, j->name);
}

/* ---- both ---- */

static cis_code read_file(struct job *j, struct cis_error *err)
{
    struct stat st;
    if (stat(j->path, &st) != 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? CIS_OK
                   : cis_fail_sys(err, CIS_E_IO, errno, "%.120s", j->path);
    }
    if (!S_ISREG(st.st_mode)) {
        return cis_fail(err, CIS_E_INVALID, "%.120s: not a regular file", j->path);
    }
    return cis_cli_read(j->path, &j->text, err); /* a signal ends it, whatever it is by now */
}

/* Has it a token? Then nobody else may read the file. */
static bool is_secret(const struct job *j)
{
    return json_object_get(j->entry, j->client->words.headers) != NULL;
}

/* all: the token too. */
static void show(const struct job *j, bool all, FILE *to)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(FILE_MAX), line = text;
    json_t *entry = json_deep_copy(j->entry);
    if (!all && is_secret(j)) {
        json_object_set_new(json_object_get(entry, j->client->words.headers), "Authorization",
                            json_string("Bearer (the token)"));
    }
    if (j->client->toml) {
        write_table(entry, j, &text);
    } else {
        json_t *file = json_pack("{s:{s:O}}", j->client->servers, j->name, entry);
        dump(file, &text);
        json_decref(file);
    }
    json_decref(entry);
    cis_cli_printable(&line, cis_buf_view(&text));
    fwrite(line.ptr, 1, line.len, to);
    cis_buf_done(&line);
}

static cis_code write_file(struct job *j, struct cis_error *err)
{
    CIS_CLEANUP(cis_freep) char *folder = cis_strdup(j->path);
    char *slash = folder != NULL ? strrchr(folder, '/') : NULL;
    struct stat st;
    bool hidden = j->client->home || is_secret(j);
    unsigned mode = stat(j->path, &st) == 0 ? st.st_mode & 0777 : hidden ? 0600 : 0644;
    if (folder == NULL) {
        return no_memory(err);
    }
    if (slash != NULL && slash != folder) {
        *slash = 0;
        CIS_TRY(cis_file_mkdirs(folder, 0755, err));
    }
    return cis_file_put(j->path, cis_buf_bytes(&j->after), mode, err);
}

static cis_code confirm(const struct job *j, struct cis_error *err)
{
    char question[PATH_MAX + 64];
    snprintf(question, sizeof question, "%s %.*s?", j->entry != NULL ? "Write this to" : "Change",
             PATH_MAX, j->path);
    if (cis_cli_has(j->cli, "yes") || (!j->cli->json && cis_cli_confirm(question))) {
        return CIS_OK;
    }
    return cis_fail(err, CIS_E_DENIED, "%.120s: not confirmed (give --yes)", j->path);
}

static cis_code change(struct job *j, struct cis_error *err)
{
    CIS_TRY(read_file(j, err));
    CIS_TRY(j->client->toml ? edit_toml(j, err) : edit_json(j, err));
    bool same = cis_str_eq(cis_buf_view(&j->text), cis_buf_view(&j->after)) ||
                (j->entry == NULL && j->text.len == 0);
    struct stat st;
    if (!same && is_secret(j) && stat(j->path, &st) == 0 && (st.st_mode & 077) != 0) {
        return cis_fail(err, CIS_E_DENIED,
                        "%.120s: others can read it, and the entry has a token: chmod 600, or "
                        "--print and your client's own place for secrets",
                        j->path);
    }
    if (!same) {
        if (j->entry != NULL && !j->cli->json) {
            show(j, false, stderr);
        }
        CIS_TRY(confirm(j, err));
        CIS_TRY(write_file(j, err));
    }
    if (j->cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("file", j->path), CIS_J_BOOL("changed", !same)));
    } else {
        cis_cli_line(stderr, "%s: %s", j->path,
                     same               ? "nothing to do"
                     : is_secret(j)     ? "written, with the token: keep it out of version "
                                          "control; start the client anew"
                     : j->entry != NULL ? "written; start the client anew"
                                        : "the entry is removed");
    }
    return CIS_OK;
}

static int run(struct cis_cli *cli, bool install)
{
    CIS_CLEANUP(job_done)
    struct job j = {
        .cli = cli, .text = CIS_BUF_INIT(FILE_MAX), .after = CIS_BUF_INIT(2 * FILE_MAX)};
    struct cis_error err = {0};
    cis_code code = find_client(&j, &err);
    code = code == CIS_OK ? take_name(&j, &err) : code;
    code = code == CIS_OK && install ? make_entry(&j, &err) : code;
    if (code == CIS_OK && install && cis_cli_has(cli, "print")) {
        show(&j, true, stdout);
        return 0;
    }
    code = code == CIS_OK ? change(&j, &err) : code;
    return code == CIS_OK ? 0 : cis_cli_fail(cli, &err);
}

static int run_install(struct cis_cli *cli)
{
    return run(cli, true);
}

static int run_uninstall(struct cis_cli *cli)
{
    return run(cli, false);
}

static const struct cis_cli_option install_options[] = {
    {"dir", 0, "HOST:cow", false, NULL},    {"workspace", 'w', "BRANCH", false, NULL},
    {"tools", 0, "NAMES", false, NULL},     {"http", 0, "ADDRESS", false, NULL},
    {"token-file", 0, "FILE", false, NULL}, {"no-token", 0, NULL, false, NULL},
    {"name", 0, "NAME", false, NULL},       {"print", 0, NULL, false, NULL},
    {"yes", 'y', NULL, false, NULL},        {0}};

const struct cis_cli_command cis_cmd_mcp_install = {.name = "mcp install",
                                                    .options = install_options,
                                                    .min_args = 1,
                                                    .max_args = 1,
                                                    .run = run_install};

static const struct cis_cli_option uninstall_options[] = {
    {"name", 0, "NAME", false, NULL}, {"yes", 'y', NULL, false, NULL}, {0}};

const struct cis_cli_command cis_cmd_mcp_uninstall = {.name = "mcp uninstall",
                                                      .options = uninstall_options,
                                                      .min_args = 1,
                                                      .max_args = 1,
                                                      .run = run_uninstall};
