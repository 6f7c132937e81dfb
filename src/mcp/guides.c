/* What skills tell agents of themselves (SKILL.md), as resources: read with the tools when the
 * server starts, so that it is the text of the skill that was installed. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/mem.h"
#include "skill/guide.h"

#define SKILLS "cis:///skills/"
#define GUIDES_MAX 1000u
#define BYTES_MAX ((size_t)16 << 20) /* of all of them */

struct mcp_guide {
    char *skill;
    struct cis_buf text;
};

void cis_mcp_guides_done(struct cis_mcp *m)
{
    for (size_t i = 0; i < m->nguides; i++) {
        cis_free(m->guides[i].skill);
        cis_buf_done(&m->guides[i].text);
    }
    cis_free(m->guides);
}

static void left_out(struct cis_mcp *m, const char *skill, const char *why)
{
    char line[CIS_ERROR_MSG_MAX + 128];
    snprintf(line, sizeof line, "skill %.64s: its " CIS_SKILL_GUIDE " is left out: %s", skill, why);
    m->o.say(m->o.self, line);
}

static cis_code keep(struct cis_mcp *m, const char *skill, struct cis_buf *text,
                     struct cis_error *err)
{
    if (m->nguides == m->guides_cap) {
        size_t cap = cis_cap_next(m->guides_cap, 16, GUIDES_MAX);
        struct mcp_guide *more = cis_realloc_array(m->guides, cap, sizeof *more);
        m->guides = more != NULL ? more : m->guides;
        m->guides_cap = more != NULL ? cap : m->guides_cap;
    }
    char *name = cis_strdup(skill);
    if (name == NULL || m->nguides == m->guides_cap) {
        cis_free(name);
        return cis_fail(err, CIS_E_NOMEM, "skills: out of memory, or more than %u", GUIDES_MAX);
    }
    m->guides_bytes += text->len;
    m->guides[m->nguides++] = (struct mcp_guide){name, *text};
    *text = (struct cis_buf){0};
    return CIS_OK;
}

cis_code cis_mcp_guides_add(struct cis_mcp *m, const struct cis_installed *skill,
                            struct cis_error *err)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(CIS_SKILL_GUIDE_MAX);
    struct cis_error why = {0};
    cis_code code = cis_skill_guide(&m->o.home, cis_str_of(m->o.tenant), skill, &text, &why);
    if (code == CIS_E_NOTFOUND) {
        return CIS_OK;
    }
    if (code != CIS_OK) {
        left_out(m, skill->name, why.msg);
        return CIS_OK;
    }
    if (m->guides_bytes + text.len > BYTES_MAX) {
        left_out(m, skill->name, "those of all skills are too long together");
        return CIS_OK;
    }
    return keep(m, skill->name, &text, err);
}

json_t *cis_mcp_guide_item(const struct cis_mcp *m, size_t i)
{
    return json_pack("{s:o,s:s,s:o,s:s}", "uri",
                     json_sprintf(SKILLS "%s/" CIS_SKILL_GUIDE, m->guides[i].skill), "name",
                     m->guides[i].skill, "title",
                     json_sprintf("What the skill %s says of itself", m->guides[i].skill),
                     "mimeType", "text/markdown");
}

const struct cis_buf *cis_mcp_guide_find(const struct cis_mcp *m, struct cis_str uri)
{
    const struct cis_str begin = CIS_STR(SKILLS), end = CIS_STR("/" CIS_SKILL_GUIDE);
    if (!cis_str_starts(uri, begin) || uri.len <= begin.len + end.len ||
        memcmp(uri.ptr + uri.len - end.len, end.ptr, end.len) != 0) {
        return NULL;
    }
    struct cis_str name = {uri.ptr + begin.len, uri.len - begin.len - end.len};
    for (size_t i = 0; i < m->nguides; i++) {
        if (cis_str_is(name, m->guides[i].skill)) {
            return &m->guides[i].text;
        }
    }
    return NULL;
}
