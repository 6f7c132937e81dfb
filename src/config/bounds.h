/* Bounds of numbers that both the settings and the library's options have. 0 in an option: its
 * default, whatever the bounds are. */
#ifndef CIS_CONFIG_BOUNDS_H
#define CIS_CONFIG_BOUNDS_H

#define CIS_BOUND_HANDLES_MIN 16u
#define CIS_BOUND_HANDLES_MAX 100000u
#define CIS_BOUND_CACHE_CODE_MIN (1ull << 20) /* bytes on the disk */
#define CIS_BOUND_CACHE_CODE_MAX (1ull << 50)
#define CIS_BOUND_CACHE_BYTES_MIN (1ull << 20) /* of contents, and of pages */
#define CIS_BOUND_CACHE_BYTES_MAX (64ull << 30)
#define CIS_BOUND_CACHE_ENTRIES_MIN 512u /* names, and inodes */
#define CIS_BOUND_CACHE_ENTRIES_MAX (1u << 24)
#define CIS_BOUND_CACHE_MODULES_MIN 1u
#define CIS_BOUND_CACHE_MODULES_MAX 65536u

#endif
