/* Stage 1, line: log text, the other way in. A line is a datagram that went through a daemon's file.
 *
 * Owns the unfinished line between two calls.
 * Rule 1: where a line ends does not depend on where the input was cut.
 * Rule 2: a line is a record when it starts as one, or when only a known prefix stands before (prefix.h). Whatever
 *         the line says behind the start of a record is never looked at.
 * Rule 3: a zero byte ends a line too. No daemon writes one: it is left where a file system lost a block.
 * Tested by tests/c/test_line.c and the text fuzz target. */
#ifndef AUDITSENSE_LINE_H
#define AUDITSENSE_LINE_H

#include "../_ring.h"
#include "arena.h"
#include "span.h"

enum { AS_SAMPLE_BYTES = 240 };

typedef struct {
    uint16_t type; /* from the name after "type="; 0 for a name that decides nothing here */
    as_span text;  /* from "audit(" on */
    as_span node;  /* what a collector wrote as "node="; empty without */
} as_line;

typedef struct {
    uint8_t *rest; /* the unfinished line */
    uint32_t capacity;
    uint32_t len;
    uint32_t clean; /* bytes at the start of the text in which there is no zero byte, as far as known */
    uint32_t sample_len;
    uint8_t sample[AS_SAMPLE_BYTES]; /* start of the first line that was no record */
    bool cut; /* the unfinished line was longer than capacity */
} as_lines;

void as_lines_init(as_lines *lines, const as_config *config, as_arena *arena);

/* Begin with another text. */
void as_lines_begin(as_lines *lines);

/* The next whole line at the start of *text, without its end; moves *text behind it. False: only a part
 * of a line is left; it was kept and *text is empty. *cut: the line was longer than fits. */
bool as_lines_next(as_lines *lines, as_span *text, as_span *line, bool *cut);

/* The unfinished line, at the end of the input. False: there is none. */
bool as_lines_last(as_lines *lines, as_span *line, bool *cut);

/* Keep the start of a line that was no record, unless one is kept already or this one is blank. */
void as_lines_sample(as_lines *lines, as_span line);

/* Read "[node=NAME ]type=NAME msg=audit(…" or the kernel's "type=NUMBER audit(…", behind a known prefix. False: no
 * record. */
bool as_line_read(as_span line, as_line *out);

/* True for a line that ausearch, tail or head writes between records: "----", "time->DATE", "==> FILE <==". */
bool as_line_separates(as_span line);

#endif
