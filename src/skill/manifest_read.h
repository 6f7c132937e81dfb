/* What the files that read a manifest share: a reader that knows file name and lines, and the small
 * verbs that check one value. Internal to the room. */
#ifndef CIS_SKILL_MANIFEST_READ_H
#define CIS_SKILL_MANIFEST_READ_H

#include <jansson.h>
#include "skill/manifest.h"

#define CIS_MANIFEST_PATH_MAX 256

struct cis_manifest_reader {
    const char *name;    /* of the file, for messages */
    const json_t *lines; /* "a.b" → line; NULL: unknown */
    struct cis_manifest *m;
    struct cis_error *err;
};

/* One known key of a table: its own reader, or plain text stored at an offset of the manifest. */
struct cis_manifest_key {
    const char *name;
    cis_code (*read)(struct cis_manifest_reader *r, const char *path, const json_t *value);
    size_t text_at, text_max;
};

/* CIS_E_INVALID "skill.toml:7: permissions.network: …". Without a line of its own, a key's table's.
 */
cis_code cis_manifest_bad(struct cis_manifest_reader *r, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
cis_code cis_manifest_warn(struct cis_manifest_reader *r, const char *path, const char *text);
/* "must be TEXT, is a string". */
cis_code cis_manifest_wrong_type(struct cis_manifest_reader *r, const char *path, const char *want,
                                 const json_t *value);
/* Reads every key of the table by the two lists (each ends with a row without a name; the second
 * may be NULL); others become warnings. */
cis_code cis_manifest_table(struct cis_manifest_reader *r, const char *path, const json_t *table,
                            const struct cis_manifest_key *keys,
                            const struct cis_manifest_key *more);
/* Replaces *out. max: bytes. */
cis_code cis_manifest_text(struct cis_manifest_reader *r, const char *path, const json_t *value,
                           size_t max, char **out);
cis_code cis_manifest_flag(struct cis_manifest_reader *r, const char *path, const json_t *value,
                           bool *out);
/* Path of a key ("a.b") or of an item ("a.0") below another; cut when too long. */
void cis_manifest_below(char out[CIS_MANIFEST_PATH_MAX], const char *path, const char *key);
void cis_manifest_item(char out[CIS_MANIFEST_PATH_MAX], const char *path, size_t index);
/* An array of at most CIS_MANIFEST_ITEMS_MAX items. */
cis_code cis_manifest_list(struct cis_manifest_reader *r, const char *path, const json_t *value);
/* An array of tables, each with a name of its own. */
struct cis_manifest_items {
    const char *what; /* "tools" */
    size_t most;
    size_t size; /* of an item, which begins with its name, a char * */
    /* Reads one key of an item; then the item is looked at, which has its name by then. */
    cis_code (*member)(struct cis_manifest_reader *r, const char *path, const char *key,
                       const json_t *value, void *item);
    cis_code (*whole)(struct cis_manifest_reader *r, const char *path, void *item);
};
/* Also when it fails *out_items (caller frees) has *out_n items, the last one in part. */
cis_code cis_manifest_items(struct cis_manifest_reader *r, const char *path, const json_t *value,
                            const struct cis_manifest_items *how, void **out_items, size_t *out_n);
cis_code cis_manifest_no_memory(struct cis_manifest_reader *r);
/* Compact JSON with sorted keys. NULL: out of memory. Caller frees. */
char *cis_manifest_json(const json_t *value);
/* Text of a config value: a string as it is, anything else as compact JSON. Caller frees. */
char *cis_manifest_value_text(const json_t *value);

/* Top level: always; when there is no [skill]. */
extern const struct cis_manifest_key cis_manifest_top_keys[], cis_manifest_flat_keys[];
extern const struct cis_manifest_key cis_manifest_exports_keys[], cis_manifest_config_keys[],
    cis_manifest_compose_keys[];
cis_code cis_manifest_permissions(struct cis_manifest_reader *r, const char *path,
                                  const json_t *value);
cis_code cis_manifest_dependencies(struct cis_manifest_reader *r, const char *path,
                                   const json_t *value);
cis_code cis_manifest_tools(struct cis_manifest_reader *r, const char *path, const json_t *value);
void cis_manifest_tools_done(struct cis_manifest *manifest);
cis_code cis_manifest_prompts(struct cis_manifest_reader *r, const char *path, const json_t *value);
void cis_manifest_prompts_done(struct cis_manifest *manifest);
cis_code cis_manifest_resources(struct cis_manifest_reader *r, const char *path,
                                const json_t *value);
void cis_manifest_resources_done(struct cis_manifest *manifest);
/* 1 to 64 letters, digits and _. */
bool cis_manifest_tool_name(const char *name);
cis_code cis_manifest_tool_name_read(struct cis_manifest_reader *r, const char *path,
                                     const json_t *value, char **out);
/* What is shown to a person and to a model: it has nothing that hides or turns around what it says.
 */
cis_code cis_manifest_said(struct cis_manifest_reader *r, const char *path, const json_t *value,
                           size_t max, char **out);
/* Every default fits its schema. */
cis_code cis_manifest_config_check(struct cis_manifest_reader *r);

#endif
