/* Where installed skills are on disk, and the lock and the sweep that keep that place tidy.
 *
 *   DATA/skills/TENANT/.lock                  held while a row and its folder change together
 *   DATA/skills/TENANT/.incoming/ID           staging; locked by the process that fills it
 *   DATA/skills/TENANT/NAME/VERSION-DIGEST    content of an installed skill
 *   … /.unused                                no row names this folder (yet, or any more)
 *
 * Below DATA everything is opened one name after the other from the folder that is open, and no
 * symlink is followed: whatever takes a folder's name meanwhile, nothing outside is made, changed
 * or removed.
 *
 * Internal to the room. */
#ifndef CIS_SKILL_PLACE_H
#define CIS_SKILL_PLACE_H

#include "skill/package.h"

#define CIS_PLACE_UNUSED ".unused"

/* The path of a skill's content, for messages and for users; caller frees. NULL: out of memory.
 * Version and digest in their grammar (cis_skill_row_check_names): they become a name. */
char *cis_place_path(const struct cis_skill_home *home, struct cis_str tenant, struct cis_str name,
                     struct cis_str version, struct cis_str digest);
/* Opens it to be read. CIS_E_NOTFOUND; CIS_E_INVALID: something on the way is no folder. */
cis_code cis_place_open(const struct cis_skill_home *home, struct cis_str tenant,
                        struct cis_str name, struct cis_str version, struct cis_str digest,
                        int *out_fd, struct cis_error *err);

/* A tenant's folder, open, and its lock: other processes wait for it before they change anything.
 */
struct cis_place {
    int tenant, lock;
};
#define CIS_PLACE_INIT ((struct cis_place){-1, -1})

/* Makes the tenant's folder and takes its lock. */
cis_code cis_place_lock(const struct cis_skill_home *home, struct cis_str tenant,
                        struct cis_place *out, struct cis_error *err);
void cis_place_done(struct cis_place *place);
/* A fresh private folder, locked, so that sweepers stay away. */
cis_code cis_place_stage(const struct cis_skill_home *home, struct cis_str tenant,
                         struct cis_package_stage *out, struct cis_error *err);
/* Removes it with all in it; what cannot be removed the next sweep takes. */
void cis_place_stage_done(struct cis_package_stage *stage);

/* The functions below want the lock held. */

/* The folder of a skill in place, which holds one folder for each version; make: when it is not
 * there. CIS_E_NOTFOUND, CIS_E_INVALID as above. */
cis_code cis_place_skill(const struct cis_place *place, struct cis_str name, bool make, int *out_fd,
                         struct cis_error *err);
/* The name of the content's folder in it; caller frees. NULL: out of memory. */
char *cis_place_version(struct cis_str version, struct cis_str digest);
/* The staged content takes its place in the skill's folder, marked; a folder that is there already
 * (the same content, installed again) is exchanged in one step and goes with the stage.
 * CIS_E_CONFLICT: what has the staged content's name is not what was checked. */
cis_code cis_place_move_in(const struct cis_package *package, int skill, const char *version,
                           struct cis_error *err);
/* Removes what killed installs and removals left. Best effort. */
void cis_place_sweep(const struct cis_place *place, const struct cis_skill_home *home,
                     struct cis_str tenant);
/* Takes a folder that no row names away. It leaves its place by one rename, so that a removal that
 * is killed half way leaves nothing that looks like a skill. Best effort. */
void cis_place_retire(const struct cis_place *place, int skill, const char *version);
void cis_place_unmark(int dir);
/* Marks a version when it is there. */
cis_code cis_place_mark_version(int skill, const char *version, struct cis_error *err);

/* Everything of a row, copied; .module, .config and .grants are left empty. CIS_E_DAMAGED: out has
 * its stamp alone. */
cis_code cis_row_read(const struct cis_skill_home *home, struct cis_str tenant, struct cis_str name,
                      struct cis_installed *out, struct cis_error *err);
/* Canonical texts of a set, one by one. */
cis_code cis_grant_texts(const struct cis_grants *set, char ***out_texts, size_t *out_n,
                         struct cis_error *err);
void cis_texts_free(char **texts, size_t n);
/* into ∪= from. */
cis_code cis_grants_merge(struct cis_grants *into, const struct cis_grants *from,
                          struct cis_error *err);
/* Writes a row again with other grants, all else as it was read. CIS_E_CONFLICT: it is another one
 * by now. */
cis_code cis_row_put_grants(const struct cis_skill_home *home, struct cis_str tenant,
                            const struct cis_installed *skill, const struct cis_grants *granted,
                            struct cis_error *err);

#endif
