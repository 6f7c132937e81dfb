/* A program as provider: prompt in, text out. The program is likely an agent with tools of its own,
 * and the prompt is a guest's: see README.md for what keeps one from driving the other. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/process.h"
#include "service/ai/internal.h"

#define ARGUMENT_MAX (120u * 1024u) /* the kernel takes 128 KiB in one argument */
#define ERRORS_MAX 4096u
#define ARGS_MAX 80u
#define DIR_MARK "\x01" /* in a preset's words: the folder with its files */

struct preset {
    const char *name;
    const char *args[16];
    const char *env[4];
    struct {
        const char *name, *text;
    } files[3]; /* beside the working folder, which stays empty */
};

/* Options as documented by each program; an older one that does not know an option refuses to run,
 * which is the safe way to fail. */
static const struct preset presets[] = {
    {.name = "claude",
     .args = {"-p", "--output-format", "text", "--tools", "", "--strict-mcp-config",
              "--setting-sources", "", "--disable-slash-commands", NULL}},
    {.name = "kimi",
     .args = {"--quiet", "--agent-file", DIR_MARK "/agent.yaml", "--mcp-config-file",
              DIR_MARK "/mcp.json", NULL},
     .files = {{"agent.yaml", "version: 1\nagent:\n  name: answer\n"
                              "  system_prompt_path: ./system.md\n  tools: []\n"},
               {"system.md", "Answer the user's message with text only.\n"},
               {"mcp.json", "{\"mcpServers\":{}}\n"}}},
    {.name = "opencode",
     .args = {"run", "--agent", "answer", NULL},
     .env = {"OPENCODE_CONFIG_CONTENT={\"share\":\"disabled\",\"autoupdate\":false,"
             "\"permission\":{\"*\":\"deny\"},\"agent\":{\"answer\":{\"mode\":\"primary\","
             "\"description\":\"text only\",\"tools\":{\"*\":false},"
             "\"permission\":{\"*\":\"deny\"}}}}",
             "OPENCODE_DISABLE_AUTOUPDATE=1", NULL}},
};

static const struct preset *preset_of(const char *command)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(presets[i].name, command) == 0) {
            return &presets[i];
        }
    }
    return NULL;
}

bool cis_ai_is_preset(const char *command)
{
    return preset_of(command) != NULL;
}

/* ---- texts owned by one call ---- */
struct texts {
    char *list[ARGS_MAX + 2]; /* NULL-terminated */
    size_t n;
    bool failed;
};

static void texts_done(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++) {
        cis_wipe(t->list[i], strlen(t->list[i])); /* one may hold a key */
        cis_free(t->list[i]);
    }
}

/* head, dir and tail as one text. */
static void add(struct texts *t, const char *head, const char *dir, const char *tail)
{
    size_t len =
        cis_size_add(strlen(head), cis_size_add(strlen(dir), cis_size_add(strlen(tail), 1)));
    char *text = t->n < ARGS_MAX ? cis_zalloc(len) : NULL;
    if (text == NULL) {
        t->failed = true;
        return;
    }
    memcpy(text, head, strlen(head));
    memcpy(text + strlen(head), dir, strlen(dir));
    memcpy(text + strlen(head) + strlen(dir), tail, strlen(tail));
    t->list[t->n++] = text;
}

static void add_args(struct texts *t, const struct cis_ai *ai, const struct preset *preset,
                     const char *dir)
{
    add(t, ai->command, "", "");
    for (size_t i = 0; preset != NULL && preset->args[i] != NULL; i++) {
        const char *arg = preset->args[i];
        bool in_dir = arg[0] == DIR_MARK[0];
        add(t, in_dir ? "" : arg, in_dir ? dir : "", in_dir ? arg + 1 : "");
    }
    if (preset != NULL && ai->model != NULL) {
        add(t, "--model", "", "");
        add(t, ai->model, "", "");
    }
    for (size_t i = 0; ai->args != NULL && ai->args[i] != NULL; i++) {
        add(t, ai->args[i], "", "");
    }
}

/* What a program needs to find its libraries and its own login, and nothing else. */
static cis_code add_env(struct texts *t, const struct cis_ai *ai, const struct preset *preset,
                        const char *work, struct cis_error *err)
{
    static const char *const passed[] = {"PATH", "HOME", "USER", "XDG_CONFIG_HOME",
                                         "XDG_DATA_HOME"};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++) {
        const char *value = getenv(passed[i]);
        if (value != NULL) {
            add(t, passed[i], "=", value);
        }
    }
    add(t, "LANG=C.UTF-8", "", "");
    add(t, "TERM=dumb", "", "");
    add(t, "NO_COLOR=1", "", "");
    add(t, "TMPDIR=", work, "");
    for (size_t i = 0; preset != NULL && preset->env[i] != NULL; i++) {
        add(t, preset->env[i], "", "");
    }
    if (ai->key_env != NULL) {
        CIS_CLEANUP(cis_ai_key_done) struct cis_buf key = CIS_BUF_INIT(0);
        CIS_TRY(cis_ai_key_read(ai, &key, err));
        add(t, ai->key_env, "=", cis_buf_cstr(&key));
    }
    return CIS_OK;
}

/* ---- the folder ---- */
struct folder {
    char *path, *work;
};

static void folder_done(struct folder *f)
{
    if (f->path != NULL) {
        cis_file_remove_tree(f->path, NULL);
    }
    cis_free(f->path);
    cis_free(f->work);
}

static cis_code folder_make(const struct preset *preset, struct folder *f, struct cis_error *err)
{
    const char *base = getenv("TMPDIR");
    char *path = cis_path_join(base != NULL && base[0] == '/' ? base : "/tmp", "cis-ai-XXXXXX");
    if (path == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "ai command: out of memory");
    }
    if (mkdtemp(path) == NULL) {
        int sys = errno;
        cis_free(path);
        return cis_fail_sys(err, CIS_E_IO, sys, "ai command: temporary folder");
    }
    f->path = path;
    f->work = cis_path_join(path, "work");
    if (f->work == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "ai command: out of memory");
    }
    CIS_TRY(cis_file_mkdirs(f->work, 0700, err));
    for (size_t i = 0; preset != NULL && i < 3 && preset->files[i].name != NULL; i++) {
        CIS_CLEANUP(cis_freep) char *file = cis_path_join(path, preset->files[i].name);
        if (file == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "ai command: out of memory");
        }
        const char *text = preset->files[i].text;
        CIS_TRY(cis_file_write(file, cis_bytes_of(text, strlen(text)), 0600, err));
    }
    return CIS_OK;
}

/* ---- the prompt ---- */
#define JOINER "\xE2\x81\xA0" /* U+2060, no width: breaks a spelling, changes no text */

/* Bytes of the character at text that a program may take away from the begin of a line, or take
 * for the end of one; 0: it is none of them. Wide on purpose: a joiner too much changes nothing. */
static size_t blank(struct cis_str text)
{
    const unsigned char *u = (const unsigned char *)text.ptr;
    if (u[0] <= 0x20 || u[0] == 0x7f) {
        return 1;
    }
    if (text.len >= 2 && u[0] == 0xC2 && (u[1] < 0xA1 || u[1] == 0xAD)) { /* C1, U+00A0, U+00AD */
        return 2;
    }
    if (text.len < 3) {
        return 0;
    }
    bool is =
        (u[0] == 0xE1 && ((u[1] == 0x9A && u[2] == 0x80) || (u[1] == 0xA0 && u[2] == 0x8E))) ||
        (u[0] == 0xE2 && u[1] == 0x80 && (u[2] <= 0x8F || (u[2] >= 0xA8 && u[2] <= 0xAF))) ||
        (u[0] == 0xE2 && u[1] == 0x81 && u[2] >= 0x9F && u[2] <= 0xAF) ||
        (u[0] == 0xE3 && u[1] == 0x80 && u[2] == 0x80) ||
        (u[0] == 0xEF && u[1] == 0xBB && u[2] == 0xBF);
    return is ? 3 : 0;
}

/* Agent programs read "@path" as "attach this file" and a "/", "!" or "#" that begins the prompt,
 * or a line of it, as a command to themselves. Some trim it first. None of that is for a guest to
 * say.
 */
static void disarm(struct cis_str prompt, struct cis_buf *out)
{
    bool begins = true;
    size_t start = 0;
    for (size_t i = 0; i < prompt.len;) {
        struct cis_str rest = {prompt.ptr + i, prompt.len - i};
        char c = prompt.ptr[i];
        size_t n = blank(rest);
        bool command = begins && (c == '/' || c == '!' || c == '#');
        if (command || c == '@') {
            size_t end = command ? i : i + 1; /* before a command, behind the sign of a file */
            cis_buf_add(out, prompt.ptr + start, end - start);
            cis_buf_text(out, JOINER);
            start = end;
        }
        /* A space inside a line begins nothing; what may end one does. */
        begins = n != 0 && (begins || n > 1 || (c != ' ' && c != '\t'));
        i += n != 0 ? n : 1;
    }
    cis_buf_add(out, prompt.ptr + start, prompt.len - start);
}

static cis_code as_argument(struct texts *args, struct cis_str prompt, struct cis_error *err)
{
    if (prompt.len > ARGUMENT_MAX) {
        return cis_fail(err, CIS_E_LIMIT, "ai command: a prompt over %u bytes needs command_stdin",
                        ARGUMENT_MAX);
    }
    if (memchr(prompt.ptr, 0, prompt.len) != NULL) {
        return cis_fail(err, CIS_E_INVALID, "ai command: a NUL byte in the prompt");
    }
    CIS_CLEANUP(cis_freep) char *text = cis_strndup(prompt.ptr, prompt.len);
    add(args, "--", "", "");
    add(args, text != NULL ? text : "", "", "");
    args->failed = args->failed || text == NULL;
    return CIS_OK;
}

static cis_code check(const struct cis_ai *ai, const struct cis_process_result *r,
                      struct cis_error *err)
{
    if (r->exit_code == 0) {
        return CIS_OK;
    }
    struct cis_str rest = cis_str_trim(cis_buf_view(&r->errors)), line;
    cis_str_split(&rest, '\n', &line);
    CIS_CLEANUP(cis_ai_key_done) struct cis_buf key = CIS_BUF_INIT(0);
    CIS_CLEANUP(cis_buf_done) struct cis_buf words = CIS_BUF_INIT(8u * ERRORS_MAX);
    if (ai->key_env != NULL && cis_ai_key_read(ai, &key, err) != CIS_OK) {
        line.len = 0; /* what to take out is not known any more */
    }
    cis_ai_redact(line, cis_buf_view(&key), &words);
    if (r->exit_code < 0) {
        return cis_fail(err, CIS_E_PROVIDER, "ai command %s: ended by signal %d", ai->command,
                        r->signal);
    }
    return cis_fail(err, CIS_E_PROVIDER, "ai command %s: exit %d%s%s", ai->command, r->exit_code,
                    words.len != 0 ? ": " : "", cis_buf_cstr(&words));
}

cis_code cis_ai_command_chat(const struct cis_ai *ai, const struct cis_call *call,
                             const struct cis_ai_request *request, struct cis_buf *out_text,
                             struct cis_error *err)
{
    const struct preset *preset = preset_of(ai->command);
    struct cis_str prompt = {request->prompt, request->prompt_len};
    CIS_CLEANUP(cis_buf_done) struct cis_buf disarmed = CIS_BUF_INIT(5u * CIS_AI_PROMPT_MAX);
    if (preset != NULL) {
        disarm(prompt, &disarmed);
        CIS_TRY(cis_buf_check(&disarmed, "ai prompt", err));
        prompt = cis_buf_view(&disarmed);
    }
    CIS_CLEANUP(folder_done) struct folder folder = {NULL, NULL};
    CIS_TRY(folder_make(preset, &folder, err));
    CIS_CLEANUP(texts_done) struct texts args = {{NULL}, 0, false}, env = {{NULL}, 0, false};
    add_args(&args, ai, preset, folder.path);
    CIS_TRY(add_env(&env, ai, preset, folder.work, err));
    bool on_stdin = preset != NULL || ai->with_stdin;
    if (!on_stdin) {
        CIS_TRY(as_argument(&args, prompt, err));
    }
    if (args.failed || env.failed) {
        return cis_fail(err, CIS_E_NOMEM, "ai command %s: out of memory for its arguments",
                        ai->command);
    }
    const struct cis_stop *run = call->stop;
    const struct cis_bytes input = cis_bytes_of(prompt.ptr, prompt.len);
    struct cis_process_options o = {.argv = (const char *const *)args.list,
                                    .envp = (const char *const *)env.list,
                                    .cwd = folder.work,
                                    .input = &input,
                                    .ninput = on_stdin,
                                    .output_max = CIS_AI_ANSWER_MAX,
                                    .errors_max = ERRORS_MAX,
                                    .herd = true,
                                    .stop = {call->deadline_ns, run != NULL ? run->cancel : NULL}};
    struct cis_process_result r = {CIS_BUF_INIT(0), CIS_BUF_INIT(0), 0, 0};
    cis_code code = cis_process_run(&o, &r, err);
    if (code != CIS_OK) {
        code = code == CIS_E_NOTFOUND || code == CIS_E_IO ? CIS_E_PROVIDER : code;
        return cis_error_prefix(err, code, "ai command");
    }
    code = check(ai, &r, err);
    if (code == CIS_OK) {
        struct cis_str text = cis_buf_view(&r.output);
        while (text.len != 0 && strchr("\r\n", text.ptr[text.len - 1]) != NULL) {
            text.len--;
        }
        cis_buf_str(out_text, text);
        code = cis_buf_check(out_text, "ai answer", err);
    }
    cis_process_result_done(&r);
    return code;
}
