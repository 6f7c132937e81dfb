/* Installing a skill: a folder, an archive or a single module is staged in a private folder,
 * checked there, and only then moved into place and entered in the registry.
 *
 *   stage    copy or unpack under the limits, read the manifest, check module, checksum, signature
 *   plan     compare with what is installed: which requests need an answer
 *   commit   move into place (rename), then the registry row; kill -9 at any point leaves the old
 * or the new skill, and at worst a folder that the next install sweeps away
 *
 * Owns: cis_package_done removes what was staged and not committed. Threads: one package, one
 * thread; many processes may install at once. */
#ifndef CIS_SKILL_PACKAGE_H
#define CIS_SKILL_PACKAGE_H

#include "skill/keyring.h"
#include "skill/registry.h"

#define CIS_PACKAGE_ENTRIES_MAX 10000u
#define CIS_PACKAGE_BYTES_MAX (256ull << 20)

enum cis_package_signature {
    CIS_PACKAGE_UNSIGNED, /* no signature, or policy off */
    CIS_PACKAGE_UNKNOWN,  /* verifies, but its key is not in the keyring: counts as unsigned */
    CIS_PACKAGE_TRUSTED   /* verifies with a key of the keyring */
};

struct cis_package_file { /* a regular file of the package; sorted by path */
    char *path;
    uint64_t size;
    char sha256[65];
};

/* A private folder, removed by cis_package_done. Its lock keeps sweepers away while we live. */
struct cis_package_stage {
    int incoming, dir; /* the folder that holds it, and itself; -1: none */
    char id[27];       /* its name there */
};
#define CIS_PACKAGE_STAGE_INIT ((struct cis_package_stage){-1, -1, ""})

struct cis_package {
    char *name; /* it will be installed as */
    struct cis_package_stage stage;
    int root;     /* the content, open */
    int from;     /* the folder of the stage that holds it */
    char *folder; /* ... by this name */
    char *source; /* as given by the user */
    struct cis_manifest manifest;
    struct cis_package_file *files; /* all but skill.toml */
    size_t nfiles;
    uint64_t bytes;
    char sha256[65]; /* of the module */
    char digest[65]; /* sha256 of the signed bytes (docs/manifest.md) */
    enum cis_package_signature signature;
    char key[65]; /* the key whose signature verifies, hex; "" unsigned */
};
#define CIS_PACKAGE_INIT                                                                           \
    ((struct cis_package){.stage = CIS_PACKAGE_STAGE_INIT, .root = -1, .from = -1})

/* Stages PATH: a folder, a .tar, .tar.gz, .tgz or .tar.zst archive, or a .wasm or .wat module. name
 * (ptr NULL: the manifest's, or the file's stem) renames it. Hidden files (.git) are not part of a
 * skill. Fails: CIS_E_INVALID, CIS_E_LIMIT, CIS_E_CHECKSUM, CIS_E_SIGNATURE (a signature that does
 * not verify), CIS_E_DENIED (asks for command), CIS_E_UNSUPPORTED (native). */
cis_code cis_package_stage(const struct cis_skill_home *home, struct cis_str tenant,
                           const char *path, struct cis_str name, struct cis_package *out,
                           struct cis_error *err);
void cis_package_done(struct cis_package *package);
/* Checks again whether the key is trusted (after the user said so). */
cis_code cis_package_trust_again(const struct cis_skill_home *home, struct cis_package *package,
                                 struct cis_error *err);

/* Settings and memory of the skill that has or had this name, when who made this package is not
 * known to have made that one: another signer, an unsigned package in place of a signed one,
 * another unsigned module, or memory that outlived a skill that was removed. */
enum cis_inherit {
    CIS_INHERIT_ASK, /* not answered: nothing is installed while there is anything to inherit */
    CIS_INHERIT_YES,
    CIS_INHERIT_NO /* its settings are forgotten; its memory stays where it is, out of the new
                      skill's reach */
};
#define CIS_INHERIT_NAMES 512u
struct cis_inheritance {
    bool asked; /* there is a question */
    enum cis_inherit answer;
    uint64_t settings, keys;       /* set values; keys of its memory (on the current branch) */
    char names[CIS_INHERIT_NAMES]; /* the settings' names, as many as fit, separated by ", " */
    char signer[65];               /* of what is installed, hex; "": unsigned, or not installed */
};

/* What the user wants, from the command line or an embedder. */
struct cis_install_answers {
    const struct cis_str *allow, *deny;
    size_t nallow, ndeny;
    bool yes; /* grants every request of a skill that is not installed yet; never widens one */
    enum cis_inherit inherit;
    bool downgrade; /* an older version may take the place of a newer one */
};

struct cis_install_plan {
    char *installed_version; /* NULL: not installed yet */
    /* What the plan was made against: the row's stamp, and its digest; "" not installed. */
    char installed_stamp[CIS_SKILL_STAMP_LEN + 1], installed_digest[65];
    bool same_identity; /* the same signer (or, unsigned, the same module) as what is installed */
    struct cis_grants granted; /* kept from before, and what the answers decide */
    char **undecided;          /* requests that need an answer, canonical text */
    size_t nundecided;
    struct cis_inheritance inheritance;
};
#define CIS_INSTALL_PLAN_INIT ((struct cis_install_plan){0})

/* Fails: CIS_E_USAGE for an --allow or --deny that names nothing it asks for; CIS_E_SIGNATURE when
 * the policy requires a trusted signature and there is none; CIS_E_DENIED when a newer version is
 * installed and answers->downgrade is not set. */
cis_code cis_install_plan_make(const struct cis_skill_home *home, struct cis_str tenant,
                               const struct cis_package *package,
                               const struct cis_install_answers *answers,
                               struct cis_install_plan *out, struct cis_error *err);
/* The user said yes on a terminal to all that is undecided. */
cis_code cis_install_plan_grant(struct cis_install_plan *plan, struct cis_error *err);
/* What of the skill before would be inherited, in words: "2 settings (key, url) and 12 keys of
 * memory". */
void cis_inheritance_text(const struct cis_inheritance *inheritance, struct cis_buf *out);
/* Is version a older than b? Semantic versions, clause 11; what is none counts as the oldest. */
bool cis_version_older(const char *a, const char *b);
/* CIS_E_DENIED while anything is undecided, with the list. */
cis_code cis_install_plan_check(const struct cis_install_plan *plan,
                                const struct cis_package *package, struct cis_error *err);
void cis_install_plan_done(struct cis_install_plan *plan);

/* Fails with CIS_E_CONFLICT when the skill was installed by someone else since the plan, or its
 * grants were changed: an answer may have waited for long at a prompt. */
cis_code cis_package_commit(const struct cis_skill_home *home, struct cis_str tenant,
                            struct cis_package *package, const struct cis_install_plan *plan,
                            struct cis_error *err);

/* Signs the skill in DIR: sets sha256, key and signature under [integrity] of its skill.toml. */
cis_code cis_package_sign(const char *dir, const uint8_t secret[CIS_ED25519_SECRET_BYTES],
                          struct cis_error *err);
/* The bytes a signature covers: docs/manifest.md. */
void cis_package_signed_bytes(const char *unsigned_json, const struct cis_package_file *files,
                              size_t nfiles, struct cis_buf *out);

/* `cis skill new`: writes a project that builds and runs. CIS_E_EXISTS when DIR is there already.
 */
cis_code cis_skill_new(const char *dir, struct cis_str name, const char *lang,
                       struct cis_error *err);

#endif
