/* Sets up the memory of a new project, and remembers that it did: the first run writes the profile,
 * later runs change only what the input names. Uses log and memory, nothing else. */
#include "cis_json.h"
#include "cis_skill.h"

#define PROFILE "profile"
#define RUNS "runs"

static int fail(const char *what, const char *why)
{
    struct json_out out = {0};
    json_text(&out, "{\"success\":false,\"error\":");
    json_quote(&out, what, strlen(what));
    json_text(&out, ",\"reason\":");
    json_quote(&out, why, strlen(why));
    json_text(&out, "}");
    cis_log(CIS_ERROR, what);
    cis_output(out.text, out.len);
    return 1;
}

/* Letters, digits, '-', '_' and '.', at most 64. */
static bool name_ok(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return len > 0 && len <= 64;
}

/* "name":VALUE of the input, else of the stored profile, else the default. */
static void put_field(struct json_out *out, const char *name, struct json input, struct json old,
                      const char *fallback)
{
    struct json value = json_member(input, name);
    if (value.len == 0) {
        value = json_member(old, name);
    }
    json_text(out, out->text[out->len - 1] == '{' ? "" : ",");
    json_quote(out, name, strlen(name));
    json_text(out, ":");
    if (value.len != 0) {
        json_raw(out, value.at, value.len);
    } else {
        json_text(out, fallback);
    }
}

CIS_SKILL_ENTRY(input, len)
{
    struct json in = json_of(input, (size_t)len);
    size_t old_len = 0, runs_len = 0, name_len = 0;
    int32_t code = 0;

    cis_log(CIS_INFO, "reading the profile");
    char *old_text = cis_memory_get(PROFILE, &old_len, &code);
    if (old_text == NULL && code != CIS_ABSENT) {
        return fail("cannot read the profile", cis_result_text(code));
    }
    char *runs_text = cis_memory_get(RUNS, &runs_len, &code);
    long runs = runs_text != NULL ? strtol(runs_text, NULL, 10) + 1 : 1;
    struct json old = old_text != NULL ? json_of(old_text, old_len) : (struct json){NULL, 0};

    struct json wanted = json_member(in, "project");
    char *name = json_string(wanted, &name_len);
    if (wanted.len != 0 && (name == NULL || !name_ok(name, name_len))) {
        return fail("project is not a name", "letters, digits, '-', '_' and '.', at most 64");
    }
    if (name == NULL && old_text == NULL) {
        return fail("project is missing", "the first run needs {\"project\":\"NAME\"}");
    }

    struct json_out profile = {0};
    json_text(&profile, "{");
    put_field(&profile, "project", in, old, "null");
    put_field(&profile, "language", in, old, "\"unknown\"");
    put_field(&profile, "features", in, old, "[]");
    json_text(&profile, "}");

    bool changed =
        old_text == NULL || old_len != profile.len || memcmp(old_text, profile.text, old_len) != 0;
    struct json_out count = {0};
    json_int(&count, runs);
    cis_log(CIS_INFO, old_text == NULL ? "first run: writing the profile"
                      : changed        ? "updating the profile"
                                       : "nothing to change");
    code = changed ? cis_memory_set(PROFILE, profile.text, profile.len) : CIS_DONE;
    if (count.failed) {
        return fail("out of memory", "the guest's memory is used up");
    }
    if (code == CIS_DONE) {
        code = cis_memory_set(RUNS, count.text, count.len);
    }
    if (code != CIS_DONE) {
        return fail("cannot write the profile", cis_result_text(code));
    }

    struct json_out out = {0};
    json_text(&out, "{\"success\":true,\"first_run\":");
    json_text(&out, old_text == NULL ? "true" : "false");
    json_text(&out, changed ? ",\"changed\":true,\"runs\":" : ",\"changed\":false,\"runs\":");
    json_int(&out, runs);
    json_text(&out, ",\"profile\":");
    json_raw(&out, profile.text, profile.len);
    json_text(&out, "}");
    if (out.failed || profile.failed) {
        return fail("out of memory", "the guest's memory is used up");
    }
    cis_output(out.text, out.len);
    cis_log(CIS_INFO, "done");
    return 0;
}
