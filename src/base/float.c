#include "base/float.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* "C" as an object costs nothing: the C library has it ready. 0 only when it is out of memory: then
 * the locale is as it is. */
static locale_t plain(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static void done(locale_t c)
{
    if (c != (locale_t)0) {
        freelocale(c);
    }
}

/* As "%.*g" in the C locale. */
static void text_of(double value, int digits, char out[CIS_FLOAT_TEXT_MAX])
{
    locale_t c = plain(), before = uselocale(c); /* of this thread alone; 0 changes nothing */
    snprintf(out, CIS_FLOAT_TEXT_MAX, "%.*g", digits, value);
    (void)uselocale(before);
    done(c);
}

void cis_float_exact(double value, bool single, char out[CIS_FLOAT_TEXT_MAX])
{
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        text_of(value, digits, out);
        double back = cis_float_read(out, NULL);
        if (isnan(value) || (single ? (float)back == (float)value : back == value)) {
            break;
        }
    }
}

void cis_buf_float(struct cis_buf *buf, double value)
{
    char text[CIS_FLOAT_TEXT_MAX];
    text_of(value, 6, text);
    cis_buf_text(buf, text);
}

double cis_float_read(const char *text, char **out_end)
{
    locale_t c = plain();
    double value = c != (locale_t)0 ? strtod_l(text, out_end, c) : strtod(text, out_end);
    done(c);
    return value;
}

float cis_float_read_single(const char *text, char **out_end)
{
    locale_t c = plain();
    float value = c != (locale_t)0 ? strtof_l(text, out_end, c) : strtof(text, out_end);
    done(c);
    return value;
}
