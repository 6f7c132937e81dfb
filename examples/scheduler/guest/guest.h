/* What every component here has: the interfaces it was written for, cabi_realloc, and results. */
#ifndef SCHEDULER_GUEST_H
#define SCHEDULER_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The interfaces as text, which `cis component new` reads: a world, and the packages it names. */
#define GUEST_WIT(world, ...)                                                                      \
    __asm__(".section \".custom_section.cis:wit\",\"\",@\n"                                        \
            ".incbin \"" SCHEDULER_DIR "/worlds/" world "\"\n" __VA_ARGS__ ".text\n")
#define GUEST_PACKAGE(file) ".incbin \"" SCHEDULER_DIR "/wit/" file "\"\n"

#define GUEST_IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define GUEST_EXPORT(name) __attribute__((export_name(name)))

/* Text of a caller or a result: what a list or a string is in memory. */
struct guest_text {
    char *at;
    size_t len;
};
/* Frees what cabi_realloc gave; for nothing it gives no memory. */
static inline void guest_free(void *at)
{
    if ((uintptr_t)at > 16) {
        free(at);
    }
}

/* result<string, string>, result<_, string> */
struct guest_said {
    uint8_t failed;
    struct guest_text text;
};

#endif
