/* What a tenant's rows count in its stored bytes: one formula for all backends, as SQL. A row
 * counts what it has of content, and for its keys, its place in indexes and the room that pages
 * leave free about what the larger of both databases needs. So the bytes on the disk stay within a
 * factor of what is counted (docs/filesystem.md), which tests/store/test_bound.c measures.
 *
 * Everything that a tenant can make any number of is here. Not counted are pins and tokens, which
 * lapse, and config and installed skills, which have limits of their own.
 *
 * A formula is of the columns of one row; r is put before each column's name: "", "NEW.". Columns
 * of text are bytes in both databases, so that length() counts bytes. */
#ifndef CIS_STORE_COST_H
#define CIS_STORE_COST_H

#define CIS_COST_REF(r) "(256 + 2 * length(" r "name))"
#define CIS_COST_BRANCH(r) "256"
#define CIS_COST_LINEAGE(r) "128"
#define CIS_COST_EPOCH(r) "(384 + length(" r "kind) + length(" r "note) + length(" r "keys))"
#define CIS_COST_SNAPSHOT(r) "(384 + 2 * length(" r "name) + length(" r "note))"
#define CIS_COST_DIRENT(r) "(192 + 2 * length(" r "name))"
#define CIS_COST_INODE(r) "(192 + length(" r "attr) + length(" r "data))"
#define CIS_COST_EXTENT(r) "160"
#define CIS_COST_CHUNK(r) "(256 + " r "bytes)"
/* The first 64 KiB of a value are in the search index, which takes more than the text. */
#define CIS_COST_MEMORY(r)                                                                         \
    "(512 + 8 * length(" r "key) + 2 * length(" r "ns) + length(" r "category)"                    \
    " + length(" r "value) + 7 * CASE WHEN length(" r "value) < 65540 THEN length(" r "value)"     \
    " ELSE 65540 END)"
#define CIS_COST_RUN(r) "(512 + length(" r "skill) + length(" r "status) + length(" r "report))"

/* X(table, formula) for every table that is counted. */
#define CIS_COST_TABLES(X)                                                                         \
    X("ref", CIS_COST_REF)                                                                         \
    X("branch", CIS_COST_BRANCH)                                                                   \
    X("lineage", CIS_COST_LINEAGE)                                                                 \
    X("epoch", CIS_COST_EPOCH)                                                                     \
    X("snapshot", CIS_COST_SNAPSHOT)                                                               \
    X("dirent", CIS_COST_DIRENT)                                                                   \
    X("inode", CIS_COST_INODE)                                                                     \
    X("extent", CIS_COST_EXTENT)                                                                   \
    X("chunk", CIS_COST_CHUNK)                                                                     \
    X("memory", CIS_COST_MEMORY)                                                                   \
    X("run", CIS_COST_RUN)
/* Y(table, column, formula) for what changes in a row that stays. */
#define CIS_COST_CHANGES(Y)                                                                        \
    Y("epoch", "keys", CIS_COST_EPOCH)                                                             \
    Y("inode", "attr", CIS_COST_INODE)                                                             \
    Y("chunk", "bytes", CIS_COST_CHUNK)

#endif
