/* The same shape with methods: a write hook that answers with a count, keywords as a NUL-terminated
 * JSON text that the guest made in memory of its own. */
#include "guest.h"

#define PAGE 65536u

EXPORT("skill_init") i32 skill_init(void)
{
    return 0;
}

EXPORT("skill_on_memory_write") i32 skill_on_memory_write(const char *input, i32 len)
{
    i32 words = 0;
    if (len == 0 || input[0] != '{') {
        return -1;
    }
    for (i32 i = 1; i < len; i++) {
        words += input[i] != ' ' && (input[i - 1] == ' ' || input[i - 1] == '"');
    }
    return words;
}

/* ["first","second",…]: the words of the input, from pages that it adds itself. */
EXPORT("skill_parse_keywords") char *skill_parse_keywords(const char *input, i32 len)
{
    char *text = (char *)(__builtin_wasm_memory_grow(0, (u32)len / 16384 + 1) * PAGE), *p = text;
    i32 in_word = 0;
    *p++ = '[';
    for (i32 i = 0; i < len; i++) {
        char c = input[i];
        i32 letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (letter && !in_word) {
            if (p[-1] != '[') {
                *p++ = ',';
            }
            *p++ = '"';
        }
        if (letter) {
            *p++ = c;
        } else if (in_word) {
            *p++ = '"';
        }
        in_word = letter;
    }
    if (in_word) {
        *p++ = '"';
    }
    *p++ = ']';
    *p = 0;
    return text;
}
