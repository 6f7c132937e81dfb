/* `cis skill list` and `cis skill info`. */
#include "cli/skill/skill.h"

#include <stdlib.h>
#include "base/clock.h"

struct listing {
    json_t *skills; /* NULL: text */
    size_t n;
};

static bool list_row(void *self, const struct cis_skill_row *row)
{
    struct listing *l = self;
    char when[32];
    cis_clock_iso(row->installed_ms, when);
    l->n++;
    if (l->skills == NULL) {
        cis_cli_line(stdout, "%-24.*s %-12.*s %s  %s", (int)row->name.len, row->name.ptr,
                     (int)row->version.len, row->version.ptr, when,
                     row->signer.len > 0 ? "signed" : "unsigned");
        return true;
    }
    json_t *grants = json_loadb(row->grants.ptr, row->grants.len, 0, NULL);
    json_t *item =
        json_pack("{s:s%,s:s%,s:s%,s:s%,s:s%,s:s,s:o}", "name", row->name.ptr, row->name.len,
                  "version", row->version.ptr, row->version.len, "source", row->source.ptr,
                  row->source.len, "sha256", row->sha256.ptr, row->sha256.len, "signer",
                  row->signer.ptr, row->signer.len, "installed", when, "granted", grants);
    return json_array_append_new(l->skills, item) == 0;
}

static cis_code list(struct cis_cli *cli, const struct cis_skill_home *home, struct cis_error *err)
{
    struct listing l = {cli->json ? json_array() : NULL, 0};
    cis_code code = cis_skill_list(home, cis_str_of(cli->tenant), list_row, &l, err);
    if (!cli->json) {
        if (code == CIS_OK && l.n == 0) {
            cis_cli_line(stderr, "no skill is installed (cis skill install PATH)");
        }
        return code;
    }
    if (code != CIS_OK) {
        json_decref(l.skills);
        return code;
    }
    return cis_cli_json(json_pack("{s:o}", "skills", l.skills), err);
}

static json_t *exports_json(const struct cis_manifest *m)
{
    static const char *const kinds[] = {"function", "event", "command"};
    static const char *const conventions[] = {"auto", "text", "numbers"};
    json_t *out = json_array();
    for (size_t i = 0; i < m->nexports; i++) {
        const struct cis_manifest_export *e = &m->exports[i];
        json_array_append_new(out, json_pack("{s:s,s:s,s:s,s:s}", "kind", kinds[e->kind], "name",
                                             e->name, "description", e->description, "convention",
                                             conventions[e->convention]));
    }
    return out;
}

static json_t *settings_json(const struct cis_installed *s)
{
    json_t *out = json_array();
    for (size_t i = 0; i < s->manifest.nsettings; i++) {
        const struct cis_manifest_setting *d = &s->manifest.settings[i];
        json_array_append_new(out,
                              json_pack("{s:s,s:s,s:b,s:s?,s:s}", "key", d->key, "type",
                                        cis_setting_type_name(d->type), "required", d->required,
                                        "default", d->fallback, "description", d->description));
    }
    return out;
}

static json_t *limits_json(const struct cis_skill_limits *l)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I}", "memory_bytes", (json_int_t)l->memory_bytes,
                     "time_ns", (json_int_t)l->time_ns, "fuel", (json_int_t)l->fuel, "output_bytes",
                     (json_int_t)l->output_bytes, "files", (json_int_t)l->files);
}

static cis_code info_json(const struct cis_installed *s, const char *label, const char *when,
                          struct cis_error *err)
{
    const struct cis_manifest *m = &s->manifest;
    json_t *warnings = json_array(), *dependencies = json_array();
    for (size_t i = 0; i < m->nwarnings; i++) {
        json_array_append_new(warnings, json_string(m->warnings[i]));
    }
    for (size_t i = 0; i < m->ndependencies; i++) {
        json_array_append_new(dependencies, json_pack("{s:s,s:s}", "name", m->dependencies[i].name,
                                                      "version", m->dependencies[i].version));
    }
    return cis_cli_json(
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s?,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:o,s:o,"
                  "s:o,s:o,s:o,s:o,s:o,s:o}",
                  "name", s->name, "version", m->version, "description", m->description, "author",
                  m->author, "license", m->license, "homepage", m->homepage, "type",
                  cis_skill_type_name(m->type), "entry", m->entry, "abi", m->abi, "source",
                  s->source, "dir", s->dir, "sha256", s->sha256, "digest", s->digest, "signer",
                  s->signer, "signer_name", label, "installed", when, "bare", m->bare, "asked",
                  cis_cli_grants_json(&m->asked), "granted", cis_cli_grants_json(&s->granted),
                  "effective", cis_cli_grants_json(&s->grants), "limits", limits_json(&m->limits),
                  "exports", exports_json(m), "settings", settings_json(s), "dependencies",
                  dependencies, "warnings", warnings),
        err);
}

static void line(const char *name, const char *value)
{
    if (value != NULL && value[0] != 0) {
        cis_cli_line(stdout, "%-12s %s", name, value);
    }
}

static void info_text(const struct cis_installed *s, const char *label, const char *when)
{
    const struct cis_manifest *m = &s->manifest;
    CIS_CLEANUP(cis_buf_done) struct cis_buf asked = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf granted = CIS_BUF_INIT(1u << 20);
    CIS_CLEANUP(cis_buf_done) struct cis_buf signer = CIS_BUF_INIT(4096);
    cis_cli_grants_text(&m->asked, &asked);
    cis_cli_grants_text(&s->grants, &granted);
    cis_buf_printf(&signer, "%s%s%s", s->signer[0] != 0 ? s->signer : "unsigned",
                   label[0] != 0 ? " " : "", label);
    line("name", s->name);
    line("version", m->version);
    line("description", m->description);
    line("author", m->author);
    line("license", m->license);
    line("homepage", m->homepage);
    line("type", cis_skill_type_name(m->type));
    line("abi", m->abi);
    line("entry", m->entry);
    line("source", s->source);
    line("installed", when);
    line("sha256", s->sha256);
    line("signer", cis_buf_cstr(&signer));
    line("asks for", m->bare ? "nothing (a module without a manifest)" : cis_buf_cstr(&asked));
    line("may", cis_buf_cstr(&granted));
    if (m->limits.memory_bytes != 0) {
        cis_cli_line(stdout, "%-12s memory %llu bytes", "limit",
                     (unsigned long long)m->limits.memory_bytes);
    }
    if (m->limits.time_ns != 0) {
        cis_cli_line(stdout, "%-12s time %llu ms", "limit",
                     (unsigned long long)(m->limits.time_ns / CIS_NS_PER_MS));
    }
    for (size_t i = 0; i < m->nexports; i++) {
        cis_cli_line(stdout, "%-12s %s  %s", "export", m->exports[i].name,
                     m->exports[i].description);
    }
    for (size_t i = 0; i < s->nconfig; i++) {
        cis_cli_line(stdout, "%-12s %s = %s%s", "config", s->config[i].key, s->config[i].value,
                     s->config[i].from_default ? " (default)" : "");
    }
    for (size_t i = 0; i < m->nwarnings; i++) {
        line("warning", m->warnings[i]);
    }
}

static cis_code info(struct cis_cli *cli, const struct cis_skill_home *home, struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    CIS_CLEANUP(cis_keyring_done) struct cis_keyring ring = CIS_KEYRING_INIT;
    CIS_TRY(cis_skill_lookup(home, cis_str_of(cli->tenant), cis_str_of(cli->args[0]), &s, err));
    CIS_TRY(cis_keyring_load(home->config_dir, &ring, err));
    char when[32];
    cis_clock_iso(s.installed_ms, when);
    const char *label = cis_cli_key_label(&ring, s.signer);
    if (cli->json) {
        return info_json(&s, label, when, err);
    }
    info_text(&s, label, when);
    return CIS_OK;
}

const struct cis_cli_command cis_cmd_skill_list = {
    .name = "skill list", .max_args = 0, .skill = list};

const struct cis_cli_command cis_cmd_skill_info = {
    .name = "skill info", .min_args = 1, .max_args = 1, .skill = info};
