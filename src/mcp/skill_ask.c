/* What skills ask the person for: their own questions, and what they were refused. Only what a
 * manifest asks for is ever offered, in the words of this server; what the person allows holds for
 * what was shown, and for nothing else. */
#include "mcp/internal.h"

#include <stdio.h>
#include "base/mem.h"
#include "host/form.h"

#define GRANT "cis/grant/" /* no key of a guest has a slash */
#define TEXTS_MAX 256u

/* ---- answers ---- */

void cis_mcp_answers_done(struct mcp_answers *a)
{
    for (size_t i = 0; i < a->n; i++) {
        cis_free((void *)(uintptr_t)a->items[i].json.ptr);
    }
    cis_free(a->items);
    *a = (struct mcp_answers){0};
}

cis_code cis_mcp_answers_take(const struct mcp_call *call, struct mcp_answers *out,
                              struct cis_error *err)
{
    const char *key;
    json_t *one;
    size_t n = json_object_size(call->answers);
    out->items = cis_calloc(cis_size_add(n, 1), sizeof *out->items);
    if (out->items == NULL) {
        return cis_fail(err, CIS_E_NOMEM, "answers: out of memory");
    }
    json_object_foreach(call->answers, key, one)
    {
        json_t *content = json_object_get(one, "content");
        if (content == NULL || strchr(key, '/') != NULL) {
            continue;
        }
        char *text = json_dumps(content, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text == NULL) {
            return cis_fail(err, CIS_E_NOMEM, "answers: out of memory");
        }
        out->items[out->n++] = (struct cis_ask_answer){cis_str_of(key), cis_str_of(text)};
    }
    return CIS_OK;
}

/* ---- grants ---- */

static void key_of(unsigned grant, char out[64])
{
    snprintf(out, 64, GRANT "%s", cis_grant_name((enum cis_grant)grant));
}

/* The texts of that kind that the manifest asks for and the skill does not have. */
static json_t *wanted(const struct cis_installed *skill, unsigned grant)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf json = CIS_BUF_INIT(1u << 20);
    cis_grants_json(&skill->manifest.asked, &json);
    json_t *all = json_loadb((const char *)json.ptr, json.len, 0, NULL), *list = json_array();
    for (size_t i = 0; i < json_array_size(all) && json_array_size(list) < TEXTS_MAX; i++) {
        json_t *text = json_array_get(all, i);
        struct cis_grants one = CIS_GRANTS_INIT;
        if (json_is_string(text) &&
            cis_grants_add(&one, cis_str_of(json_string_value(text)), NULL) == CIS_OK &&
            cis_grants_has(&one, (enum cis_grant)grant) &&
            !cis_grants_cover(&skill->grants, &one)) {
            json_array_append(list, text);
        }
        cis_grants_done(&one);
    }
    json_decref(all);
    return list;
}

uint32_t cis_mcp_grants_askable(const struct mcp_call *call, const struct cis_installed *skill)
{
    uint32_t bits = 0;
    for (unsigned g = 1; call->mcp->o.ask_grants && g < CIS_GRANT_COUNT; g++) {
        char key[64];
        key_of(g, key);
        json_t *list = json_object_get(call->answers, key) == NULL ? wanted(skill, g) : NULL;
        bits |= json_array_size(list) != 0 ? CIS_GRANT_BIT(g) : 0;
        json_decref(list);
    }
    return bits;
}

/* What the person said to a question for grants: the list that was shown; NULL: not this word. */
static const json_t *allowed(const struct mcp_call *call, const char *key, const char *word)
{
    const json_t *about, *content = cis_mcp_ask_content(call, key, &about);
    bool ours = call->mcp->o.ask_grants && strncmp(key, GRANT, strlen(GRANT)) == 0;
    return ours && cis_str_is(cis_mcp_field(content, "allow"), word) ? about : NULL;
}

cis_code cis_mcp_grants_keep(const struct mcp_call *call, const struct mcp_tool *tool,
                             struct cis_error *err)
{
    const struct cis_skill_home home = cis_mcp_home(call);
    const char *key;
    json_t *one;
    json_object_foreach(call->answers, key, one)
    {
        const json_t *list = allowed(call, key, "always");
        struct cis_str texts[TEXTS_MAX];
        size_t n = 0;
        for (; n < json_array_size(list) && n < TEXTS_MAX; n++) {
            texts[n] = cis_str_of(json_string_value(json_array_get(list, n)));
        }
        if (n == 0) {
            continue;
        }
        CIS_TRY(cis_skill_grant_to(&home, cis_str_of(call->mcp->o.tenant), cis_str_of(tool->skill),
                                   tool->digest, texts, n, err));
        json_object_set_new(json_object_get(one, "content"), "allow", json_string("kept"));
    }
    return CIS_OK;
}

cis_code cis_mcp_grants_once(const struct mcp_call *call, struct cis_installed *skill,
                             struct cis_error *err)
{
    const char *key;
    json_t *one;
    struct cis_grants extra CIS_CLEANUP(cis_grants_done) = CIS_GRANTS_INIT;
    json_object_foreach(call->answers, key, one)
    {
        const json_t *list = allowed(call, key, "once");
        for (size_t i = 0; i < json_array_size(list); i++) {
            struct cis_str text = cis_str_of(json_string_value(json_array_get(list, i)));
            CIS_TRY(cis_grants_add(&extra, text, err));
            /* It was asked for by the manifest that was shown; the digest says it is this one. */
            if (!cis_grants_cover(&skill->manifest.asked, &extra)) {
                return cis_fail(err, CIS_E_DENIED, "%s: its manifest does not ask for %.80s",
                                skill->name, text.ptr);
            }
            CIS_TRY(cis_grants_add(&skill->grants, text, err));
        }
    }
    return CIS_OK;
}

static json_t *grant_request(const char *tool, const json_t *list)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf text = CIS_BUF_INIT(3072);
    cis_buf_printf(&text, "may it use these, which it was not granted, to go on with %s?", tool);
    for (size_t i = 0; i < json_array_size(list); i++) {
        cis_buf_printf(&text, "\n- %s", json_string_value(json_array_get(list, i)));
    }
    if (text.failed != CIS_OK) { /* nothing is allowed that was not shown */
        return NULL;
    }
    return json_pack("{s:o,s:{s:s,s:{s:{s:s,s:s,s:[s,s,s],s:[s,s,s],s:s}},s:[s]}}", "message",
                     cis_mcp_text(cis_buf_view(&text)), "schema", "type", "object", "properties",
                     "allow", "type", "string", "title", "Allow it", "enum", "no", "once", "always",
                     "enumNames", "No", "For this call", "Always", "default", "no", "required",
                     "allow");
}

static cis_code ask_for_grants(struct mcp_call *call, const struct mcp_tool *tool,
                               const struct cis_installed *skill, uint32_t refused,
                               struct cis_error *err)
{
    unsigned g = 1;
    char key[64], who[128];
    while (g < CIS_GRANT_COUNT && (refused & CIS_GRANT_BIT(g)) == 0) {
        g++;
    }
    key_of(g, key);
    snprintf(who, sizeof who, "The skill %.80s", skill->name);
    json_t *list = wanted(skill, g);
    json_t *request = grant_request(tool->name, list);
    struct mcp_question q = {.key = key, .who = who, .request = request, .about = list};
    cis_code code =
        request != NULL
            ? cis_mcp_ask(call, &q, err)
            : cis_fail(err, CIS_E_DENIED,
                       "%s: was refused more than can be asked for: cis skill grant", skill->name);
    json_decref(request);
    json_decref(list);
    return code;
}

/* ---- its own questions ---- */

/* NULL: it is a question to the person. */
static json_t *about_of(const json_t *request)
{
    return json_object_get(request, "sampling") != NULL ? json_string("sampling/createMessage")
           : json_object_get(request, "roots") != NULL  ? json_string("roots/list")
                                                        : NULL;
}

static cis_code ask_one(struct mcp_call *call, const char *who, const char *key,
                        const json_t *request, const char *why, struct cis_error *err)
{
    json_t *about = about_of(request);
    if (about != NULL && why != NULL) { /* no person who would say it otherwise */
        json_decref(about);
        return cis_fail(err, CIS_E_INVALID,
                        "%.80s asks the client, whose answer does not fit: %.160s", who, why);
    }
    struct mcp_question q = {
        .key = key, .who = who, .request = request, .about = about, .why = why, .foreign = true};
    cis_code code = cis_mcp_ask(call, &q, err);
    json_decref(about);
    return code;
}

static bool is_lacking(const struct mcp_call *call, const json_t *request)
{
    json_t *about = about_of(request);
    const char *lacks = cis_mcp_ask_lacks(call, about);
    json_decref(about);
    return lacks != NULL;
}

/* Has it an answer that fits? */
static bool is_answered(const struct mcp_call *call, const char *key, const json_t *request,
                        struct cis_error *why)
{
    const json_t *content = cis_mcp_ask_content(call, key, NULL);
    return content != NULL &&
           (json_is_null(content) || cis_form_fits(request, content, why) == CIS_OK);
}

/* Of several: those that have no answer which fits. What this client cannot be asked is answered
 * with no, unless nothing else is asked. In the revisions with sessions the first one is asked: the
 * run begins anew with its answer. */
static cis_code ask_all(struct mcp_call *call, const char *who, json_t *all, const char *unfit,
                        struct cis_error *err)
{
    cis_code code = CIS_OK, lacking = CIS_OK;
    size_t asked = 0;
    const char *key;
    json_t *one;
    json_object_foreach(all, key, one)
    {
        struct cis_error why = {0};
        bool answered = is_answered(call, key, one, &why), skip = is_lacking(call, one);
        if (answered || (asked != 0 && !skip && !call->modern)) {
            continue;
        }
        if (skip) {
            lacking = ask_one(call, who, key, one, NULL, err);
            continue;
        }
        code = ask_one(call, who, key, one, why.msg[0] != 0 ? why.msg : NULL, err);
        if (code != CIS_OK && code != CIS_E_INPUT_REQUIRED) {
            return code;
        }
        asked++;
    }
    json_object_foreach(all, key, one)
    {
        if (asked != 0 && is_lacking(call, one)) {
            cis_mcp_ask_skip(call, key);
        }
    }
    if (asked == 0 &&
        lacking == CIS_OK) { /* all fit here, and not in the run: too long, a zero byte */
        return cis_fail(err, CIS_E_INVALID, "%.80s asks, and an answer is no good: %.160s", who,
                        unfit);
    }
    return asked != 0 ? code : lacking;
}

cis_code cis_mcp_skill_ask(struct mcp_call *call, const struct mcp_tool *tool,
                           const struct cis_installed *skill, const struct cis_run_outcome *o,
                           struct cis_error *err)
{
    if (o->refused != 0) {
        return ask_for_grants(call, tool, skill, o->refused, err);
    }
    json_t *question = json_loadb((const char *)o->question.ptr, o->question.len, 0, NULL);
    const char *key = json_string_value(json_object_get(question, "key"));
    char who[128];
    snprintf(who, sizeof who, "The skill %.80s", skill->name);
    bool again = key != NULL && cis_mcp_ask_content(call, key, NULL) != NULL;
    const json_t *request = json_object_get(question, "request");
    json_t *all = json_object_get(request, "all");
    cis_code code = key == NULL ? cis_fail(err, CIS_E_INTERNAL, "%s: no question", skill->name)
                    : all != NULL
                        ? ask_all(call, who, all, o->error.msg, err)
                        : ask_one(call, who, key, request, again ? o->error.msg : NULL, err);
    json_decref(question);
    return code;
}
