/* `cis skill list` and `cis skill info`. */
#include "cli/skill/skill.h"
#include "skill/guide.h"

#include <stdlib.h>
#include "base/clock.h"

struct listing {
    bool json;
    size_t n;
};

static bool list_row(void *self, const struct cis_skill_row *row)
{
    struct listing *l = self;
    char when[32];
    cis_clock_iso(row->installed_ms, when);
    l->n++;
    if (l->json) {
        cis_cli_item(CIS_JSON(CIS_J("name", row->name), CIS_J("version", row->version),
                              CIS_J("source", row->source), CIS_J("sha256", row->sha256),
                              CIS_J("signer", row->signer), CIS_J("installed", when),
                              CIS_J_RAW("granted", row->grants)));
    } else {
        cis_cli_line(stdout, "%-24.*s %-12.*s %s  %s", (int)row->name.len, row->name.ptr,
                     (int)row->version.len, row->version.ptr, when,
                     row->signer.len > 0 ? "signed" : "unsigned");
    }
    return true;
}

static cis_code list(struct cis_cli *cli, const struct cis_skill_home *home, struct cis_error *err)
{
    struct listing l = {cli->json, 0};
    cis_cli_list(cli, "skills");
    CIS_TRY(cis_skill_list(home, cis_str_of(cli->tenant), list_row, &l, err));
    if (!cli->json && l.n == 0) {
        cis_cli_line(stderr, "no skill is installed (cis skill install PATH)");
    }
    cis_cli_list_end(NULL);
    return CIS_OK;
}

/* Lists of an object of `info`, each with its name. */
static void lists_json(const struct cis_installed *s, struct cis_buf *out)
{
    static const char *const kinds[] = {"function", "event", "command"};
    static const char *const conventions[] = {"auto", "text", "numbers"};
    const struct cis_manifest *m = &s->manifest;
    cis_json_write(out, CIS_JSON(CIS_J_LIST("exports")));
    for (size_t i = 0; i < m->nexports; i++) {
        const struct cis_manifest_export *e = &m->exports[i];
        cis_json_object(out, CIS_JSON(CIS_J("kind", kinds[e->kind]), CIS_J("name", e->name),
                                      CIS_J("description", e->description),
                                      CIS_J("convention", conventions[e->convention])));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END, CIS_J_LIST("settings")));
    for (size_t i = 0; i < m->nsettings; i++) {
        const struct cis_manifest_setting *d = &m->settings[i];
        cis_json_object(
            out,
            CIS_JSON(CIS_J("key", d->key), CIS_J("type", cis_setting_type_name(d->type)),
                     CIS_J("required", d->required),
                     d->fallback != NULL ? CIS_J("default", d->fallback) : CIS_J_NULL("default"),
                     CIS_J("description", d->description)));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END, CIS_J_LIST("dependencies")));
    for (size_t i = 0; i < m->ndependencies; i++) {
        cis_json_object(out, CIS_JSON(CIS_J("name", m->dependencies[i].name),
                                      CIS_J("version", m->dependencies[i].version)));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END, CIS_J_LIST("warnings")));
    for (size_t i = 0; i < m->nwarnings; i++) {
        cis_json_write(out, CIS_JSON(CIS_J(NULL, m->warnings[i])));
    }
    cis_json_write(out, CIS_JSON(CIS_J_LIST_END));
}

static void grants_member(const char *name, const struct cis_grants *set, struct cis_buf *out)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4u << 20);
    cis_grants_json(set, &text);
    cis_json_write(out, CIS_JSON(CIS_J_RAW(name, cis_buf_view(&text))));
}

static cis_code info_json(const struct cis_installed *s, const char *label, const char *when,
                          const char *guide, struct cis_error *err)
{
    const struct cis_manifest *m = &s->manifest;
    const struct cis_skill_limits *l = &m->limits;
    CIS_CLEANUP(cis_buf_done) struct cis_buf out = CIS_BUF_INIT(256u << 20);
    cis_json_write(&out,
                   CIS_JSON(CIS_J_OPEN(NULL), CIS_J("schema", 1u), CIS_J("name", s->name),
                            CIS_J("version", m->version), CIS_J("description", m->description),
                            CIS_J("author", m->author), CIS_J("license", m->license),
                            CIS_J("homepage", m->homepage),
                            CIS_J("type", cis_skill_type_name(m->type)), CIS_J("entry", m->entry),
                            m->abi != NULL ? CIS_J("abi", m->abi) : CIS_J_NULL("abi"),
                            CIS_J("source", s->source), CIS_J("dir", s->dir),
                            CIS_J("sha256", s->sha256), CIS_J("digest", s->digest),
                            CIS_J("signer", s->signer), CIS_J("signer_name", label),
                            CIS_J("installed", when), CIS_J("bare", m->bare)));
    grants_member("asked", &m->asked, &out);
    grants_member("granted", &s->granted, &out);
    grants_member("effective", &s->grants, &out);
    cis_json_write(&out, CIS_JSON(CIS_J_OPEN("limits"), CIS_J("memory_bytes", l->memory_bytes),
                                  CIS_J("time_ns", l->time_ns), CIS_J("fuel", l->fuel),
                                  CIS_J("output_bytes", l->output_bytes), CIS_J("files", l->files),
                                  CIS_J_CLOSE));
    lists_json(s, &out);
    cis_json_write(
        &out, CIS_JSON(guide != NULL ? CIS_J("guide", guide) : CIS_J_NULL("guide"), CIS_J_CLOSE));
    cis_buf_byte(&out, '\n');
    CIS_TRY(cis_buf_check(&out, "output", err));
    cis_cli_out(out.ptr, out.len);
    return CIS_OK;
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
    CIS_CLEANUP(cis_buf_done) struct cis_buf guide = CIS_BUF_INIT(CIS_SKILL_GUIDE_MAX);
    cis_code code = cis_skill_guide(home, cis_str_of(cli->tenant), &s, &guide, err);
    bool there = code != CIS_E_NOTFOUND;
    CIS_TRY(there ? code : CIS_OK);
    if (cli->json) {
        return info_json(&s, label, when, there ? cis_buf_cstr(&guide) : NULL, err);
    }
    info_text(&s, label, when);
    if (there) {
        CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(4u * CIS_SKILL_GUIDE_MAX);
        cis_cli_printable(&text, cis_buf_view(&guide));
        cis_cli_line(stdout, "\n" CIS_SKILL_GUIDE ":");
        cis_cli_out(text.ptr, text.len);
    }
    return CIS_OK;
}

const struct cis_cli_command cis_cmd_skill_list = {
    .name = "skill list", .max_args = 0, .skill = list};

const struct cis_cli_command cis_cmd_skill_info = {
    .name = "skill info", .min_args = 1, .max_args = 1, .skill = info};
