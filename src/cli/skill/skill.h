/* What the `cis skill …` commands share: the place of installed skills, and ways to print them. */
#ifndef CIS_CLI_SKILL_H
#define CIS_CLI_SKILL_H

#include "cli/app.h"
#include "skill/keyring.h"
#include "skill/package.h"
#include "skill/registry.h"

/* Opens the store; everything in *out is borrowed from the app. */
cis_code cis_cli_skill_home(cis_app *app, struct cis_skill_home *out, struct cis_error *err);
/* A line of untrusted text on stdout or stderr, safe for a terminal. */
void cis_cli_line(FILE *to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Canonical grants in one line, "none" when empty. */
void cis_cli_grants_text(const struct cis_grants *set, struct cis_buf *out);
/* What a grant lets a skill do, in plain words; static. */
const char *cis_cli_grant_words(const char *grant);
/* "" or the name the user gave the key. Borrowed from the ring. */
const char *cis_cli_key_label(const struct cis_keyring *ring, const char *hex);
/* cis_package_stage of the command's first argument, told on a terminal when it takes long. */
cis_code cis_cli_stage(const struct cis_cli *cli, const struct cis_skill_home *home,
                       struct cis_str name, struct cis_package *out, struct cis_error *err);
/* Runs body with an open home and closes everything after it. */
int cis_cli_with_home(struct cis_cli *cli,
                      cis_code (*body)(struct cis_cli *cli, const struct cis_skill_home *home,
                                       struct cis_error *err));

#endif
