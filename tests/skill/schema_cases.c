/* Cases of JSON Schema from files: a list of {description, schema, tests: [{description, data,
 * valid}]}, as the suite that implementations share has them. A schema may be refused, as outside
 * of the subset: with "refused", its message has to contain that. Says how many were taken of each
 * file, and on stderr every value on which the file and cis differ; the exit code is 1 then. */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "skill/schema.h"

struct counts {
    size_t schemas, taken, values, wrong;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void one_group(const json_t *group, struct counts *c)
{
    json_t *schema = json_object_get(group, "schema");
    const char *refused = json_string_value(json_object_get(group, "refused"));
    struct cis_error err = {0};
    json_object_del(schema, "$schema"); /* each file names the same one */
    c->schemas++;
    if (cis_schema_check(schema, "schema", &err) != CIS_OK) {
        if (refused != NULL && strstr(err.msg, refused) == NULL) {
            fprintf(stderr, "%s: refused with: %s\n", text_of(group, "description"), err.msg);
            c->wrong++;
        }
        return;
    }
    c->taken++;
    if (refused != NULL) {
        fprintf(stderr, "%s: was not refused\n", text_of(group, "description"));
        c->wrong++;
    }
    size_t i;
    const json_t *test;
    const struct cis_stop stop = {CIS_NEVER, NULL};
    json_array_foreach(json_object_get(group, "tests"), i, test)
    {
        bool valid = json_is_true(json_object_get(test, "valid"));
        cis_code code =
            cis_schema_fits(schema, json_object_get(test, "data"), "value", &stop, &err);
        c->values++;
        if (code != (valid ? CIS_OK : CIS_E_USAGE)) {
            fprintf(stderr, "%s: %s: valid is %d, code %d %s\n", text_of(group, "description"),
                    text_of(test, "description"), valid, (int)code, code != CIS_OK ? err.msg : "");
            c->wrong++;
        }
    }
}

int main(int argc, char **argv)
{
    bool wrong = argc < 2;
    for (int i = 1; i < argc; i++) {
        json_error_t why;
        json_t *groups = json_load_file(argv[i], JSON_ALLOW_NUL, &why);
        const char *slash = strrchr(argv[i], '/');
        struct counts c = {0};
        size_t at;
        const json_t *group;
        if (!json_is_array(groups)) {
            fprintf(stderr, "%s: %s\n", argv[i], why.text);
            return 2;
        }
        json_array_foreach(groups, at, group)
        {
            one_group(group, &c);
        }
        printf("%s %zu %zu %zu\n", slash != NULL ? slash + 1 : argv[i], c.taken, c.schemas,
               c.values);
        wrong = wrong || c.wrong != 0;
        json_decref(groups);
    }
    return wrong ? 1 : 0;
}
