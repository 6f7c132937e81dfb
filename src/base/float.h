/* Numbers with a fraction as text, whatever the locale of the process: a library does not choose
 * it, and where the comma is the decimal sign printf writes what is no number in JSON. */
#ifndef CIS_BASE_FLOAT_H
#define CIS_BASE_FLOAT_H

#include "base/buf.h"

#define CIS_FLOAT_TEXT_MAX 40u

/* The shortest text that reads back as the same number; single: as the same float. */
void cis_float_exact(double value, bool single, char out[CIS_FLOAT_TEXT_MAX]);
/* As "%g": six digits. */
void cis_buf_float(struct cis_buf *buf, double value);
/* As strtod, strtof in the C locale. */
double cis_float_read(const char *text, char **out_end);
float cis_float_read_single(const char *text, char **out_end);

#endif
