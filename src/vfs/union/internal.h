/* What the files of this room share: nodes that join an upper and a lower file, the look at a name
 * in both, copying up. */
#ifndef CIS_VFS_UNION_INTERNAL_H
#define CIS_VFS_UNION_INTERNAL_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include "base/lock.h"
#include "base/map.h"
#include "vfs/union/union.h"

#define UNION_MARK CIS_VFS_KEPT "-lower" /* symlink: the lower folder (mark.c) */
#define UNION_HOME CIS_VFS_KEPT          /* folder in the root: what has no other place */
#define UNION_BUCKETS 1024u
#define UNION_KEPT 64u /* folders whose nodes are kept for the next walk */
#define UNION_KEY CIS_UNION_KEY

/* A file of the union. Folders have both parts when one continues the other; other files have the
 * upper part as soon as they are copied up. */
struct unode {
    struct unode *unext, *lnext; /* in the tables by part */
    uint64_t refs;
    _Atomic cis_node upper; /* 0, then set once; referenced, as lower is */
    cis_node lower;
    uint32_t type;
    uint64_t ino;
    /* Where a lower part is to be copied to; not looked at for what has an upper part. Of folders,
     * always the place they are at. */
    struct unode *parent;
    char *name;
    char *lower_path; /* of folders with a lower part: "/", "/a/b" */
    bool gone;        /* removed: it has no place */
    uint64_t charged;
    /* Lower files with several names: see index.c. */
    char key[UNION_KEY]; /* "" else */
    uint32_t lower_links;
    /* Folders. */
    bool overlap_known;
    uint32_t overlap;       /* lower subfolders that the upper one hides or continues */
    _Atomic uint64_t moves; /* names that came or went, for listings */
};

/* Locks, outermost first; house_thread_safety checks it. copying: one file at a time. names: see
 * union.h. file: of a file, its upper part being opened and its listing. table: references, the
 * buckets and what is kept. */
CIS_LOCK_CLASS(union_lock_table);
CIS_LOCK_CLASS(union_lock_file, CIS_BEFORE(union_lock_table));
CIS_LOCK_CLASS(union_lock_names, CIS_BEFORE(union_lock_file));
CIS_LOCK_CLASS(union_lock_copying, CIS_BEFORE(union_lock_names));

struct unionfs {
    cis_vfs vfs;
    cis_vfs *up, *low;
    struct unode root;
    pthread_rwlock_t names; /* see union.h */
    pthread_mutex_t copying;
    pthread_mutex_t table;
    struct unode *by_upper[UNION_BUCKETS] CIS_GUARDED_BY(union_lock_table);
    struct unode *by_lower[UNION_BUCKETS] CIS_GUARDED_BY(union_lock_table);
    struct unode *kept[UNION_KEPT] CIS_GUARDED_BY(union_lock_table);
    uint32_t next_kept CIS_GUARDED_BY(union_lock_table);
    cis_node home; /* of the upper root; 0: not made yet; referenced */
    _Atomic uint64_t temps;
    struct cis_map again;      /* lower files that were another once, by key: the key before */
    struct cis_budget *budget; /* may be NULL; used under table */
};

/* The numbers that are shown. Those of the lower one stay, by which programs know that a file is
 * what it was (git reads every file again whose number is another); those of the upper one, which
 * counts from 1, are moved away from them and stay below 2^53: programs that have numbers as
 * doubles (JavaScript) would take files of neighbouring numbers for one. A lower one that is there
 * (network filesystems) gives way. Folders of other devices have bit 63 (hostdir). */
static inline uint64_t cis_union_ino(uint64_t ino, bool lower)
{
    return !lower ? ino | 1ull << 52 : ino >> 52 == 1 ? ino | 1ull << 63 : ino;
}

static inline struct unionfs *union_of(cis_vfs *vfs)
{
    return (struct unionfs *)vfs;
}

static inline struct unode *unode_of(cis_node node)
{
    return (struct unode *)(uintptr_t)node;
}

static inline bool is_reserved(struct cis_str name)
{
    return cis_str_starts(name, CIS_STR(CIS_VFS_KEPT));
}

static inline bool is_whiteout(const struct cis_vfs_attr *attr)
{
    return S_ISCHR(attr->mode) && attr->rdev == 0;
}

static inline void part_put(cis_vfs *vfs, cis_node node)
{
    if (node != 0 && node != vfs->root) {
        cis_vfs_forget(vfs, node, 1);
    }
}

/* ---- node.c ---- */
int cis_union_charge(struct unionfs *u, uint64_t bytes); /* ENOMEM */
void cis_union_uncharge(struct unionfs *u, uint64_t bytes);
struct unode *cis_unode_ref(struct unionfs *u, struct unode *node);
void cis_unode_put(struct unionfs *u, struct unode *node, uint64_t n);
/* The node of an upper or lower part (0: none), whose references are taken over; made when it is
 * not there. place: parent and name. ENOMEM. */
struct unode_parts {
    cis_node upper, lower;
    struct cis_vfs_attr attr; /* of the part that shows */
    const char *lower_path;   /* of folders */
    const char *key;          /* "" or that of a file with several lower names */
    uint32_t lower_links;
};
int cis_unode_get(struct unionfs *u, const struct unode_parts *parts, struct unode *parent,
                  struct cis_str name, struct unode **out);
/* A copy was made; the reference is taken over. */
void cis_unode_copied(struct unionfs *u, struct unode *node, cis_node upper);
/* A folder or lower file is elsewhere now. Its name is made beforehand, so that this cannot fail
 * when it was moved already, and taken over. */
int cis_unode_name(struct unionfs *u, struct cis_str name, char **out_name);
void cis_unode_name_free(struct unionfs *u,
                         char *name); /* one that was not needed; NULL is allowed */
void cis_unode_place(struct unionfs *u, struct unode *node, struct unode *parent, char *name);
void cis_unode_keep(struct unionfs *u, struct unode *node);
/* What somebody still holds who is gone: a mount that ended does not say what it forgot. */
void cis_unode_free_all(struct unionfs *u);
void cis_unode_drop_kept(struct unionfs *u);

/* ---- look.c: names lock held ---- */
struct seen {
    bool upper, whiteout, lower; /* which of them has the name; lower only when nothing hides it */
    cis_node node;               /* of that part; referenced */
    struct cis_vfs_attr attr;    /* of that part */
};
/* ENOENT when neither has it (seen->whiteout is set all the same). */
int cis_union_look(struct unionfs *u, const struct cis_vfs_call *call, const struct unode *dir,
                   struct cis_str name, struct seen *out);
/* The node of what was seen; takes over its reference. */
int cis_union_node(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                   struct cis_str name, const struct seen *seen, struct unode **out);
/* Both. */
int cis_union_find(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                   struct cis_str name, struct unode **out);
int cis_union_attr(struct unionfs *u, const struct cis_vfs_call *call, struct unode *node,
                   struct cis_vfs_attr *out);
/* Does the lower part of dir have the name, whatever hides it? Who hides names asks so that an
 * error is not taken for no. */
int cis_union_lower_find(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct unode *dir, struct cis_str name, bool *out_there,
                         struct cis_vfs_attr *out_attr);
bool cis_union_lower_has(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct unode *dir, struct cis_str name,
                         struct cis_vfs_attr *out_attr);
int cis_union_lookup(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name, cis_node *out_node, struct cis_vfs_attr *out_attr);

/* ---- index.c: lower files with several names ---- */
void cis_union_index_key(const struct cis_vfs_attr *lower, char out[UNION_KEY]);
/* The key of a lower file, or of the newest that it was once and that has a copy. Not known: its
 * copy is not to be looked for, as it has one name and was no other file. */
int cis_union_index_hash(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct cis_vfs_attr *lower, char out[UNION_KEY], bool *out_known);
/* The copy, referenced; ENOENT. */
int cis_union_index_copy(struct unionfs *u, const struct cis_vfs_call *call, const char *key,
                         cis_node *out_node, struct cis_vfs_attr *out_attr);
/* Puts the finished copy `temp` of the home folder where all names find it. */
int cis_union_index_add(struct unionfs *u, const struct cis_vfs_call *call, struct cis_str temp,
                        const char *key, uint32_t lower_links, uint64_t upper_ino);
/* Of an upper file with several names: is it such a copy? */
bool cis_union_index_of_upper(struct unionfs *u, const struct cis_vfs_call *call,
                              uint64_t upper_ino, char out_key[UNION_KEY], uint32_t *out_links);
/* Lower names of the file that do not show any more. */
uint32_t cis_union_index_hidden(struct unionfs *u, const struct cis_vfs_call *call,
                                const char *key);
/* One more. Before the name goes, as it may fail; then either the copy goes with the last name
 * (cis_union_index_hidden_end), or the name stayed after all (cis_union_index_hidden_back). */
int cis_union_index_hide(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct cis_vfs_attr *lower);
void cis_union_index_hidden_end(struct unionfs *u, const struct cis_vfs_call *call,
                                const struct cis_vfs_attr *lower);
void cis_union_index_hidden_back(struct unionfs *u, const struct cis_vfs_call *call,
                                 const struct cis_vfs_attr *lower);
/* An upper name of the file went: the copy goes with the last name. */
void cis_union_index_tidy(struct unionfs *u, const struct cis_vfs_call *call, const char *key,
                          uint32_t lower_links);

/* ---- mark.c ---- */
struct mark {
    struct cis_buf text;
    struct cis_str path, key; /* in text; path "": there is none; key "": not known */
};
#define MARK_INIT                                                                                  \
    {                                                                                              \
        .text = CIS_BUF_INIT(CIS_VFS_PATH_MAX)                                                     \
    }
/* As `name` of the folder; lower: what is at lower_path. */
int cis_union_mark_put(struct unionfs *u, const struct cis_vfs_call *call, cis_node folder,
                       struct cis_str name, const char *lower_path,
                       const struct cis_vfs_attr *lower);
int cis_union_mark_read(struct unionfs *u, const struct cis_vfs_call *call, cis_node folder,
                        struct mark *out);
void cis_union_mark_done(struct mark *mark);
/* The lower folder that is meant, and where it is. near: the name in what its parent continues;
 * here: the path in the union; "": not known. ENOENT: none of the three is a folder. */
int cis_union_mark_follow(struct unionfs *u, const struct cis_vfs_call *call,
                          const struct mark *mark, struct cis_str near, struct cis_str here,
                          cis_node *out_lower, struct cis_str *out_path);
/* The mark says what dir continues now. temp: a name of the home folder. */
int cis_union_mark_renew(struct unionfs *u, const struct cis_vfs_call *call,
                         const struct unode *dir, struct cis_str temp);

/* ---- seen.c ---- */
/* Of a regular file or a symlink. */
int cis_union_seen_digest(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node,
                          const struct cis_vfs_attr *attr, uint8_t out[CIS_DIGEST_BYTES]);
/* Have two regular files the same content? */
int cis_union_seen_same(struct unionfs *u, const struct cis_vfs_call *call, cis_node upper,
                        const struct cis_vfs_attr *now, cis_node lower,
                        const struct cis_vfs_attr *was, bool *out);
/* Does the file that a name shows show what is below? Behind an upper file there may be anything by
 * now: nobody saw it, and what was copied has its record. */
static inline bool seen_lower(const struct unode *node)
{
    return node->lower != 0 && (node->type == S_IFDIR || node->upper == 0);
}
/* names held for writing: the lower name of dir, which is shown, is about to be hidden. */
int cis_union_seen_name(struct unionfs *u, const struct cis_vfs_call *call, const struct unode *dir,
                        struct cis_str name);
/* The same: the lower file was copied, and had this digest. */
int cis_union_seen_copy(struct unionfs *u, const struct cis_vfs_call *call,
                        const struct unode *node, const struct cis_vfs_attr *attr,
                        const uint8_t digest[CIS_DIGEST_BYTES]);

/* ---- copy.c ---- */
/* The folder has an upper part afterwards, and those above it. names held for writing. */
int cis_union_copy_folder(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir);
/* The file has an upper part afterwards. No lock held. */
int cis_union_copy_file(struct unionfs *u, const struct cis_vfs_call *call, struct unode *node,
                        bool data);
int cis_union_copy_any(struct unionfs *u, const struct cis_vfs_call *call, struct unode *node);
int cis_union_home_get(struct unionfs *u, const struct cis_vfs_call *call);
struct cis_str cis_union_home_temp(struct unionfs *u,
                                   char out[32]); /* a name there that nothing has */

/* ---- names.c, rename.c ---- */
/* names held for writing: a lower name shows no more; the upper folder is there. */
int cis_union_name_hide(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                        struct cis_str name);
/* A whiteout makes room. */
int cis_union_name_clear(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                         struct cis_str name);
/* The upper part of a folder that shows nothing: marks and whiteouts go, then itself. */
int cis_union_folder_remove(struct unionfs *u, const struct cis_vfs_call *call,
                            struct unode *parent, struct cis_str name, struct unode *dir);
/* What dir shows changed under this name. */
void cis_union_name_moved(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                          struct cis_str name);
int cis_union_make(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir, struct cis_str name,
                   const struct cis_vfs_make *make, cis_node *out_node,
                   struct cis_vfs_attr *out_attr);
int cis_union_create(cis_vfs *vfs, const struct cis_vfs_call *call,
                     const struct cis_vfs_create_request *request, cis_vfs_file **out_file,
                     cis_node *out_node, struct cis_vfs_attr *out_attr);
int cis_union_link(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node file, cis_node dir,
                   struct cis_str name, struct cis_vfs_attr *out_attr);
int cis_union_unlink(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name);
int cis_union_rmdir(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                    struct cis_str name);
int cis_union_rename(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                     struct cis_str name, cis_node to_dir, struct cis_str to_name, unsigned flags);

/* ---- file.c, listing.c ---- */
struct union_listing;
struct ufile {
    cis_vfs_file file;
    struct unode *node; /* referenced */
    _Atomic(cis_vfs_file *) up;
    cis_vfs_file *low;
    pthread_mutex_t lock;
    struct union_listing *listing CIS_GUARDED_BY(union_lock_file);
};
static inline struct ufile *ufile_of(cis_vfs_file *file)
{
    return (struct ufile *)file;
}
int cis_ufile_new(struct unionfs *u, struct unode *node, int flags, cis_vfs_file *up,
                  cis_vfs_file *low, cis_vfs_file **out);
int cis_union_open_file(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node node, int flags,
                        cis_vfs_file **out_file);
void cis_union_release(cis_vfs_file *file);
int cis_union_read(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                   int niov, uint64_t offset, size_t *out_n);
int cis_union_write(cis_vfs_file *file, const struct cis_vfs_call *call, const struct iovec *iov,
                    int niov, uint64_t offset, size_t *out_n, uint64_t *out_end);
int cis_union_sync(cis_vfs_file *file, const struct cis_vfs_call *call, bool data_only);
int cis_union_allocate(cis_vfs_file *file, const struct cis_vfs_call *call, int mode,
                       uint64_t offset, uint64_t len);
int cis_union_seek(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t offset, int whence,
                   uint64_t *out_offset);
int cis_union_readdir(cis_vfs_file *file, const struct cis_vfs_call *call, uint64_t cookie,
                      bool attributes, cis_vfs_entry_each *each, void *self);
void cis_union_listing_unref(struct union_listing *listing);
/* names held: does the folder show any entry? */
int cis_union_is_empty(struct unionfs *u, const struct cis_vfs_call *call, struct unode *dir,
                       bool *out_empty);
/* Every entry of one part, "." and ".." too. */
int cis_union_part_list(cis_vfs *vfs, const struct cis_vfs_call *call, cis_node dir,
                        cis_vfs_entry_each *each, void *self);

#endif
