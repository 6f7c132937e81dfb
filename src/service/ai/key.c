/* The API key: read late, wiped early, never shown. */
#include <stdlib.h>
#include "base/crypto.h"
#include "base/file.h"
#include "service/ai/internal.h"

#define KEY_MAX 8192u
#define SHOWN_MAX 7u /* a piece of the key this short says nothing */

void cis_ai_key_done(struct cis_buf *key)
{
    if (key->ptr != NULL) {
        cis_wipe(key->ptr, key->cap);
    }
    cis_buf_done(key);
}

/* A key goes into a header: nothing but visible ASCII. */
static bool sound(struct cis_str key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] <= 0x20 || key.ptr[i] >= 0x7F) {
            return false;
        }
    }
    return key.len != 0;
}

static void trim(struct cis_buf *key)
{
    struct cis_str view = cis_str_trim(cis_buf_view(key));
    if (view.len != 0) {
        memmove(key->ptr, view.ptr, view.len);
    }
    key->len = view.len;
    if (key->ptr != NULL) {
        key->ptr[key->len] = 0;
    }
}

bool cis_ai_key_is_in(const char *api_key_env, const char *variable)
{
    static const char *const providers[] = {"openai", "anthropic", "ollama"};
    bool is = api_key_env != NULL && strcmp(api_key_env, variable) == 0;
    for (size_t i = 0; !is && i < sizeof providers / sizeof *providers; i++) {
        const struct cis_ai_dialect *dialect = cis_ai_dialect_of(providers[i]);
        is = dialect != NULL && dialect->key_env != NULL && strcmp(dialect->key_env, variable) == 0;
    }
    return is;
}

cis_code cis_ai_key_read(const struct cis_ai *ai, struct cis_buf *out_key, struct cis_error *err)
{
    /* All at once: a growing buffer would leave copies behind. */
    *out_key = CIS_BUF_INIT(KEY_MAX);
    if (cis_buf_reserve(out_key, KEY_MAX) == NULL) {
        return cis_buf_check(out_key, "ai key", err);
    }
    const char *variable = ai->key_env;
    if (ai->key_file != NULL) {
        cis_code code = cis_file_read(ai->key_file, out_key, err);
        if (code != CIS_OK) {
            return cis_error_prefix(err, CIS_E_PROVIDER, "ai.api_key_file");
        }
        variable = ai->key_file;
    } else {
        if (variable == NULL && ai->dialect != NULL) {
            variable = ai->dialect->key_env;
        }
        const char *value = variable != NULL ? getenv(variable) : NULL;
        if (value != NULL) {
            cis_buf_text(out_key, value);
        }
    }
    CIS_TRY(cis_buf_check(out_key, "ai key", err));
    trim(out_key);
    if (out_key->len == 0) {
        bool wanted = ai->key_env != NULL || ai->key_file != NULL;
        bool needed = ai->dialect != NULL && ai->dialect->key_env != NULL && !ai->own_url;
        if (!wanted && !needed) {
            return CIS_OK; /* a server of the user's own that asks for none */
        }
        return cis_fail(err, CIS_E_PROVIDER,
                        "ai: no API key in %s (set it, or ai.api_key_env or ai.api_key_file)",
                        variable);
    }
    if (!sound(cis_buf_view(out_key))) {
        return cis_fail(err, CIS_E_PROVIDER,
                        "ai: the API key in %s contains characters that a key cannot have",
                        variable);
    }
    return CIS_OK;
}

/* Length of the longest start of text that lies somewhere in key. */
static size_t piece(struct cis_str text, struct cis_str key)
{
    size_t best = 0;
    for (size_t i = 0; i < key.len; i++) {
        size_t n = 0;
        while (n < text.len && i + n < key.len && text.ptr[n] == key.ptr[i + n]) {
            n++;
        }
        best = n > best ? n : best;
    }
    return best;
}

void cis_ai_redact(struct cis_str text, struct cis_str key, struct cis_buf *out)
{
    for (size_t i = 0; i < text.len;) {
        struct cis_str rest = {text.ptr + i, text.len - i};
        size_t n = key.len != 0 ? piece(rest, key) : 0;
        if (n > SHOWN_MAX || (n != 0 && n == key.len)) {
            cis_buf_text(out, "[key]");
            i += n;
        } else {
            cis_buf_byte(out, (uint8_t)text.ptr[i++]);
        }
    }
}
