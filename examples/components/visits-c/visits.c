/* Greets, and counts in its memory how often it met each name. Input {"name":"Ada"}. */
#include "cis_component.h"
#include "cis_json.h"

CIS_COMPONENT_RUN(input)
{
    size_t len = 0;
    char *name = json_string(json_member(json_of(input.at, input.len), "name"), &len);
    if (name == NULL || len == 0) {
        return cis_err("name is missing: the input is {\"name\":\"Ada\"}");
    }
    struct json_out key = {0}, count = {0}, line = {0}, out = {0};
    struct cis_text known;
    json_text(&key, "visits/");
    json_raw(&key, name, len + 1); /* with its zero */
    enum cis_fault fault = cis_memory_get(key.text, &known);
    if (fault != CIS_FINE) {
        return cis_err(cis_fault_text(fault));
    }
    long visits = known.at != NULL ? atol(known.at) + 1 : 1;
    json_int(&count, visits);
    fault = cis_memory_set(key.text, count.text, count.len);
    if (fault != CIS_FINE) {
        return cis_err(cis_fault_text(fault));
    }
    json_text(&line, "met ");
    json_raw(&line, name, len + 1);
    cis_log(CIS_INFO, line.text);
    json_text(&out, "{\"hello\":");
    json_quote(&out, name, len);
    json_text(&out, ",\"visits\":");
    json_int(&out, visits);
    json_text(&out, "}");
    return out.failed ? cis_err("out of memory") : cis_ok(out.text, out.len);
}
