/* Prints a whole tree, sorted: path, type, size, links, and a number over content or target. What
 * the suite itself puts into folders of the host is left out. */
#include "check.h"

static char path[8192];
static const char *const left_out[] = {"out_absolute", "out_relative", "out_dir", "old"};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static uint64_t number_of(uint64_t sum, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sum = (sum ^ bytes[i]) * 1099511628211ull;
    }
    return sum;
}

/* Of the first and the last part: some files are mostly a hole of gigabytes. */
static uint64_t content(int dir, const char *name, long long size)
{
    static unsigned char part[65536];
    uint64_t sum = 14695981039346656037ull;
    int fd = openat(dir, name, O_RDONLY);
    for (long long at = 0; fd >= 0 && at < size; at += (long long)sizeof part) {
        if (at == 1 << 20 && size - at > (long long)sizeof part) {
            at = size - (long long)sizeof part;
        }
        ssize_t n = pread(fd, part, sizeof part, at);
        if (n <= 0) {
            return 0;
        }
        sum = number_of(sum, part, (size_t)n);
    }
    if (fd < 0) {
        return 1;
    }
    close(fd);
    return sum;
}

static void print(size_t len, const struct stat *st, uint64_t number)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)path[i];
        if (c > ' ' && c < 127 && c != '\\') {
            putchar(c);
        } else {
            printf("\\%02x", c);
        }
    }
    printf(": %c %lld x%lld %016llx\n",
           S_ISDIR(st->st_mode)   ? 'd'
           : S_ISLNK(st->st_mode) ? 'l'
                                  : 'f',
           S_ISDIR(st->st_mode) ? 0 : (long long)st->st_size, (long long)st->st_nlink,
           (unsigned long long)number);
}

static bool shown(const char *name, size_t len)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return false;
    }
    for (size_t i = 0; len == 0 && i < COUNT(left_out); i++) {
        if (strcmp(name, left_out[i]) == 0) {
            return false;
        }
    }
    return true;
}

static char **names_of(int fd, size_t len, size_t *out_n)
{
    char **names = NULL;
    size_t n = 0;
    DIR *dir = fdopendir(fd);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (shown(e->d_name, len)) {
            if ((n & (n + 1)) == 0) {
                names = realloc(names, (2 * n + 2) * sizeof *names);
            }
            names[n++] = strdup(e->d_name);
        }
    }
    closedir(dir);
    if (n > 1) {
        qsort(names, n, sizeof *names, by_name);
    }
    *out_n = n;
    return names;
}

static void walk(int dir, size_t len)
{
    size_t n;
    char **names = names_of(openat(dir, ".", O_RDONLY | O_DIRECTORY), len, &n);
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        size_t name_len = strlen(names[i]);
        memcpy(path + len, names[i], name_len + 1);
        if (stat_of(dir, names[i], &st) != 0) {
            printf("%s: %s\n", path, errno_name(errno));
        } else if (S_ISLNK(st.st_mode)) {
            static unsigned char target[4096];
            ssize_t k = readlinkat(dir, names[i], (char *)target, sizeof target);
            print(len + name_len, &st, number_of(1, target, k > 0 ? (size_t)k : 0));
        } else if (S_ISDIR(st.st_mode)) {
            print(len + name_len, &st, 0);
            int next = openat(dir, names[i], O_RDONLY | O_DIRECTORY);
            path[len + name_len] = '/';
            walk(next, len + name_len + 1);
            close(next);
        } else {
            print(len + name_len, &st, content(dir, names[i], st.st_size));
        }
        free(names[i]);
    }
    free(names);
}

int main(void)
{
    static char out[65536];
    setvbuf(stdout, out, _IOFBF, sizeof out);
    base = open(MAIN_PLACE, O_RDONLY | O_DIRECTORY);
    printf("tree: %s\n", errno_name(base < 0 ? errno : 0));
    walk(base, 0);
    return 0;
}
