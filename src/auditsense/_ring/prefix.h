/* Part of stage 1, line: what other programs write before a record when they pass it on.
 *
 * Owns the grammar of syslog headers, kernel log stamps and grep's file names.
 * A prefix is accepted as a whole or not at all: a record that only stands somewhere in a message is text of the
 *   program that logged the message, which any user can choose, and is not read (SECURITY.md).
 * Cost: linear in the prefix, which is at most AS_LONGEST_PREFIX bytes.
 * Tested by tests/c/test_line.c and the text fuzz target. */
#ifndef AUDITSENSE_PREFIX_H
#define AUDITSENSE_PREFIX_H

#include "span.h"

enum { AS_LONGEST_PREFIX = 4096 };

/* Skip blanks, tabs and a byte order mark. */
as_span as_prefix_skip_blanks(as_span text);

/* True when a record may follow this text: nothing, a header of syslog by an audit program or the kernel, a kernel
 * log stamp, a container log stamp, or a file name and line number of grep, and then any of the others. */
bool as_prefix_known(as_span prefix);

#endif
