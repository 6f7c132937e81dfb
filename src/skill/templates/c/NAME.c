/* @NAME@: greets {"name": "…"} and counts how often, in the skill's own memory. */
#include "cis_json.h"
#include "cis_skill.h"

CIS_SKILL_ENTRY(input, len)
{
    size_t name_len = 0, count_len = 0;
    int32_t code = 0;
    char *name = json_string(json_member(json_of(input, (size_t)len), "name"), &name_len);
    if (name == NULL) {
        cis_log(CIS_ERROR, "the input needs a name: {\"name\":\"Ada\"}");
        return 1; /* the skill failed: nothing it wrote is kept */
    }
    char *count = cis_memory_get("count", &count_len, &code);
    struct json_out next = {0}, out = {0};
    json_int(&next, count != NULL ? strtol(count, NULL, 10) + 1 : 1);
    code = cis_memory_set("count", next.text, next.len);
    if (code != CIS_DONE) {
        cis_log(CIS_WARN, cis_result_text(code)); /* not granted: it works without a memory */
    }
    json_text(&out, "{\"greeting\":");
    json_quote(&out, name, name_len);
    json_text(&out, ",\"count\":");
    json_raw(&out, next.text, next.len);
    json_text(&out, "}");
    cis_output(out.text, out.len);
    return 0;
}
