/* Stage 1, line: log text, the other way in. A line is a datagram that went through a daemon's file.
 *
 * Owns the unfinished line between two calls.
 * Rule 1: where a line ends does not depend on where the input was cut.
 * Rule 2: a line is a record only if it starts as one; whatever else it says is never looked at.
 * Tested by tests/c/test_line.c and the text fuzz target. */
#ifndef AUDITSENSE_LINE_H
#define AUDITSENSE_LINE_H

#include "../_ring.h"
#include "carve.h"
#include "span.h"

typedef struct {
    uint16_t type; /* from the name after "type="; 0 for a name that decides nothing here */
    as_span text;  /* from "audit(" on */
    as_span node;  /* what a collector wrote as "node="; empty without */
} as_line;

typedef struct {
    uint8_t *rest; /* the unfinished line */
    uint32_t capacity;
    uint32_t len;
    bool cut; /* the unfinished line was longer than capacity */
} as_lines;

void as_lines_carve(as_lines *lines, const as_config *config, as_carver *from);

/* The next whole line at the start of *text, without its end; moves *text behind it. False: only a part
 * of a line is left; it was kept and *text is empty. *cut: the line was longer than fits. */
bool as_lines_take(as_lines *lines, as_span *text, as_span *line, bool *cut);

/* The unfinished line, at the end of the input. False: there is none. */
bool as_lines_rest(as_lines *lines, as_span *line, bool *cut);

/* Read "[node=NAME ]type=NAME msg=audit(…". False: not the start of a record. */
bool as_line_read(as_span line, as_line *out);

#endif
