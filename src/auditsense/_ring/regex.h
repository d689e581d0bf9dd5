/* Regular expressions, compiled to position automata by detections/regex.py, which states the layout of a program.
 *
 * Part of stage 4. Owns: nothing; a program is part of the rule table's text.
 * Rule 1: no backtracking. A byte of text costs at most AS_REGEX_WORDS words for each active state.
 * Rule 2: as_regex_valid accepts every program that as_regex_match can run, and no other: what the states mean is not
 *   checked, because no value of a set can lead outside the program.
 * Tested by tests/c/test_regex.c and tests/detections/test_regex.py. */
#ifndef AUDITSENSE_REGEX_H
#define AUDITSENSE_REGEX_H

#include "span.h"

enum { AS_REGEX_WORDS = 4 };

/* True if every length and index of the program is valid. */
bool as_regex_valid(as_span program);

/* Sets of bytes, with letters in lower case. A text without a byte of one of them does not fit the program. */
enum { AS_REGEX_NEEDS = 4 };
typedef struct {
    uint64_t bytes[AS_REGEX_NEEDS][4];
    uint32_t count;
    bool floats; /* a text may start with many bytes, so a comparison does not end soon */
} as_regex_needs;

/* What a valid program needs: the smallest sets. Quadratic in its states, so for the creation of a table. */
as_regex_needs as_regex_needs_of(as_span program);

/* True if a valid program fits the whole text. */
bool as_regex_match(as_span program, as_span text);

#endif
