/* Runs a libFuzzer entry without libFuzzer: every file of a corpus folder as it is, then cut at
 * random places and with bytes changed, from a fixed seed or that of CIS_TEST_SEED. So each corpus
 * is an ordinary test, and the same entry links with -fsanitize=fuzzer for long runs. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t seed = 0x9e3779b97f4a7c15u, fed;

static uint32_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32);
}

/* From an allocation of the exact size, so that a sanitizer sees one byte too many. */
static void feed(const uint8_t *data, size_t size)
{
    fed++;
    uint8_t *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL) {
        exit(2);
    }
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void mutate(const uint8_t *data, size_t size, unsigned rounds)
{
    uint8_t *copy = malloc(size);
    for (unsigned i = 0; copy != NULL && size != 0 && i < rounds; i++) {
        memcpy(copy, data, size);
        size_t n = i % 4 == 0 ? next_random() % size : size;
        for (unsigned k = next_random() % 4; n != 0 && k > 0; k--) {
            uint32_t r = next_random();
            size_t at = next_random() % n;
            static const uint8_t marks[] = "\"[]{}=.#\n\\,'";
            const uint8_t choices[] = {(uint8_t)(r >> 8), marks[(r >> 8) % 12],
                                       (uint8_t)(copy[at] ^ (1u << ((r >> 8) & 7))),
                                       data[(r >> 8) % size]};
            copy[at] = choices[r & 3];
        }
        feed(copy, n);
    }
    free(copy);
}

static int replay_file(const char *path, unsigned rounds)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        return 0;
    }
    static uint8_t data[1u << 20];
    size_t n = fread(data, 1, sizeof data, in);
    fclose(in);
    feed(data, n);
    mutate(data, n, rounds);
    return 1;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 500;
    DIR *list = argc > 1 ? opendir(argv[1]) : NULL;
    int files = 0;
    if (getenv("CIS_TEST_SEED") != NULL) {
        seed ^= strtoull(getenv("CIS_TEST_SEED"), NULL, 10) << 1;
    }
    if (list == NULL) {
        fprintf(stderr, "usage: %s CORPUS [ROUNDS]\n", argv[0]);
        return 2;
    }
    for (struct dirent *e; (e = readdir(list)) != NULL;) {
        char path[4096];
        if (e->d_name[0] != '.' &&
            snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name) < (int)sizeof path) {
            files += replay_file(path, rounds);
        }
    }
    closedir(list);
    printf("%d files replayed, %llu runs\n", files, (unsigned long long)fed);
    return files > 0 ? 0 : 1;
}
