/* Stage 1, line: log text, the other input. A line is a datagram that went through a daemon's file.
 *
 * Owns: the unfinished line between two calls.
 * Rule 1: the end of a line does not depend on where the input was split.
 * Rule 2: a line is a record if it starts as one, or after a known prefix (prefix.h). Text after the start of a record
 *   is never searched.
 * Rule 3: a zero byte also ends a line. No daemon writes one: a file system that lost a block leaves it.
 * Tested by tests/c/test_line.c and the text fuzz target. */
#ifndef AUDITSENSE_LINE_H
#define AUDITSENSE_LINE_H

#include "../_ring.h"
#include "arena.h"
#include "span.h"

enum { AS_SAMPLE_BYTES = 240 };

typedef struct {
    uint16_t type; /* from the name after "type="; 0 for a name that decides nothing */
    as_span text;  /* starts with "audit(" */
    as_span node;  /* from "node=" of a collector; empty without */
} as_line;

typedef struct {
    uint8_t *rest; /* the unfinished line */
    uint32_t capacity;
    uint32_t len;
    uint32_t clean; /* bytes at the start of the text known to hold no zero byte */
    uint32_t sample_len;
    uint8_t sample[AS_SAMPLE_BYTES]; /* start of the first line that was not a record */
    bool cut;                        /* the unfinished line was longer than capacity */
} as_lines;

void as_lines_init(as_lines *lines, const as_config *config, as_arena *arena);

/* Start with another text. */
void as_lines_begin(as_lines *lines);

/* Return the next whole line at the start of *text, without its end, and move *text behind it. False: only a part of a
 * line is left; it was stored, and *text is empty. *cut: the line was too long. *line stays valid until the next call.
 *  */
bool as_lines_next(as_lines *lines, as_span *text, as_span *line, bool *cut);

/* Return the unfinished line at the end of the input. False: there is none. */
bool as_lines_last(as_lines *lines, as_span *line, bool *cut);

/* Store the start of a line that was not a record, unless one is stored or this one is blank. */
void as_lines_sample(as_lines *lines, as_span line);

/* Read "[node=NAME ]type=NAME msg=audit(…" or the kernel's "type=NUMBER audit(…", behind a known prefix. False: not
 * a record. */
bool as_line_read(as_span line, as_line *out);

/* Read a line that is "type=NAME msg=" and this stamp, NAME being PATH, CWD, PROCTITLE or EOE. False: another one, for
 * as_line_read. stamp_len 0: there is no stamp yet. */
bool as_line_continues(as_span line, const uint8_t *stamp, uint32_t stamp_len, uint16_t *type, as_span *body);

/* True for a separator that ausearch, tail or head writes between records: "----", "time->DATE", "==> FILE <==". */
bool as_line_separates(as_span line);

#endif
