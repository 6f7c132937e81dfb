/* [permissions] of a manifest, as a table and as the flat shape's list: what the skill asks for, as
 * grants of policy/. */
#include "skill/manifest_read.h"

#include "base/mem.h"

static cis_code ask(struct cis_manifest_reader *r, const char *path, const char *prefix,
                    const char *text)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf grant = CIS_BUF_INIT(16384);
    cis_buf_text(&grant, prefix);
    cis_buf_text(&grant, text);
    CIS_TRY(cis_buf_check(&grant, path, r->err));
    struct cis_error why = {0};
    cis_code code = cis_grants_add(&r->m->asked, cis_buf_view(&grant), &why);
    return code == CIS_OK        ? CIS_OK
           : code == CIS_E_NOMEM ? cis_fail(r->err, code, "%s: out of memory", r->name)
                                 : cis_manifest_bad(r, path, "%s", why.msg);
}

static const struct {
    const char *key, *grant;
} simple_permissions[] = {
    {"memory_read", "memory=read"},
    {"memory_write", "memory=write"},
    {"ai_call", "ai"},
    {"network", "network"},
    {"filesystem", "fs=rw"},
    {"clocks", "clocks"},
    {"random", "random"},
    {"dns", "dns"},
};

static const char *simple_permission(const char *key)
{
    for (size_t i = 0; i < sizeof simple_permissions / sizeof simple_permissions[0]; i++) {
        if (strcmp(simple_permissions[i].key, key) == 0) {
            return simple_permissions[i].grant;
        }
    }
    return NULL;
}

static cis_code read_flag(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    bool on = false;
    CIS_TRY(cis_manifest_flag(r, path, value, &on));
    const char *dot = strrchr(path, '.');
    return on ? ask(r, path, "", simple_permission(dot != NULL ? dot + 1 : path)) : CIS_OK;
}

static cis_code read_command(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return cis_manifest_flag(r, path, value, &r->m->asks_command);
}

static cis_code read_filesystem(struct cis_manifest_reader *r, const char *path,
                                const json_t *value)
{
    if (json_is_boolean(value)) {
        return json_is_true(value) ? ask(r, path, "fs=", "rw") : CIS_OK;
    }
    if (!json_is_string(value)) {
        return cis_manifest_wrong_type(r, path, "\"ro\", \"rw\", true or false", value);
    }
    return ask(r, path, "fs=", json_string_value(value));
}

static cis_code ask_each(struct cis_manifest_reader *r, const char *path, const json_t *value,
                         const char *prefix)
{
    CIS_TRY(cis_manifest_list(r, path, value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_item(at, path, i);
        const json_t *item = json_array_get(value, i);
        if (!json_is_string(item)) {
            return cis_manifest_wrong_type(r, at, "a string", item);
        }
        CIS_TRY(ask(r, at, prefix, json_string_value(item)));
    }
    return CIS_OK;
}

static cis_code read_http(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return ask_each(r, path, value, "http=");
}

static cis_code read_net(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return ask_each(r, path, value, "net=");
}

static cis_code read_env(struct cis_manifest_reader *r, const char *path, const json_t *value)
{
    return ask_each(r, path, value, "env=");
}

static const struct cis_manifest_key permission_keys[] = {
    {"memory_read", read_flag, 0, 0},
    {"memory_write", read_flag, 0, 0},
    {"ai_call", read_flag, 0, 0},
    {"network", read_flag, 0, 0},
    {"filesystem", read_filesystem, 0, 0},
    {"command", read_command, 0, 0},
    {"http", read_http, 0, 0},
    {"net", read_net, 0, 0},
    {"env", read_env, 0, 0},
    {"clocks", read_flag, 0, 0},
    {"random", read_flag, 0, 0},
    {"dns", read_flag, 0, 0},
    {NULL, NULL, 0, 0},
};

/* A table of permissions, or (flat shape) a list of their names and of grants. */
cis_code cis_manifest_permissions(struct cis_manifest_reader *r, const char *path,
                                  const json_t *value)
{
    if (json_is_object(value)) {
        return cis_manifest_table(r, path, value, permission_keys, NULL);
    }
    if (!json_is_array(value)) {
        return cis_manifest_wrong_type(r, path, "a table or an array", value);
    }
    CIS_TRY(cis_manifest_list(r, path, value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        char at[CIS_MANIFEST_PATH_MAX];
        cis_manifest_item(at, path, i);
        const char *text = json_string_value(json_array_get(value, i));
        if (text == NULL) {
            return cis_manifest_wrong_type(r, at, "a string", json_array_get(value, i));
        }
        if (strcmp(text, "command") == 0) {
            r->m->asks_command = true;
            continue;
        }
        const char *grant = simple_permission(text);
        CIS_TRY(ask(r, at, "", grant != NULL ? grant : text));
    }
    return CIS_OK;
}
