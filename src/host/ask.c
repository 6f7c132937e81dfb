/* Questions to the person, and how far a run is. A question is answered before the run begins or
 * not at all: nobody waits inside a run. */
#include "base/json.h"
#include "base/json_write.h"
#include "host/form.h"
#include "host/internal.h"

#define MESSAGE_MAX 256u /* of progress */
#define BAD_KEY "a key has 1 to %u letters, digits, \"_\", \"-\" and \".\""

static bool key_good(struct cis_str key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '.') {
            return false;
        }
    }
    return key.len != 0 && key.len <= CIS_HOST_ASK_KEY_MAX;
}

/* Parsing costs the host many times the text. */
static json_t *parse(struct cis_str text)
{
    return cis_json_reads(text.ptr, text.len)
               ? json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL)
               : NULL;
}

static const struct cis_ask_answer *answer_to(const struct cis_host *host, struct cis_str key)
{
    for (size_t i = host->nanswers; i > 0; i--) { /* the last one that was given */
        if (cis_str_eq(host->answers[i - 1].key, key)) {
            return &host->answers[i - 1];
        }
    }
    return NULL;
}

/* "null" is the person's no; everything else has to fit. */
static cis_code answer_fits(const json_t *request, struct cis_str text, struct cis_error *err)
{
    json_t *content = text.len <= CIS_HOST_ASK_ANSWER_MAX ? parse(text) : NULL;
    cis_code code = content == NULL         ? cis_fail(err, CIS_E_INVALID, "not JSON")
                    : json_is_null(content) ? CIS_OK
                                            : cis_form_fits(request, content, err);
    json_decref(content);
    return code;
}

/* What the report and whoever asks the person need. */
static cis_code leave_open(struct cis_host *host, struct cis_str key, struct cis_str request,
                           const char *why, struct cis_error *err)
{
    struct cis_buf *out = &host->question;
    cis_buf_reset(out);
    cis_json_object(out, CIS_JSON(CIS_J("key", key), CIS_J_RAW("request", cis_str_trim(request))));
    CIS_TRY(cis_buf_check(out, "question", err));
    return why[0] == 0 ? cis_fail(err, CIS_E_INPUT_REQUIRED,
                                  "asks the person: no answer to %.64s (--answer %.64s=JSON)",
                                  key.ptr, key.ptr)
                       : cis_fail(err, CIS_E_INPUT_REQUIRED, "the answer to %.64s does not fit: %s",
                                  key.ptr, why);
}

/* One that is not several. *out: its answer. */
static cis_code find_answer(const struct cis_host *host, struct cis_str key, const json_t *request,
                            struct cis_str *out, struct cis_error *why)
{
    const struct cis_ask_answer *answer = answer_to(host, key);
    if (answer == NULL) {
        why->msg[0] = 0;
        return CIS_E_NOTFOUND;
    }
    CIS_TRY(answer_fits(request, answer->json, why));
    *out = cis_str_trim(answer->json);
    return CIS_OK;
}

static cis_code add_answers(const struct cis_host *host, json_t *all, struct cis_buf *out,
                            struct cis_error *why)
{
    const char *name;
    json_t *one;
    json_object_foreach(all, name, one)
    {
        struct cis_str answer;
        CIS_TRY(find_answer(host, cis_str_of(name), one, &answer, why));
        cis_buf_text(out, out->len == 0 ? "{" : ",");
        cis_buf_json(out, cis_str_of(name));
        cis_buf_byte(out, ':');
        cis_buf_str(out, answer);
    }
    cis_buf_byte(out, '}');
    return cis_buf_check(out, "answers", why);
}

/* Those to several, as one object. */
static cis_code join(struct cis_host *host, json_t *all, struct cis_error *why)
{
    struct cis_buf *out = &host->answered;
    cis_budget_release(&host->budget, out->len);
    cis_buf_reset(out);
    cis_code code = add_answers(host, all, out, why);
    code = code == CIS_OK ? cis_budget_charge(&host->budget, out->len, "answers", why) : code;
    if (code != CIS_OK) {
        cis_buf_reset(out);
    }
    return code;
}

static cis_code decide(struct cis_host *host, const struct cis_str_pair *question, json_t *request,
                       struct cis_str *out_answer, struct cis_error *err)
{
    char name[CIS_HOST_ASK_KEY_MAX + 1] = "";
    struct cis_error why = {0};
    json_t *all = json_object_get(request, "all");
    memcpy(name, question->key.ptr, question->key.len);
    struct cis_str named = {name, question->key.len};
    cis_code code =
        all != NULL ? join(host, all, &why) : find_answer(host, named, request, out_answer, &why);
    if (code == CIS_OK) {
        *out_answer = all != NULL ? cis_buf_view(&host->answered) : *out_answer;
        return CIS_OK;
    }
    return code == CIS_E_NOTFOUND || code == CIS_E_INVALID
               ? leave_open(host, named, question->value, why.msg, err)
               : cis_fail(err, code, "question %s: %s", name, why.msg);
}

/* What the client itself answers is not the person's to say each time: it was granted. */
static cis_code may_ask(struct cis_host *host, cis_engine_instance *instance, const json_t *request,
                        struct cis_error *err)
{
    const char *name;
    json_t *one;
    if (json_object_get(request, "sampling") != NULL) {
        return cis_host_need(host, instance, CIS_GRANT_AI, "sampling", err);
    }
    if (json_object_get(request, "roots") != NULL) {
        return cis_host_need(host, instance, CIS_GRANT_FS_READ, "roots", err);
    }
    json_object_foreach(json_object_get(request, "all"), name, one)
    {
        if (!key_good(cis_str_of(name))) {
            return cis_fail(err, CIS_E_INVALID, "question: " BAD_KEY, CIS_HOST_ASK_KEY_MAX);
        }
        CIS_TRY(may_ask(host, instance, one, err));
    }
    return CIS_OK;
}

cis_code cis_host_ask(struct cis_host *host, cis_engine_instance *instance,
                      const struct cis_str_pair *question, struct cis_str *out_answer,
                      struct cis_error *err)
{
    struct cis_str key = question->key, request = question->value;
    if (!key_good(key)) {
        return cis_fail(err, CIS_E_INVALID, "question: " BAD_KEY, CIS_HOST_ASK_KEY_MAX);
    }
    if (request.len > CIS_HOST_ASK_REQUEST_MAX) {
        return cis_fail(err, CIS_E_INVALID, "question %.*s: longer than %u bytes", (int)key.len,
                        key.ptr, CIS_HOST_ASK_REQUEST_MAX);
    }
    uint64_t held = (uint64_t)request.len * 32 + 4096; /* while it is looked at */
    CIS_TRY(cis_budget_charge(&host->budget, held, "question", err));
    json_t *form = parse(request);
    cis_code code = form != NULL ? cis_form_check(form, err)
                                 : cis_fail(err, CIS_E_INVALID, "question %.*s: not JSON",
                                            (int)key.len, key.ptr);
    code = code == CIS_OK ? may_ask(host, instance, form, err) : code;
    code = code == CIS_OK ? decide(host, question, form, out_answer, err) : code;
    json_decref(form);
    cis_budget_release(&host->budget, held);
    return code;
}

void cis_host_progress(struct cis_host *host, uint64_t done, uint64_t total, struct cis_str message)
{
    CIS_CLEANUP(cis_buf_done) struct cis_buf line = CIS_BUF_INIT(3u * MESSAGE_MAX);
    if (host->progress == NULL) {
        return;
    }
    cis_host_clean(
        (struct cis_str){message.ptr, cis_utf8_floor(message.ptr, message.len, MESSAGE_MAX)},
        &line);
    struct cis_progress p = {done, total, cis_buf_view(&line)};
    if (line.failed == CIS_OK) {
        cis_host_block(host->instance);
        host->progress(host->progress_self, &p);
        cis_code over = cis_host_unblock(host->instance, NULL);
        (void)over; /* the guest has ended; its next step finds that out */
    }
}
