/* Forms: what a question to the person asks for. A form is a flat object in the words of JSON
 * Schema, so that a client can show it as fields: every property is a string, a number, an integer,
 * a boolean, or a list of choices. Pure functions over JSON that was parsed; no state.
 *
 * A request is {"message": TEXT, "schema": {"type": "object", "properties": {…}, "required": […]}}.
 * Keywords of a property: type, title, description, default; of strings minLength, maxLength,
 * format, enum, enumNames, oneOf; of numbers minimum, maximum; of lists minItems, maxItems, items
 * (enum or anyOf). oneOf and anyOf are lists of {const, title}. Anything else is refused, and so is
 * text that steers a terminal. format is for who shows the form; it is not checked.
 *
 * Two requests are answered by the person's client, not by the person: {"sampling": {"messages":
 * [{"role", "content": {"type": "text", "text"}}], "maxTokens", "systemPrompt"?, "temperature"?}}
 * (its model goes on), answered by {"role", "content", "model", …}; and {"roots": {}} (the folders
 * it works on), answered by {"roots": […]}. {"all": {KEY: REQUEST, …}} are several at once, none of
 * them another such list, answered by an object of answers. */
#ifndef CIS_HOST_FORM_H
#define CIS_HOST_FORM_H

#include <jansson.h>
#include "base/error.h"

#define CIS_FORM_FIELDS_MAX 32u
#define CIS_FORM_MESSAGE_MAX 4096u /* bytes */
#define CIS_FORM_ALL_MAX 16u

/* CIS_E_INVALID says what is wrong, where. */
cis_code cis_form_check(const json_t *request, struct cis_error *err);
/* Is content an object that the form of a request that passed cis_form_check takes? */
cis_code cis_form_fits(const json_t *request, const json_t *content, struct cis_error *err);

#endif
