/* Where installed skills are on disk, and the lock and the sweep that keep that place tidy.
 *
 *   DATA/skills/TENANT/.lock                  held while a row and its folder change together
 *   DATA/skills/TENANT/.incoming/ID           staging; locked by the process that fills it
 *   DATA/skills/TENANT/NAME/VERSION-DIGEST    content of an installed skill
 *   … /.unused                                no row names this folder (yet, or any more)
 *
 * Internal to the room. */
#ifndef CIS_SKILL_PLACE_H
#define CIS_SKILL_PLACE_H

#include "skill/package.h"

#define CIS_PLACE_UNUSED ".unused"

/* Paths; caller frees. NULL: out of memory. */
char *cis_place_tenant(const struct cis_skill_home *home, struct cis_str tenant);
char *cis_place_skill(const struct cis_skill_home *home, struct cis_str tenant,
                      struct cis_str name);
/* Version and digest in their grammar (cis_skill_row_check_names): they become a name. */
char *cis_place_version(const struct cis_skill_home *home, struct cis_str tenant,
                        struct cis_str name, struct cis_str version, struct cis_str digest);

/* Makes the tenant's folder and takes its lock; close *out_fd to give it back. */
cis_code cis_place_lock(const struct cis_skill_home *home, struct cis_str tenant, int *out_fd,
                        struct cis_error *err);
/* A fresh private folder, locked: *out_lock keeps sweepers away. */
cis_code cis_place_stage(const struct cis_skill_home *home, struct cis_str tenant, char **out_path,
                         int *out_lock, struct cis_error *err);
/* With the lock held: removes what killed installs and removals left. Best effort. */
void cis_place_sweep(const struct cis_skill_home *home, struct cis_str tenant);
/* With the lock held: takes a folder that no row names away. It leaves its place by one rename, so
 * that a removal that is killed half way leaves nothing that looks like a skill. Best effort. */
void cis_place_retire(const struct cis_skill_home *home, struct cis_str tenant, const char *dir);
/* Makes or removes the mark of a folder that no row names. */
cis_code cis_place_mark(const char *dir, struct cis_error *err);
void cis_place_unmark(const char *dir);
bool cis_place_marked(const char *dir);

/* Everything of a row, copied; .module, .config and .grants are left empty. */
cis_code cis_row_read(const struct cis_skill_home *home, struct cis_str tenant, struct cis_str name,
                      struct cis_installed *out, struct cis_error *err);
/* Canonical texts of a set, one by one. */
cis_code cis_grant_texts(const struct cis_grants *set, char ***out_texts, size_t *out_n,
                         struct cis_error *err);
void cis_texts_free(char **texts, size_t n);
/* into ∪= from. */
cis_code cis_grants_merge(struct cis_grants *into, const struct cis_grants *from,
                          struct cis_error *err);
/* Writes a row again with other grants, all else as it was read. */
cis_code cis_row_put_grants(const struct cis_skill_home *home, struct cis_str tenant,
                            const struct cis_installed *skill, const struct cis_grants *granted,
                            struct cis_error *err);

#endif
