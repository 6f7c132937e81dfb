/* Installed skills: the registry row (in the store) is the truth, the folder under
 * DATA/skills/TENANT/NAME/VERSION-DIGEST holds the content. This header opens, lists, changes and
 * removes them; package.h installs them.
 *
 * Threads: functions only share the store and the file system; any number of threads, processes
 * and hosts at once: a change of a row stands only if the row is still what it was computed from. A
 * folder that no row names is an orphan of a killed install and is swept away by the next install
 * or removal. */
#ifndef CIS_SKILL_REGISTRY_H
#define CIS_SKILL_REGISTRY_H

#include "base/crypto.h"
#include "skill/manifest.h"
#include "store/store.h"

enum cis_signature_policy {
    CIS_SIGNATURE_WARN,   /* unsigned or unknown key: a warning; a wrong signature is refused */
    CIS_SIGNATURE_OFF,    /* signatures are not looked at: everything counts as unsigned */
    CIS_SIGNATURE_REQUIRE /* installs and runs only what a trusted key has signed */
};
/* "off" | "warn" | "require". */
bool cis_signature_policy_parse(struct cis_str text, enum cis_signature_policy *out);

/* Where skills live. All borrowed; must outlive the calls. */
struct cis_skill_home {
    cis_store *store;
    const char *data_dir;   /* skills are in DATA/skills */
    const char *config_dir; /* the keyring is CONFIG/trusted-keys.json */
    enum cis_signature_policy policy;
    struct cis_stop stop; /* for waits on the store; CIS_NEVER and NULL for none */
    const char
        *compiler; /* reads modules to be installed (engine/code/module.h); NULL: this process */
    uint64_t compile_memory, compile_ns; /* and its limits; 0: the defaults */
};

struct cis_skill_value { /* one effective config value */
    char *key, *value;
    bool from_default; /* of the manifest, not set by the user or a run */
};

/* An installed skill, ready to run. Everything owned; cis_skill_close. */
struct cis_installed {
    char *name;            /* installed name: memory namespace, config, reports */
    char *dir;             /* its folder */
    char *module_path;     /* for messages: the bytes below are what was verified */
    struct cis_buf module; /* read once and checked against the row's sha256 */
    struct cis_buf *plugs; /* of manifest.plugs, each checked against its own (plugs.h) */
    char sha256[65];       /* of the module */
    char digest[65];       /* of manifest and files */
    char signer[65];       /* trusted key that signed it, hex; "" unsigned */
    char stamp[CIS_SKILL_STAMP_LEN + 1]; /* of the row, for changes of it */
    char *source;
    char
        *memory; /* namespace of its memory: the name, unless it was not to inherit what is there */
    int64_t installed_ms;
    struct cis_manifest manifest;   /* from the row, not from the folder */
    struct cis_grants granted;      /* what the user granted */
    struct cis_grants grants;       /* manifest ∩ granted: what a run may use */
    struct cis_skill_value *config; /* defaults, then what was set */
    size_t nconfig;
};

/* Opens NAME for a run. limits, exports and abi are in .manifest.
 * Fails: CIS_E_NOTFOUND (not installed), CIS_E_CHECKSUM (the module is not what was installed),
 * CIS_E_SIGNATURE (policy require, and its signer is not or no longer trusted). */
cis_code cis_skill_open(const struct cis_skill_home *home, struct cis_str tenant,
                        struct cis_str name, struct cis_installed *out, struct cis_error *err);
/* The same without reading the module (.module empty): info, config, grants. */
cis_code cis_skill_lookup(const struct cis_skill_home *home, struct cis_str tenant,
                          struct cis_str name, struct cis_installed *out, struct cis_error *err);
void cis_skill_close(struct cis_installed *skill);
/* What config_check of a run's request is, with its manifest as self. */
cis_code cis_skill_config_check(const void *manifest, struct cis_str key, struct cis_str value,
                                struct cis_error *err);
/* Every required setting is among those given. CIS_E_USAGE names what is missing and how to set it.
 * Callers add their own --config values to the skill's before asking. */
cis_code cis_skill_config_complete(const struct cis_manifest *manifest, const char *name,
                                   const struct cis_str_pair *given, size_t n,
                                   struct cis_error *err);

/* Rows in order of the name; each gets a borrowed row and returns false to stop. */
cis_code cis_skill_list(const struct cis_skill_home *home, struct cis_str tenant,
                        cis_skill_each *each, void *self, struct cis_error *err);
/* Was a skill of the tenant installed or removed, or a grant of one changed, by a process that has
 * this data folder, since *mark was filled? *mark is filled anew then; zeros at first. False while
 * somebody is changing them. Costs a look at one file: nothing is asked of the store. */
struct cis_skill_mark {
    char id[CIS_ID_CHARS + 1];
};
bool cis_skill_changed(const struct cis_skill_home *home, struct cis_str tenant,
                       struct cis_skill_mark *mark);
/* Adds or takes away grants of an installed skill. Only what the manifest asks for can be granted
 * (a bare module: anything but command). CIS_E_DENIED names what it does not ask for. */
cis_code cis_skill_grant(const struct cis_skill_home *home, struct cis_str tenant,
                         struct cis_str name, const struct cis_str *texts, size_t n,
                         struct cis_error *err);
/* To the package of this digest alone (NULL: whatever is installed): CIS_E_DENIED when another one
 * took its place. */
cis_code cis_skill_grant_to(const struct cis_skill_home *home, struct cis_str tenant,
                            struct cis_str name, const char *digest, const struct cis_str *texts,
                            size_t n, struct cis_error *err);
cis_code cis_skill_revoke(const struct cis_skill_home *home, struct cis_str tenant,
                          struct cis_str name, const struct cis_str *texts, size_t n,
                          struct cis_error *err);
/* Sets (value ptr NULL: unsets) one config value, checked by the schema. */
cis_code cis_skill_config_set(const struct cis_skill_home *home, struct cis_str tenant,
                              struct cis_str name, struct cis_str key, struct cis_str value,
                              struct cis_error *err);
/* The namespace of the memory of whatever is or was installed by this name; *out_ns is yours to
 * free. */
cis_code cis_skill_memory(cis_store *store, struct cis_str tenant, struct cis_str name,
                          char **out_ns, const struct cis_stop *stop, struct cis_error *err);
/* What makes it another one, and empty, once it is written. The one before stays where it is. */
struct cis_memory_renewal {
    char owner[CIS_STORE_NAME_MAX + 1], ns[CIS_STORE_NAME_MAX + 1];
    struct cis_kv_op op; /* of config; points into the above */
};
cis_code cis_skill_memory_renewal(struct cis_str name, struct cis_memory_renewal *out,
                                  struct cis_error *err);
/* Row first, then the folder. Memory stays. */
cis_code cis_skill_remove(const struct cis_skill_home *home, struct cis_str tenant,
                          struct cis_str name, struct cis_error *err);
/* Recomputes every digest of an installed skill and checks its signature. */
cis_code cis_skill_verify(const struct cis_skill_home *home, struct cis_str tenant,
                          struct cis_str name, struct cis_error *err);

#endif
