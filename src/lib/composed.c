/* What a component was composed of; see composed.h. */
#include "lib/composed.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"

static struct cis_str text_at(const json_t *item, const char *key)
{
    const json_t *value = json_object_get(item, key);
    return (struct cis_str){json_string_value(value), json_string_length(value)};
}

static const json_t *list_at(const json_t *item, const char *key)
{
    return json_object_get(item, key);
}

/* For one line of a terminal or a file: what would steer either is left out. */
static void plain(struct cis_buf *out, struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];
        cis_buf_byte(out, c < 0x20 || c == 0x7f ? '?' : c);
    }
}

/* ---- text ---- */

static void line(struct cis_buf *out, size_t indent, const json_t *item)
{
    struct cis_str name = text_at(item, "name"), from = text_at(item, "from");
    struct cis_str as = text_at(item, from.ptr != NULL ? "export" : "import");
    for (size_t i = 0; i < indent; i++) {
        cis_buf_text(out, "  ");
    }
    plain(out, name);
    if (from.ptr != NULL) {
        cis_buf_text(out, "  from ");
        plain(out, from);
    } else {
        cis_buf_text(out, as.ptr != NULL ? "  stays imported" : "  made inside");
    }
    if (as.ptr != NULL && !cis_str_eq(as, name)) {
        cis_buf_text(out, ", as ");
        plain(out, as);
    }
    cis_buf_byte(out, '\n');
}

static void part_text(const json_t *part, size_t indent, struct cis_buf *out)
{
    size_t i;
    json_t *item;
    for (size_t n = 0; n < indent; n++) {
        cis_buf_text(out, "  ");
    }
    plain(out, text_at(part, "name"));
    cis_buf_byte(out, '\n');
    json_array_foreach(list_at(part, "imports"), i, item)
    {
        line(out, indent + 1, item);
    }
    json_array_foreach(list_at(part, "parts"), i, item)
    {
        part_text(item, indent + 1, out);
    }
}

/* Which imports stay, each once with the parts that have it, in the order of the parts. */
static void imports_text(const json_t *composed, struct cis_buf *out)
{
    json_t *all = json_object();
    size_t i, j;
    json_t *part, *item;
    json_array_foreach(list_at(composed, "parts"), i, part)
    {
        json_array_foreach(list_at(part, "imports"), j, item)
        {
            struct cis_str import = text_at(item, "import");
            json_t *users =
                import.ptr != NULL ? json_object_getn(all, import.ptr, import.len) : NULL;
            if (import.ptr == NULL) {
                continue;
            }
            if (users == NULL) {
                users = json_array();
                json_object_setn_new(all, import.ptr, import.len, users);
            }
            json_array_append(users, json_object_get(part, "name"));
        }
    }
    const char *name;
    size_t len;
    json_t *users;
    cis_buf_printf(out, "stays imported: %zu\n", json_object_size(all));
    json_object_keylen_foreach(all, name, len, users)
    {
        cis_buf_text(out, "  ");
        plain(out, (struct cis_str){name, len});
        json_array_foreach(users, i, item)
        {
            cis_buf_text(out, i == 0 ? "  for " : ", ");
            plain(out, (struct cis_str){json_string_value(item), json_string_length(item)});
        }
        cis_buf_byte(out, '\n');
    }
    json_decref(all);
}

void cis_composed_text(const json_t *composed, struct cis_buf *out)
{
    size_t i;
    json_t *item;
    json_array_foreach(list_at(composed, "parts"), i, item)
    {
        part_text(item, 0, out);
    }
    imports_text(composed, out);
    cis_buf_printf(out, "exports: %zu\n", json_array_size(list_at(composed, "exports")));
    json_array_foreach(list_at(composed, "exports"), i, item)
    {
        line(out, 1, item);
    }
}

/* ---- Graphviz ---- */

static void dot_text(struct cis_buf *out, struct cis_str text)
{
    cis_buf_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') {
            cis_buf_byte(out, '\\');
        }
        plain(out, (struct cis_str){text.ptr + i, 1});
    }
    cis_buf_byte(out, '"');
}

/* Nodes have numbers: a part may be called as the host or the outside is. */
static json_int_t number_of(const json_t *by_name, struct cis_str name)
{
    json_t *n = name.ptr != NULL ? json_object_getn(by_name, name.ptr, name.len) : NULL;
    return n != NULL ? json_integer_value(n) : -1;
}

static json_t *number_parts(const json_t *composed)
{
    json_t *by_name = json_object(), *part;
    size_t i;
    json_array_foreach(list_at(composed, "parts"), i, part)
    {
        struct cis_str name = text_at(part, "name");
        if (name.ptr != NULL) {
            json_object_setn_new(by_name, name.ptr, name.len, json_integer((json_int_t)i));
        }
    }
    return by_name;
}

void cis_composed_dot(const json_t *composed, struct cis_buf *out)
{
    json_t *numbers = number_parts(composed), *part, *item;
    size_t i, j;
    cis_buf_text(out, "digraph composition {\n  rankdir=LR;\n  node [shape=box];\n"
                      "  imports [shape=plaintext];\n  exports [shape=plaintext];\n");
    json_array_foreach(list_at(composed, "parts"), i, part)
    {
        cis_buf_printf(out, "  p%zu [label=", i);
        dot_text(out, text_at(part, "name"));
        cis_buf_text(out, "];\n");
    }
    json_array_foreach(list_at(composed, "parts"), i, part)
    {
        json_array_foreach(list_at(part, "imports"), j, item)
        {
            json_int_t from = number_of(numbers, text_at(item, "from"));
            bool host = text_at(item, "import").ptr != NULL;
            if (from < 0 && !host) {
                continue;
            }
            if (host) {
                cis_buf_printf(out, "  imports -> p%zu [style=dashed, label=", i);
            } else {
                cis_buf_printf(out, "  p%lld -> p%zu [label=", (long long)from, i);
            }
            dot_text(out, text_at(item, "name"));
            cis_buf_text(out, "];\n");
        }
    }
    json_array_foreach(list_at(composed, "exports"), i, item)
    {
        json_int_t from = number_of(numbers, text_at(item, "from"));
        if (from >= 0) {
            cis_buf_printf(out, "  p%lld -> exports [label=", (long long)from);
            dot_text(out, text_at(item, "name"));
            cis_buf_text(out, "];\n");
        }
    }
    cis_buf_text(out, "}\n");
    json_decref(numbers);
}

/* ---- a picture ---- */

#define BOX_WIDE 180
#define BOX_HIGH 40
#define COLUMN 460 /* from one to the next: room for the names between */
#define ROW 90
#define LINE_HIGH 13
#define NAMES_SHOWN 4 /* on one line between two boxes */

static void xml(struct cis_buf *out, struct cis_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        switch (text.ptr[i]) {
        case '<':
            cis_buf_text(out, "&lt;");
            break;
        case '>':
            cis_buf_text(out, "&gt;");
            break;
        case '&':
            cis_buf_text(out, "&amp;");
            break;
        case '"':
            cis_buf_text(out, "&quot;");
            break;
        default:
            plain(out, (struct cis_str){text.ptr + i, 1});
        }
    }
}

struct box {
    int column, row;
};

/* A part is one column to the right of those that it imports from. Parts come after those that they
 * need in a component, so one pass is enough. */
static void place(const json_t *composed, const json_t *numbers, struct box *boxes, size_t n,
                  int *out_columns, int *out_rows)
{
    json_t *part, *item;
    size_t i, j;
    int *rows = cis_calloc(cis_size_add(n, 2), sizeof *rows);
    *out_columns = 1;
    *out_rows = 1;
    json_array_foreach(list_at(composed, "parts"), i, part)
    {
        int column = 1;
        json_array_foreach(list_at(part, "imports"), j, item)
        {
            json_int_t from = number_of(numbers, text_at(item, "from"));
            if (from >= 0 && (size_t)from < i && boxes[from].column >= column) {
                column = boxes[from].column + 1;
            }
        }
        boxes[i].column = column;
        boxes[i].row = rows != NULL ? rows[column]++ : (int)i;
        *out_columns = column > *out_columns ? column : *out_columns;
        *out_rows = boxes[i].row >= *out_rows ? boxes[i].row + 1 : *out_rows;
    }
    cis_free(rows);
}

static int x_of(int column)
{
    return 20 + column * COLUMN;
}

static int y_of(int row)
{
    return 30 + row * ROW;
}

static void box(struct cis_buf *out, int column, int row, struct cis_str name, bool part)
{
    cis_buf_printf(out,
                   "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\" fill=\"%s\" "
                   "stroke=\"#333\"%s/>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
                   x_of(column), y_of(row), BOX_WIDE, BOX_HIGH, part ? "#eef4ff" : "#fff",
                   part ? "" : " stroke-dasharray=\"4 3\"", x_of(column) + BOX_WIDE / 2,
                   y_of(row) + BOX_HIGH / 2 + 5);
    xml(out, name);
    cis_buf_text(out, "</text>\n");
}

/* The names that go from one box to another, on one line between them. */
static void edge(struct cis_buf *out, const struct box *a, const struct box *b, const json_t *names)
{
    int x1 = x_of(a->column) + BOX_WIDE, y1 = y_of(a->row) + BOX_HIGH / 2, x2 = x_of(b->column),
        y2 = y_of(b->row) + BOX_HIGH / 2;
    size_t i, n = json_array_size(names);
    json_t *name;
    cis_buf_printf(out,
                   "<path d=\"M%d %d C%d %d %d %d %d %d\" fill=\"none\" stroke=\"#666\" "
                   "marker-end=\"url(#end)\"><title>",
                   x1, y1, (x1 + x2) / 2, y1, (x1 + x2) / 2, y2, x2, y2);
    json_array_foreach(names, i, name)
    {
        cis_buf_text(out, i != 0 ? "\n" : "");
        xml(out, (struct cis_str){json_string_value(name), json_string_length(name)});
    }
    cis_buf_text(out, "</title></path>\n");
    int y = (y1 + y2) / 2 - 4 - (int)(n < NAMES_SHOWN ? n - 1 : NAMES_SHOWN - 1) * LINE_HIGH;
    for (i = 0; i < n && i < NAMES_SHOWN; i++) {
        cis_buf_printf(out,
                       "<text class=\"n\" x=\"%d\" y=\"%d\" "
                       "text-anchor=\"middle\">",
                       (x1 + x2) / 2, y + (int)i * LINE_HIGH);
        if (i + 1 == NAMES_SHOWN && n > NAMES_SHOWN) {
            cis_buf_printf(out, "and %zu more", n - NAMES_SHOWN + 1);
        } else {
            name = json_array_get(names, i);
            xml(out, (struct cis_str){json_string_value(name), json_string_length(name)});
        }
        cis_buf_text(out, "</text>\n");
    }
}

/* Edges into one box, joined by where they come from: key "-1" is the host. */
static json_t *grouped(const json_t *items, const json_t *numbers)
{
    json_t *groups = json_object(), *item;
    size_t i;
    json_array_foreach(items, i, item)
    {
        char key[32];
        json_int_t from = number_of(numbers, text_at(item, "from"));
        if (from < 0 && text_at(item, "import").ptr == NULL) {
            continue;
        }
        snprintf(key, sizeof key, "%lld", (long long)from);
        json_t *names = json_object_get(groups, key);
        if (names == NULL) {
            names = json_array();
            json_object_set_new(groups, key, names);
        }
        json_array_append(names, json_object_get(item, "name"));
    }
    return groups;
}

static void edges_into(struct cis_buf *out, const json_t *items, const json_t *numbers,
                       const struct box *boxes, const struct box *host, const struct box *to)
{
    json_t *groups = grouped(items, numbers), *names;
    const char *key;
    json_object_foreach(groups, key, names)
    {
        long from = strtol(key, NULL, 10);
        edge(out, from < 0 ? host : &boxes[from], to, names);
    }
    json_decref(groups);
}

void cis_composed_svg(const json_t *composed, struct cis_buf *out)
{
    const json_t *parts = list_at(composed, "parts");
    size_t i, n = json_array_size(parts);
    struct box *boxes = cis_calloc(cis_size_add(n, 1), sizeof *boxes);
    json_t *numbers = number_parts(composed), *part;
    int columns, rows;
    if (boxes == NULL) {
        json_decref(numbers);
        return;
    }
    place(composed, numbers, boxes, n, &columns, &rows);
    const struct box host = {0, (rows - 1) / 2}, outside = {columns + 1, (rows - 1) / 2};
    cis_buf_printf(out,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                   "font-family=\"sans-serif\" font-size=\"13\">\n<style>.n{font-size:10px;"
                   "fill:#333}</style>\n<defs><marker id=\"end\" viewBox=\"0 0 8 8\" refX=\"8\" "
                   "refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path "
                   "d=\"M0 0L8 4L0 8z\" fill=\"#666\"/></marker></defs>\n"
                   "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                   x_of(columns + 1) + BOX_WIDE + 20, y_of(rows));
    json_array_foreach(parts, i, part)
    {
        edges_into(out, list_at(part, "imports"), numbers, boxes, &host, &boxes[i]);
    }
    edges_into(out, list_at(composed, "exports"), numbers, boxes, &host, &outside);
    box(out, host.column, host.row, CIS_STR("imports"), false);
    box(out, outside.column, outside.row, CIS_STR("exports"), false);
    json_array_foreach(parts, i, part)
    {
        box(out, boxes[i].column, boxes[i].row, text_at(part, "name"), true);
    }
    cis_buf_text(out, "</svg>\n");
    cis_free(boxes);
    json_decref(numbers);
}
