/* A skill's manifest (skill.toml): what it is, what it asks for, what it promises. Pure: text in,
 * plain struct out; nothing here grants anything. docs/manifest.md is the reference.
 *
 * Owns: everything in struct cis_manifest (cis_manifest_done). Threads: plain data.
 * Limits: 1 MiB of text, CIS_MANIFEST_ITEMS_MAX entries a list, names as cis_skill_name_valid. */
#ifndef CIS_SKILL_MANIFEST_H
#define CIS_SKILL_MANIFEST_H

#include "base/buf.h"
#include "base/crypto.h"
#include "policy/grant.h"
#include "store/store.h"

#define CIS_MANIFEST_MAX (1u << 20)
#define CIS_MANIFEST_FILE "skill.toml"
#define CIS_MANIFEST_ITEMS_MAX 1000
#define CIS_MODULE_MAX (100u << 20)

enum cis_skill_type { CIS_SKILL_WASM, CIS_SKILL_COMPONENT, CIS_SKILL_NATIVE };

/* How an export takes and gives values. The values equal enum cis_convention (skillabi). */
enum cis_export_convention { CIS_EXPORT_AUTO, CIS_EXPORT_TEXT, CIS_EXPORT_NUMBERS };

enum cis_export_kind { CIS_EXPORT_FUNCTION, CIS_EXPORT_EVENT, CIS_EXPORT_COMMAND };

struct cis_manifest_export { /* one name of [exports] functions, events or commands */
    enum cis_export_kind kind;
    char *name;
    char *description; /* "" when not given */
    enum cis_export_convention convention;
};

struct cis_skill_limits { /* 0: not given */
    uint64_t memory_bytes, time_ns, fuel, output_bytes, files;
};

enum cis_setting_type {
    CIS_SETTING_ANY,
    CIS_SETTING_STRING,
    CIS_SETTING_INTEGER,
    CIS_SETTING_NUMBER,
    CIS_SETTING_BOOLEAN,
    CIS_SETTING_ARRAY,
    CIS_SETTING_OBJECT
};

/* One key of [config.schema] and [config.defaults]. Values are text everywhere outside the
 * manifest: a string as it is, anything else as JSON. */
struct cis_manifest_setting {
    char *key, *description;
    enum cis_setting_type type;
    bool in_schema, required;
    char *fallback; /* the default; NULL: none */
    char **choices; /* enum; nchoices 0: any */
    size_t nchoices;
};

struct cis_manifest_dependency {
    char *name, *version;
};

/* A method that models may call (`cis mcp`). Checked: docs/manifest.md, "[[tools]]". */
struct cis_manifest_tool {
    char *name, *method, *title, *description; /* title, description: "" when not given */
    char *input;                               /* JSON Schema as JSON */
    char *output;                              /* NULL: none */
    bool content; /* the result is a list of images, sounds and others, as MCP writes them */
};
#define CIS_TOOL_NAME_MAX 64u
#define CIS_MANIFEST_TOOLS_MAX 100u

/* A text that a person chooses in a client of `cis mcp`; {{NAME}} in it is an argument. */
struct cis_manifest_argument {
    char *name, *description; /* description: NULL when not given */
    bool required;
};
struct cis_manifest_prompt {
    char *name, *title, *description; /* title, description: NULL when not given */
    char *text, *method;              /* one of them */
    struct cis_manifest_argument *args;
    size_t nargs;
};
#define CIS_MANIFEST_PROMPTS_MAX 100u

/* What clients of `cis mcp` read; {NAME} in the uri is what they ask for. */
struct cis_manifest_resource {
    char *name, *uri, *title, *description; /* title, description: NULL when not given */
    char *mime_type;                        /* NULL: by what it is */
    char *file, *method;                    /* one of them; file: in the skill's folder */
    bool varies;                            /* the uri has a {NAME} */
};
#define CIS_MANIFEST_RESOURCES_MAX 100u
#define CIS_RESOURCE_URI_MAX 1024u
#define CIS_RESOURCE_FILE_MAX ((size_t)4 << 20)
#define CIS_MANIFEST_ARGUMENTS_MAX 16u

#define CIS_MANIFEST_PLUGS_MAX 100
struct cis_manifest_plug { /* [compose] plug: a component in the skill's folder */
    char *path;
    char sha256[65]; /* "": not written yet (cis skill sign does); such a skill is not installed */
};

struct cis_manifest {
    char *name, *version, *description, *author, *license, *homepage;
    enum cis_skill_type type;
    char *entry;             /* path of the module inside the skill's folder, checked */
    char *abi;               /* NULL: by the imports (skill-abi.md §1) */
    struct cis_grants asked; /* [permissions] without command */
    bool asks_command;       /* reserved: install refuses it */
    bool bare; /* a module without a manifest: asks for nothing, gets what the user says */
    struct cis_skill_limits limits;
    char sha256[65]; /* [integrity] sha256 of the module, hex; "" when not given */
    bool has_signature, has_key;
    uint8_t signature[CIS_ED25519_SIG_BYTES];
    uint8_t key[CIS_ED25519_PUBLIC_BYTES]; /* a claim; counts only when the keyring has it */
    char *method; /* [exports] entry: method called by default; NULL: probe */
    enum cis_export_convention convention; /* of every export without its own */
    struct cis_manifest_export *exports;
    size_t nexports;
    struct cis_manifest_setting *settings;
    size_t nsettings;
    bool has_schema; /* [config.schema] present: only its keys may be set */
    struct cis_manifest_dependency *dependencies;
    size_t ndependencies;
    struct cis_manifest_tool *tools;
    size_t ntools;
    struct cis_manifest_prompt *prompts;
    size_t nprompts;
    struct cis_manifest_resource *resources;
    size_t nresources;
    struct cis_manifest_plug *plugs;
    size_t nplugs;
    char **warnings; /* unknown keys, one line each, with file and line */
    size_t nwarnings;
    char *json;          /* canonical JSON of the whole manifest (sorted keys, compact) */
    char *unsigned_json; /* the same without integrity.signature: what a signature covers */
};

#define CIS_MANIFEST_INIT ((struct cis_manifest){0})

/* Reads TOML text. name is for messages ("skill.toml:7: permissions.network: …").
 * Fails: CIS_E_INVALID with the line for syntax, wrong types and bad values. */
cis_code cis_manifest_parse(struct cis_str toml, const char *name, struct cis_manifest *out,
                            struct cis_error *err);
/* A registry row's manifest: bare JSON as in cis_manifest.json. */
cis_code cis_manifest_parse_row(struct cis_str json, struct cis_manifest *out,
                                struct cis_error *err);
/* What a module without a manifest gets: its name, version 0.0.0, the module as entry. */
cis_code cis_manifest_bare(struct cis_str name, struct cis_str entry, bool component,
                           struct cis_manifest *out, struct cis_error *err);
void cis_manifest_done(struct cis_manifest *manifest);

/* A relative path that stays inside its folder: UTF-8, no control characters, no backslash, no
 * empty,
 * "." or ".." component, at most 32 components, 255 bytes each and 1,024 in all. */
bool cis_skill_path_valid(struct cis_str path);
const char *cis_skill_type_name(enum cis_skill_type type);
const char *cis_setting_type_name(enum cis_setting_type type);

/* The smaller of both where both are given (0: not given). */
struct cis_skill_limits cis_skill_limits_meet(const struct cis_skill_limits *manifest,
                                              const struct cis_skill_limits *user);
/* NULL when [config] does not name it. */
const struct cis_manifest_setting *cis_manifest_setting_find(const struct cis_manifest *manifest,
                                                             struct cis_str key);
/* May key have this value? With a schema only its keys, of the right type, one of enum.
 * Fails: CIS_E_USAGE naming key and what is allowed. */
cis_code cis_manifest_setting_check(const struct cis_manifest *manifest, struct cis_str key,
                                    struct cis_str value, struct cis_error *err);
/* Is one of its tools named so? */
bool cis_manifest_has_tool(const struct cis_manifest *manifest, const char *name);
/* The next piece of a prompt's text, and the argument that follows it (ptr NULL: none). False: the
 * text is at its end. */
bool cis_manifest_prompt_next(struct cis_str *inout_rest, struct cis_str *out_text,
                              struct cis_str *out_name);
/* RFC 3986: a scheme, and nothing that a reader strips. The scheme "cis" is the server's own, "ui"
 * are pages that clients show as their own. */
bool cis_resource_uri_valid(struct cis_str uri);
/* Is a piece of a uri, between slashes, a {NAME}? */
bool cis_resource_variable(struct cis_str piece, struct cis_str *out_name);
/* RFC 6838: type/subtype, and nothing that could be another field. */
bool cis_mime_type_valid(struct cis_str text);
/* AUTO when the manifest says nothing about this export. */
enum cis_export_convention cis_manifest_convention(const struct cis_manifest *manifest,
                                                   struct cis_str export_name);

#endif
