/* What is known of each setting, for the manual. */
#include <ctype.h>
#include <inttypes.h>
#include "config/internal.h"

void cis_setting_variable(const struct cis_setting *s, char out[CIS_SETTING_VARIABLE])
{
    size_t n = 4;
    memcpy(out, "CIS_", n);
    for (const char *p = s->name; *p != 0 && n < CIS_SETTING_VARIABLE - 1; p++) {
        out[n++] = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
    }
    out[n] = 0;
}

static void choices(const struct cis_setting *s, struct cis_buf *out)
{
    struct cis_str rest = cis_str_of(s->choices), one;
    for (bool first = true; rest.len != 0; first = false) {
        cis_str_split(&rest, '|', &one);
        cis_buf_text(out, first ? "" : rest.len != 0 ? ", " : " or ");
        cis_buf_str(out, one);
    }
}

static void bounds(const struct cis_setting *s, struct cis_buf *out)
{
    switch (s->kind) {
    case CIS_SETTING_SIZE:
    case CIS_SETTING_TIME:
    case CIS_SETTING_MILLIS:
    case CIS_SETTING_U64:
    case CIS_SETTING_U32:
    case CIS_SETTING_DOUBLE:
        if (s->max == INT64_MAX && s->min == 0) {
            return;
        }
        cis_buf_text(out, s->max == INT64_MAX ? "at least " : "");
        cis_setting_number(s, s->min, out);
        if (s->max != INT64_MAX) {
            cis_buf_text(out, " to ");
            cis_setting_number(s, s->max, out);
        }
        break;
    case CIS_SETTING_LIST:
        cis_buf_printf(out, "at most %" PRIu64 " items", s->max);
        break;
    case CIS_SETTING_BOOL:
        cis_buf_text(out, "true or false");
        break;
    case CIS_SETTING_CHOICE:
        choices(s, out);
        break;
    case CIS_SETTING_TEXT:
        break;
    }
}

void cis_settings_each(void *self, void (*each)(void *self, const struct cis_setting_about *s))
{
    for (size_t i = 0; i < cis_settings_count; i++) {
        const struct cis_setting *s = &cis_settings[i];
        CIS_CLEANUP(cis_buf_done) struct cis_buf range = CIS_BUF_INIT(1024);
        char variable[CIS_SETTING_VARIABLE];
        cis_setting_variable(s, variable);
        bounds(s, &range);
        const struct cis_setting_about about = {
            .name = s->name,
            .variable = s->kind != CIS_SETTING_LIST ? variable : NULL,
            .def = s->def,
            .bounds = cis_buf_cstr(&range),
            .flag = s->flag,
            .help = s->help,
        };
        each(self, &about);
    }
}
