/* Part of stage 1, line: what other programs write before a record when they forward it.
 *
 * Owns: the grammar of syslog headers, kernel log stamps and grep's file names.
 * Rule: a prefix is accepted as a whole or not at all. A record in the middle of a message is text of the program that
 *   logged the message; any user can choose it, so it is not read (SECURITY.md).
 * Cost: linear in the prefix, which has at most AS_LONGEST_PREFIX bytes.
 * Tested by tests/c/test_prefix.c, tests/c/test_line.c and the text fuzz target. */
#ifndef AUDITSENSE_PREFIX_H
#define AUDITSENSE_PREFIX_H

#include "span.h"

enum { AS_LONGEST_PREFIX = 4096 };

/* Skip blanks, tabs and a byte order mark. */
as_span as_prefix_skip_blanks(as_span text);

/* True if a record may follow this text: nothing, a syslog header of an audit program or the kernel, a kernel log
 * stamp, a container log stamp, or a file name and line number of grep before any of these. */
bool as_prefix_known(as_span prefix);

#endif
