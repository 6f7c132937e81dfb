/* What jansson may use of WASI's C library. */
#define HAVE_SYS_TIME_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_UNISTD_H 1
#define HAVE_FCNTL_H 1
#define HAVE_GETTIMEOFDAY 1
#define HAVE_SNPRINTF 1
#define HAVE_STRTOLL 1
#define INITIAL_HASHTABLE_ORDER 3
