/* Extracts keywords from text and keeps them in memory: words are cut at anything that is neither a
 * letter nor a digit, lower-cased (ASCII), stop words and short ones dropped, counted, and merged
 * with the counts of earlier runs. Keys written: "keywords" (all counts), "keywords/top" (the most
 * frequent, best first), "keywords/texts" (how many texts were read). */
#include "cis_json.h"
#include "cis_skill.h"

#define MAX_WORDS 20000 /* different words kept; the rarest beyond are not added */
#define MAX_WORD_LEN 64
#define MIN_WORD_LEN 3
#define DEFAULT_TOP 8

/* Sorted: found by bsearch. */
static const char *const stop_words[] = {
    "about",   "above", "after",  "again", "all",    "also",  "and",  "any",  "are",
    "because", "been",  "before", "being", "below",  "both",  "but",  "can",  "could",
    "did",     "does",  "doing",  "down",  "during", "each",  "few",  "for",  "from",
    "further", "had",   "has",    "have",  "having", "her",   "here", "hers", "him",
    "his",     "how",   "into",   "its",   "just",   "more",  "most", "nor",  "not",
    "now",     "off",   "once",   "one",   "only",   "other", "our",  "ours", "out",
    "over",    "own",   "same",   "she",   "should", "some",  "such", "than", "that",
    "the",     "their", "them",   "then",  "there",  "these", "they", "this", "those",
    "through", "too",   "two",    "under", "until",  "very",  "was",  "were", "what",
    "when",    "where", "which",  "while", "who",    "whom",  "why",  "will", "with",
    "would",   "you",   "your",   "yours",
};

struct word {
    char *text;
    size_t len;
    long count;
    bool fresh; /* not known from an earlier run */
};

struct table { /* open addressing; words are never removed */
    struct word *rows;
    size_t cap, used;
};

static int compare_stop(const void *key, const void *row)
{
    return strcmp(key, *(const char *const *)row);
}

static bool is_stop_word(const char *word)
{
    return bsearch(word, stop_words, sizeof stop_words / sizeof *stop_words, sizeof *stop_words,
                   compare_stop) != NULL;
}

static struct word *slot(struct table *t, const char *text, size_t len)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    }
    size_t i = h & (t->cap - 1);
    while (t->rows[i].text != NULL &&
           (t->rows[i].len != len || memcmp(t->rows[i].text, text, len) != 0)) {
        i = (i + 1) & (t->cap - 1);
    }
    return &t->rows[i];
}

static bool add(struct table *t, const char *text, size_t len, long count, bool fresh)
{
    struct word *w = slot(t, text, len);
    if (w->text == NULL) {
        if (t->used == MAX_WORDS) {
            return true;
        }
        char *copy = malloc(len + 1);
        if (copy == NULL) {
            return false;
        }
        memcpy(copy, text, len);
        copy[len] = 0;
        *w = (struct word){copy, len, 0, fresh};
        t->used++;
    }
    w->count += count;
    return true;
}

/* Bytes of UTF-8 sequences count as letters, so words of any script stay whole. */
static bool is_letter(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

static bool read_text(struct table *t, const char *text, size_t len, long *words)
{
    char word[MAX_WORD_LEN + 1];
    for (size_t i = 0; i < len;) {
        size_t n = 0, start = i;
        bool digits = true;
        for (; i < len && is_letter((unsigned char)text[i]); i++) {
            unsigned char c = (unsigned char)text[i];
            digits = digits && c >= '0' && c <= '9';
            if (n < MAX_WORD_LEN) {
                word[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : (char)c;
            }
        }
        word[n] = 0;
        *words += i > start;
        if (i == start) {
            i++;
        } else if (i - start <= MAX_WORD_LEN && n >= MIN_WORD_LEN && !digits &&
                   !is_stop_word(word) && !add(t, word, n, 1, true)) {
            return false;
        }
    }
    return true;
}

static bool read_known(struct table *t, struct json counts)
{
    struct json key, value;
    size_t cursor = 0;
    while (json_next(counts, &cursor, &key, &value)) {
        size_t len = 0;
        char *text = json_string(key, &len);
        if (text == NULL || !add(t, text, len, json_number(value, 0), false)) {
            return false;
        }
        free(text);
    }
    return true;
}

static int by_count(const void *a, const void *b)
{
    const struct word *x = a, *y = b;
    if (x->count != y->count) {
        return x->count < y->count ? 1 : -1;
    }
    return strcmp(x->text, y->text);
}

/* Moves the words to the front, most frequent first. */
static void sort_words(struct table *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->cap; i++) {
        if (t->rows[i].text != NULL) {
            t->rows[n++] = t->rows[i];
        }
    }
    qsort(t->rows, n, sizeof *t->rows, by_count);
}

static void put_counts(struct json_out *out, const struct table *t)
{
    json_text(out, "{");
    for (size_t i = 0; i < t->used; i++) {
        json_text(out, i == 0 ? "" : ",");
        json_quote(out, t->rows[i].text, t->rows[i].len);
        json_text(out, ":");
        json_int(out, t->rows[i].count);
    }
    json_text(out, "}");
}

static void put_top(struct json_out *out, const struct table *t, size_t top)
{
    json_text(out, "[");
    for (size_t i = 0; i < t->used && i < top; i++) {
        json_text(out, i == 0 ? "{\"word\":" : ",{\"word\":");
        json_quote(out, t->rows[i].text, t->rows[i].len);
        json_text(out, ",\"count\":");
        json_int(out, t->rows[i].count);
        json_text(out, "}");
    }
    json_text(out, "]");
}

static int fail(const char *what, const char *why)
{
    struct json_out out = {0};
    json_text(&out, "{\"success\":false,\"error\":");
    json_quote(&out, what, strlen(what));
    json_text(&out, ",\"reason\":");
    json_quote(&out, why, strlen(why));
    json_text(&out, "}");
    cis_log(CIS_ERROR, what);
    cis_output(out.text, out.len);
    return 1;
}

CIS_SKILL_ENTRY(input, len)
{
    struct json in = json_of(input, (size_t)len);
    struct table t = {calloc(32768, sizeof *t.rows), 32768, 0};
    size_t known_len = 0, text_len = 0, texts_len = 0;
    long words = 0;
    int32_t code = 0;
    char *text = json_string(json_member(in, "text"), &text_len);
    if (text == NULL) {
        return fail("text is missing", "the input is {\"text\":\"…\"}");
    }
    if (t.rows == NULL) {
        return fail("out of memory", "the guest's memory is used up");
    }

    char *known = cis_memory_get("keywords", &known_len, &code);
    if (known == NULL && code != CIS_ABSENT) {
        return fail("cannot read the known keywords", cis_result_text(code));
    }
    if (known != NULL && !read_known(&t, json_of(known, known_len))) {
        return fail("out of memory", "too many known keywords");
    }
    size_t before = t.used;
    char *texts_text = cis_memory_get("keywords/texts", &texts_len, &code);
    long texts = texts_text != NULL ? strtol(texts_text, NULL, 10) + 1 : 1;
    if (!read_text(&t, text, text_len, &words)) {
        return fail("out of memory", "the text has too many different words");
    }
    sort_words(&t);

    long top = json_number(json_member(in, "top"), DEFAULT_TOP);
    struct json_out counts = {0}, best = {0}, count = {0}, line = {0}, out = {0};
    put_counts(&counts, &t);
    put_top(&best, &t, top > 0 && top <= 1000 ? (size_t)top : DEFAULT_TOP);
    json_int(&count, texts);
    if (counts.failed || best.failed || count.failed) {
        return fail("out of memory", "the guest's memory is used up");
    }
    code = cis_memory_set("keywords", counts.text, counts.len);
    if (code == CIS_DONE) {
        code = cis_memory_set("keywords/top", best.text, best.len);
    }
    if (code == CIS_DONE) {
        code = cis_memory_set("keywords/texts", count.text, count.len);
    }
    if (code != CIS_DONE) {
        return fail("cannot write the keywords", cis_result_text(code));
    }

    json_int(&line, words);
    json_text(&line, " words, ");
    json_int(&line, (long long)t.used);
    json_text(&line, " keywords known, ");
    json_int(&line, (long long)(t.used - before));
    json_text(&line, " of them new");
    cis_log(CIS_INFO, line.failed ? "done" : line.text);
    json_text(&out, "{\"success\":true,\"texts\":");
    json_int(&out, texts);
    json_text(&out, ",\"words\":");
    json_int(&out, words);
    json_text(&out, ",\"known\":");
    json_int(&out, (long long)t.used);
    json_text(&out, ",\"new\":");
    json_int(&out, (long long)(t.used - before));
    json_text(&out, ",\"keywords\":");
    json_raw(&out, best.text, best.len);
    json_text(&out, "}");
    cis_output(out.text, out.len);
    return 0;
}
