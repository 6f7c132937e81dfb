/* Forms of questions: checked once when a guest asks, and each answer against them. */
#include "host/form.h"

#include "base/str.h"

#define CHOICES_MAX 256u

struct field {
    const char *name;
    const json_t *spec;
    struct cis_error *err;
};

static cis_code wrong(const struct field *f, const char *what)
{
    int len = (int)cis_utf8_floor(f->name, strlen(f->name), 60);
    return cis_fail(f->err, CIS_E_INVALID, "form, \"%.*s\": %s", len, f->name, what);
}

static bool is(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

static bool one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

/* Nothing that steers a terminal or is not seen; line breaks where they are allowed. */
static bool plain(const json_t *value, bool lines)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    for (size_t i = 0, n; text != NULL && i < len; i += n) {
        for (n = 1; n < 4 && i + n < len && ((unsigned char)text[i + n] & 0xC0) == 0x80; n++) {
        }
        if (cis_utf8_hides(text + i, n) && !(lines && text[i] == '\n')) {
            return false;
        }
    }
    return text != NULL;
}

/* ---- the form ---- */

static bool is_count(const json_t *value)
{
    return value == NULL || (json_is_integer(value) && json_integer_value(value) >= 0);
}

/* A list of texts. */
static bool are_texts(const json_t *list)
{
    size_t i, n = json_array_size(list);
    for (i = 0; i < n && plain(json_array_get(list, i), false); i++) {
    }
    return list == NULL || (json_is_array(list) && n != 0 && n <= CHOICES_MAX && i == n);
}

/* A list of {const, title}. */
static bool are_choices(const json_t *list)
{
    size_t i, n = json_array_size(list);
    for (i = 0; i < n; i++) {
        const json_t *choice = json_array_get(list, i);
        if (json_object_size(choice) != 2 || !plain(json_object_get(choice, "const"), false) ||
            !plain(json_object_get(choice, "title"), false)) {
            return false;
        }
    }
    return list == NULL || (json_is_array(list) && n != 0 && n <= CHOICES_MAX);
}

static cis_code check_items(const struct field *f)
{
    const json_t *items = json_object_get(f->spec, "items");
    const json_t *plain_list = json_object_get(items, "enum"),
                 *any = json_object_get(items, "anyOf");
    bool typed = json_object_get(items, "type") != NULL;
    size_t known = 1u + (typed ? 1u : 0u); /* enum or anyOf, and type */
    if (!json_is_object(items) || (plain_list != NULL) == (any != NULL) ||
        json_object_size(items) != known ||
        (typed && !is(json_object_get(items, "type"), "string")) || !are_texts(plain_list) ||
        !are_choices(any)) {
        return wrong(f, "items must be of strings, by either enum or anyOf");
    }
    return CIS_OK;
}

static cis_code value_fits(const struct field *f, const json_t *value);

static cis_code check_keywords(const struct field *f, const char *const *known)
{
    static const char *const common[] = {"type", "title", "description", "default", NULL};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)f->spec, name, value)
    {
        if (!one_of(name, common) && !one_of(name, known)) {
            return cis_fail(f->err, CIS_E_INVALID,
                            "form, \"%.60s\": %.40s is not a keyword of its type", f->name, name);
        }
        bool text = strcmp(name, "title") == 0 || strcmp(name, "description") == 0 ||
                    strcmp(name, "format") == 0;
        if (text && !plain(value, false)) {
            return wrong(f, "a text of it is not printable");
        }
        bool count = strncmp(name, "min", 3) == 0 || strncmp(name, "max", 3) == 0;
        bool number = strcmp(name, "minimum") == 0 || strcmp(name, "maximum") == 0;
        if (count && (number ? !json_is_number(value) : !is_count(value))) {
            return wrong(f, "a bound of it is not a number, or negative");
        }
    }
    return CIS_OK;
}

static cis_code check_field(const struct field *f)
{
    static const char *const of_text[] = {"minLength", "maxLength", "format", "enum",
                                          "enumNames", "oneOf",     NULL};
    static const char *const of_number[] = {"minimum", "maximum", NULL};
    static const char *const of_list[] = {"minItems", "maxItems", "items", NULL};
    static const char *const of_flag[] = {NULL};
    const json_t *type = json_object_get(f->spec, "type");
    bool list = is(type, "array"), text = is(type, "string"), flag = is(type, "boolean");
    if (!list && !text && !flag && !is(type, "number") && !is(type, "integer")) {
        return wrong(f, "type must be string, number, integer, boolean or array");
    }
    CIS_TRY(check_keywords(f, list ? of_list : text ? of_text : flag ? of_flag : of_number));
    const json_t *choices = json_object_get(f->spec, "enum");
    const json_t *names = json_object_get(f->spec, "enumNames");
    if (!are_texts(choices) || !are_texts(names) ||
        !are_choices(json_object_get(f->spec, "oneOf")) ||
        (names != NULL && json_array_size(names) != json_array_size(choices))) {
        return wrong(f, "its choices are not texts, or {const, title}");
    }
    CIS_TRY(list ? check_items(f) : CIS_OK);
    const json_t *usual = json_object_get(f->spec, "default");
    if (json_is_string(usual) && !plain(usual, false)) {
        return wrong(f, "its default is not printable");
    }
    return usual != NULL ? value_fits(f, usual) : CIS_OK;
}

static cis_code check_required(const json_t *schema, struct cis_error *err)
{
    const json_t *required = json_object_get(schema, "required");
    size_t i, n = json_array_size(required);
    for (i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name == NULL || json_object_get(json_object_get(schema, "properties"), name) == NULL) {
            break;
        }
    }
    return (required == NULL || json_is_array(required)) && i == n && n <= CIS_FORM_FIELDS_MAX
               ? CIS_OK
               : cis_fail(err, CIS_E_INVALID, "form: required must name properties");
}

static cis_code check_schema(const json_t *schema, struct cis_error *err)
{
    const json_t *fields = json_object_get(schema, "properties");
    size_t known = json_object_get(schema, "required") != NULL ? 3 : 2;
    const char *name;
    json_t *spec;
    if (!is(json_object_get(schema, "type"), "object") || !json_is_object(fields) ||
        json_object_size(schema) != known) {
        return cis_fail(err, CIS_E_INVALID,
                        "form: must have type \"object\", properties and required, nothing else");
    }
    if (json_object_size(fields) > CIS_FORM_FIELDS_MAX) {
        return cis_fail(err, CIS_E_INVALID, "form: more than %u properties", CIS_FORM_FIELDS_MAX);
    }
    json_object_foreach((json_t *)(uintptr_t)fields, name, spec)
    {
        json_t *text = json_string(name);
        bool good = plain(text, false) && json_string_length(text) != 0;
        json_decref(text);
        if (!good || !json_is_object(spec)) {
            return cis_fail(err, CIS_E_INVALID,
                            "form: a property has no printable name, or is not "
                            "an object");
        }
        CIS_TRY(check_field(&(struct field){name, spec, err}));
    }
    return check_required(schema, err);
}

static cis_code check_question(const json_t *request, struct cis_error *err)
{
    const json_t *message = json_object_get(request, "message");
    const json_t *schema = json_object_get(request, "schema");
    if (!json_is_object(request) || json_object_size(request) != (schema != NULL ? 2u : 1u) ||
        !plain(message, true) || json_string_length(message) == 0 ||
        json_string_length(message) > CIS_FORM_MESSAGE_MAX) {
        return cis_fail(err, CIS_E_INVALID,
                        "question: must be {\"message\": a printable text of at most %u bytes, "
                        "\"schema\": its form}",
                        CIS_FORM_MESSAGE_MAX);
    }
    return schema != NULL ? check_schema(schema, err) : CIS_OK;
}

/* ---- of the client ---- */

static bool only(const json_t *object, const char *const *names)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!one_of(name, names)) {
            return false;
        }
    }
    return json_is_object(object);
}

static bool turn_good(const json_t *turn)
{
    static const char *const keys[] = {"role", "content", NULL}, *const text[] = {"type", "text",
                                                                                  NULL};
    const json_t *role = json_object_get(turn, "role"), *content = json_object_get(turn, "content");
    return only(turn, keys) && (is(role, "user") || is(role, "assistant")) && only(content, text) &&
           is(json_object_get(content, "type"), "text") &&
           plain(json_object_get(content, "text"), true);
}

static cis_code check_sampling(const json_t *sampling, struct cis_error *err)
{
    static const char *const keys[] = {"messages", "maxTokens", "systemPrompt", "temperature",
                                       NULL};
    const json_t *turns = json_object_get(sampling, "messages");
    const json_t *most = json_object_get(sampling, "maxTokens");
    const json_t *system = json_object_get(sampling, "systemPrompt");
    const json_t *heat = json_object_get(sampling, "temperature");
    size_t i = 0, n = json_array_size(turns);
    while (i < n && turn_good(json_array_get(turns, i))) {
        i++;
    }
    bool good = only(sampling, keys) && n != 0 && i == n && json_is_integer(most) &&
                json_integer_value(most) > 0 && (system == NULL || plain(system, true)) &&
                (heat == NULL || json_is_number(heat));
    return good ? CIS_OK
                : cis_fail(err, CIS_E_INVALID,
                           "sampling: must be {\"messages\": [{\"role\", \"content\": {\"type\": "
                           "\"text\", \"text\"}}], \"maxTokens\", \"systemPrompt\"?, "
                           "\"temperature\"?}");
}

static cis_code check_all(const json_t *all, struct cis_error *err)
{
    const char *name;
    json_t *one;
    if (!json_is_object(all) || json_object_size(all) == 0 ||
        json_object_size(all) > CIS_FORM_ALL_MAX) {
        return cis_fail(err, CIS_E_INVALID, "question: all must be 1 to %u questions by key",
                        CIS_FORM_ALL_MAX);
    }
    json_object_foreach((json_t *)(uintptr_t)all, name, one)
    {
        if (json_object_get(one, "all") != NULL) {
            return cis_fail(err, CIS_E_INVALID, "question %.64s: all within all", name);
        }
        CIS_TRY(cis_form_check(one, err));
    }
    return CIS_OK;
}

cis_code cis_form_check(const json_t *request, struct cis_error *err)
{
    const json_t *sampling = json_object_get(request, "sampling");
    const json_t *roots = json_object_get(request, "roots"), *all = json_object_get(request, "all");
    if (sampling == NULL && roots == NULL && all == NULL) {
        return check_question(request, err);
    }
    if (json_object_size(request) != 1 || (roots != NULL && json_object_size(roots) != 0) ||
        (roots != NULL && !json_is_object(roots))) {
        return cis_fail(err, CIS_E_INVALID,
                        "question: sampling, roots ({}) and all stand alone in it");
    }
    return sampling != NULL ? check_sampling(sampling, err)
           : all != NULL    ? check_all(all, err)
                            : CIS_OK;
}

/* ---- answers ---- */

static size_t characters(const json_t *text)
{
    const char *p = json_string_value(text);
    size_t n = 0;
    for (; *p != 0; p++) {
        n += ((unsigned char)*p & 0xC0) != 0x80;
    }
    return n;
}

/* Among a list of texts or of {const, title}? No list: anything. */
static bool chosen(const json_t *list, const json_t *value)
{
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, i);
        if (json_equal(json_is_object(one) ? json_object_get(one, "const") : one, value)) {
            return true;
        }
    }
    return list == NULL;
}

static bool within(const json_t *spec, const char *low, const char *high, double value)
{
    const json_t *min = json_object_get(spec, low), *max = json_object_get(spec, high);
    return (min == NULL || value >= json_number_value(min)) &&
           (max == NULL || value <= json_number_value(max));
}

static cis_code list_fits(const struct field *f, const json_t *value)
{
    const json_t *items = json_object_get(f->spec, "items");
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n > CHOICES_MAX ||
        !within(f->spec, "minItems", "maxItems", (double)n)) {
        return wrong(f, "not a list of as many choices as it asks for");
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(value, i);
        if (!chosen(json_object_get(items, "enum"), one) ||
            !chosen(json_object_get(items, "anyOf"), one)) {
            return wrong(f, "not one of its choices");
        }
    }
    return CIS_OK;
}

static cis_code value_fits(const struct field *f, const json_t *value)
{
    const json_t *type = json_object_get(f->spec, "type");
    if (is(type, "array")) {
        return list_fits(f, value);
    }
    if (is(type, "boolean")) {
        return json_is_boolean(value) ? CIS_OK : wrong(f, "must be true or false");
    }
    if (!is(type, "string")) {
        bool number = is(type, "integer") ? json_is_integer(value) : json_is_number(value);
        return number && within(f->spec, "minimum", "maximum", json_number_value(value))
                   ? CIS_OK
                   : wrong(f, "not a number within its bounds");
    }
    if (!json_is_string(value)) {
        return wrong(f, "must be a text");
    }
    if (!chosen(json_object_get(f->spec, "enum"), value) ||
        !chosen(json_object_get(f->spec, "oneOf"), value)) {
        return wrong(f, "not one of its choices");
    }
    return within(f->spec, "minLength", "maxLength", (double)characters(value))
               ? CIS_OK
               : wrong(f, "shorter or longer than it may be");
}

/* What a client gives is its own; it has the shape that the protocol has. */
static cis_code client_fits(bool sampling, const json_t *content, struct cis_error *err)
{
    bool good = sampling ? json_is_string(json_object_get(content, "role")) &&
                               json_object_get(content, "content") != NULL &&
                               json_is_string(json_object_get(content, "model"))
                         : json_is_array(json_object_get(content, "roots"));
    return good ? CIS_OK
                : cis_fail(err, CIS_E_INVALID, "must be an object with %s",
                           sampling ? "role, content and model" : "roots, a list");
}

cis_code cis_form_fits(const json_t *request, const json_t *content, struct cis_error *err)
{
    const json_t *schema = json_object_get(request, "schema");
    const json_t *fields = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    const char *name;
    json_t *value;
    if (!json_is_object(content)) {
        return cis_fail(err, CIS_E_INVALID, "must be an object, or null for no");
    }
    bool sampling = json_object_get(request, "sampling") != NULL;
    if (sampling || json_object_get(request, "roots") != NULL) {
        return client_fits(sampling, content, err);
    }
    json_object_foreach((json_t *)(uintptr_t)content, name, value)
    {
        const json_t *spec = json_object_get(fields, name);
        if (spec == NULL) {
            return cis_fail(err, CIS_E_INVALID, "\"%.60s\" is not asked for", name);
        }
        CIS_TRY(value_fits(&(struct field){name, spec, err}, value));
    }
    for (size_t i = 0; i < json_array_size(required); i++) {
        name = json_string_value(json_array_get(required, i));
        if (json_object_get(content, name) == NULL) {
            return cis_fail(err, CIS_E_INVALID, "\"%.60s\" is missing", name);
        }
    }
    return CIS_OK;
}
