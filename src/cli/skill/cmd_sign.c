/* `cis skill keygen|sign|verify|trust|untrust`. */
#include "cli/skill/skill.h"

#include <stdlib.h>
#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "skill/package.h"

static int finish(struct cis_cli *cli, cis_code code, const struct cis_error *err)
{
    return code == CIS_OK ? 0 : cis_cli_fail(cli, err);
}

/* ---- keygen, sign: no store needed ---- */

static void tell_key(const struct cis_cli *cli, const uint8_t pub[CIS_ED25519_PUBLIC_BYTES],
                     const char *what, const char *path)
{
    char hex[65];
    cis_hex(pub, CIS_ED25519_PUBLIC_BYTES, hex);
    if (cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("key", hex), CIS_J("path", path)));
    } else {
        cis_cli_line(stdout, "%s %s", what, path);
        cis_cli_line(stdout, "public key %s", hex);
    }
}

static int run_keygen(struct cis_cli *cli)
{
    struct cis_error err = {0};
    uint8_t pub[CIS_ED25519_PUBLIC_BYTES];
    cis_code code = cis_key_generate(cli->args[0], pub, &err);
    if (code == CIS_OK) {
        tell_key(cli, pub, "wrote", cli->args[0]);
    }
    return finish(cli, code, &err);
}

static int run_sign(struct cis_cli *cli)
{
    struct cis_error err = {0};
    const char *key = cis_cli_value(cli, "key");
    if (key == NULL) {
        return cis_cli_usage(cli, "--key FILE is missing (cis skill keygen FILE makes one)");
    }
    uint8_t secret[CIS_ED25519_SECRET_BYTES];
    cis_code code = cis_key_read_secret(key, secret, &err);
    if (code == CIS_OK) {
        code = cis_package_sign(cli->args[0], secret, &err);
    }
    if (code == CIS_OK) {
        tell_key(cli, secret + 32, "signed", cli->args[0]); /* its public half */
    }
    cis_wipe(secret, sizeof secret);
    return finish(cli, code, &err);
}

/* ---- verify ---- */

static cis_code verify_installed(struct cis_cli *cli, const struct cis_skill_home *home,
                                 const struct cis_installed *s, struct cis_error *err)
{
    CIS_TRY(cis_skill_verify(home, cis_str_of(cli->tenant), cis_str_of(s->name), err));
    if (cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("name", s->name), CIS_J("version", s->manifest.version),
                                CIS_J("digest", s->digest), CIS_J("sha256", s->sha256),
                                CIS_J("signer", s->signer)));
        return CIS_OK;
    }
    cis_cli_line(stdout, "%s %s: as it was installed, %s%s", s->name, s->manifest.version,
                 s->signer[0] != 0 ? "signed by " : "unsigned", s->signer);
    return CIS_OK;
}

static cis_code verify_path(struct cis_cli *cli, const struct cis_skill_home *home,
                            struct cis_error *err)
{
    static const char *const words[] = {"none", "unknown", "trusted"};
    CIS_CLEANUP(cis_package_done) struct cis_package p = CIS_PACKAGE_INIT;
    CIS_TRY(cis_cli_stage(cli, home, CIS_STR("verified"), &p, err));
    if (home->policy == CIS_SIGNATURE_REQUIRE && p.signature != CIS_PACKAGE_TRUSTED) {
        return cis_fail(err, CIS_E_SIGNATURE, "%s: no trusted key has signed it", cli->args[0]);
    }
    if (cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("name", p.manifest.name),
                                CIS_J("version", p.manifest.version), CIS_J("digest", p.digest),
                                CIS_J("sha256", p.sha256), CIS_J("signature", words[p.signature]),
                                CIS_J("key", p.key), CIS_J("files", p.nfiles)));
        return CIS_OK;
    }
    cis_cli_line(stdout, "%s %s: %zu files, digest %s", p.manifest.name, p.manifest.version,
                 p.nfiles, p.digest);
    cis_cli_line(stdout, "%s%s%s",
                 p.signature == CIS_PACKAGE_UNSIGNED ? "not signed" : "signed by ", p.key,
                 p.signature == CIS_PACKAGE_UNKNOWN ? " (not trusted)" : "");
    return CIS_OK;
}

static cis_code verify(struct cis_cli *cli, const struct cis_skill_home *home,
                       struct cis_error *err)
{
    CIS_CLEANUP(cis_skill_close) struct cis_installed s = {0};
    struct cis_str name = cis_str_of(cli->args[0]);
    cis_code code = cis_skill_lookup(home, cis_str_of(cli->tenant), name, &s, err);
    if (code == CIS_OK) {
        return verify_installed(cli, home, &s, err);
    }
    return code == CIS_E_NOTFOUND && cis_file_exists(cli->args[0]) ? verify_path(cli, home, err)
                                                                   : code;
}

/* ---- trust, untrust ---- */

static cis_code list_keys(const struct cis_cli *cli, const char *config_dir, struct cis_error *err)
{
    CIS_CLEANUP(cis_keyring_done) struct cis_keyring ring = CIS_KEYRING_INIT;
    CIS_TRY(cis_keyring_load(config_dir, &ring, err));
    cis_cli_list(cli, "keys");
    for (size_t i = 0; i < ring.nkeys; i++) {
        char when[32];
        cis_clock_iso(ring.keys[i].added_ms, when);
        if (cli->json) {
            cis_cli_item(CIS_JSON(CIS_J("key", ring.keys[i].hex), CIS_J("name", ring.keys[i].label),
                                  CIS_J("added", when)));
        } else {
            cis_cli_line(stdout, "%s  %s  %s", ring.keys[i].hex, when, ring.keys[i].label);
        }
    }
    cis_cli_list_end(NULL);
    return CIS_OK;
}

static cis_code trust(struct cis_cli *cli, const char *config_dir, struct cis_error *err)
{
    if (cli->nargs == 0) {
        return list_keys(cli, config_dir, err);
    }
    uint8_t key[CIS_ED25519_PUBLIC_BYTES];
    CIS_TRY(cis_key_read_public(cli->args[0], key, err));
    CIS_TRY(cis_keyring_trust(config_dir, key, cis_str_of(cis_cli_value(cli, "name")), err));
    tell_key(cli, key, "trusted", cli->args[0]);
    return CIS_OK;
}

static cis_code untrust(struct cis_cli *cli, const char *config_dir, struct cis_error *err)
{
    CIS_TRY(cis_keyring_untrust(config_dir, cis_str_of(cli->args[0]), err));
    if (cli->json) {
        cis_cli_object(CIS_JSON(CIS_J("untrusted", cli->args[0])));
    } else {
        cis_cli_line(stdout, "no longer trusted: %s", cli->args[0]);
    }
    return CIS_OK;
}

static int with_config(struct cis_cli *cli,
                       cis_code (*body)(struct cis_cli *cli, const char *config_dir,
                                        struct cis_error *err))
{
    struct cis_error err = {0};
    cis_app *app = NULL;
    cis_code code = cis_app_open(cli, &app, &err);
    if (code == CIS_OK) {
        code = body(cli, cis_app_config_dir(app), &err);
    }
    cis_app_close(app);
    return finish(cli, code, &err);
}

static int run_trust(struct cis_cli *cli)
{
    return with_config(cli, trust);
}

static int run_untrust(struct cis_cli *cli)
{
    return with_config(cli, untrust);
}

static const struct cis_cli_option sign_options[] = {{"key", 'k', "FILE", false, NULL}, {0}};
static const struct cis_cli_option trust_options[] = {{"name", 0, "NAME", false, NULL}, {0}};

const struct cis_cli_command cis_cmd_skill_keygen = {
    .name = "skill keygen", .min_args = 1, .max_args = 1, .run = run_keygen};

const struct cis_cli_command cis_cmd_skill_sign = {
    .name = "skill sign", .options = sign_options, .min_args = 1, .max_args = 1, .run = run_sign};

const struct cis_cli_command cis_cmd_skill_verify = {
    .name = "skill verify", .min_args = 1, .max_args = 1, .skill = verify};

const struct cis_cli_command cis_cmd_skill_trust = {
    .name = "skill trust", .options = trust_options, .max_args = 1, .run = run_trust};

const struct cis_cli_command cis_cmd_skill_untrust = {
    .name = "skill untrust", .min_args = 1, .max_args = 1, .run = run_untrust};
