/* What providers want to read and what they answer. Shapes are checked, never assumed. */
#include "base/json_write.h"
#include "service/ai/internal.h"

static void write_head(const struct cis_ai *ai, struct cis_str prompt, struct cis_buf *out)
{
    cis_json_write(out, CIS_JSON(CIS_J_OPEN(NULL), CIS_J("model", ai->model),
                                 CIS_J_BOOL("stream", false), CIS_J_LIST("messages"),
                                 CIS_J_OPEN(NULL), CIS_J("role", "user"), CIS_J("content", prompt),
                                 CIS_J_CLOSE, CIS_J_LIST_END));
}

static void write_temperature(const struct cis_ai *ai, struct cis_buf *out)
{
    if (ai->temperature >= 0) { /* the locale's decimal point must not reach JSON */
        unsigned thousandths = (unsigned)(ai->temperature * 1000 + 0.5);
        char text[32];
        snprintf(text, sizeof text, "%u.%03u", thousandths / 1000, thousandths % 1000);
        cis_json_write(out, CIS_JSON(CIS_J_RAW("temperature", cis_str_of(text))));
    }
}

static uint64_t count(const json_t *object, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(object, name));
    return n > 0 ? (uint64_t)n : 0;
}

static bool take_text(const json_t *value, struct cis_buf *out)
{
    if (!json_is_string(value)) {
        return false;
    }
    cis_buf_add(out, json_string_value(value), json_string_length(value));
    return true;
}

/* ---- OpenAI and those who speak like it ---- */
static void openai_write(const struct cis_ai *ai, struct cis_str prompt, uint32_t max_tokens,
                         struct cis_buf *out)
{
    write_head(ai, prompt, out);
    /* The original has renamed the field and refuses the old name for newer models; those who are
     * compatible know the old one. */
    const char *name = ai->own_url ? "max_tokens" : "max_completion_tokens";
    cis_json_write(out, CIS_JSON(CIS_J(name, max_tokens)));
    write_temperature(ai, out);
    cis_buf_byte(out, '}');
}

static bool openai_read(const json_t *reply, struct cis_buf *out, struct cis_ai_usage *usage)
{
    const json_t *choice = json_array_get(json_object_get(reply, "choices"), 0);
    const json_t *told = json_object_get(reply, "usage");
    usage->input_tokens = count(told, "prompt_tokens");
    usage->output_tokens = count(told, "completion_tokens");
    return take_text(json_object_get(json_object_get(choice, "message"), "content"), out);
}

/* ---- Anthropic ---- */
static void anthropic_write(const struct cis_ai *ai, struct cis_str prompt, uint32_t max_tokens,
                            struct cis_buf *out)
{
    write_head(ai, prompt, out);
    cis_json_write(out, CIS_JSON(CIS_J("max_tokens", max_tokens)));
    write_temperature(ai, out);
    cis_buf_byte(out, '}');
}

static bool anthropic_read(const json_t *reply, struct cis_buf *out, struct cis_ai_usage *usage)
{
    const json_t *blocks = json_object_get(reply, "content");
    const json_t *told = json_object_get(reply, "usage");
    usage->input_tokens = count(told, "input_tokens");
    usage->output_tokens = count(told, "output_tokens");
    if (!json_is_array(blocks)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(blocks); i++) {
        const json_t *block = json_array_get(blocks, i);
        const char *type = json_string_value(json_object_get(block, "type"));
        if (type == NULL) {
            return false;
        }
        if (strcmp(type, "text") == 0 && !take_text(json_object_get(block, "text"), out)) {
            return false;
        }
    }
    return true;
}

/* ---- Ollama ---- */
static void ollama_write(const struct cis_ai *ai, struct cis_str prompt, uint32_t max_tokens,
                         struct cis_buf *out)
{
    write_head(ai, prompt, out);
    cis_json_write(out, CIS_JSON(CIS_J_OPEN("options"), CIS_J("num_predict", max_tokens)));
    write_temperature(ai, out);
    cis_buf_text(out, "}}");
}

static bool ollama_read(const json_t *reply, struct cis_buf *out, struct cis_ai_usage *usage)
{
    usage->input_tokens = count(reply, "prompt_eval_count");
    usage->output_tokens = count(reply, "eval_count");
    return take_text(json_object_get(json_object_get(reply, "message"), "content"), out);
}

static const struct cis_ai_dialect dialects[] = {
    {"openai", "https://api.openai.com/v1", "OPENAI_API_KEY", "/chat/completions", openai_write,
     openai_read},
    {"anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", "/v1/messages", anthropic_write,
     anthropic_read},
    {"ollama", "http://127.0.0.1:11434", NULL, "/api/chat", ollama_write, ollama_read},
};

const struct cis_ai_dialect *cis_ai_dialect_of(const char *provider)
{
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) {
        if (strcmp(dialects[i].name, provider) == 0) {
            return &dialects[i];
        }
    }
    return NULL;
}
