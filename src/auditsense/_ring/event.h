/* Stage 3, event: reassembles the records of one stamp and serial, in any order.
 *
 *     fresh ──► open ──(end, timeout, eviction)──► closed ──(decided)──► decided ──► fresh
 *                                                    └──(order.h)──► held ──┘
 *
 * Owns: the table of events, their texts, and the reasons for closing.
 * Rule 1: events complete independently: an unfinished event never blocks another (no head-of-line blocking).
 * Rule 2: the stamp of an event decides nothing about another event. An event without an end is closed when the receive
 *   clock has advanced by the timeout or, without a clock, when `timeout_events` later events have begun. A clock that
 *   steps back continues from where it was.
 * Rule 3: a text event ends with EOE or PROCTITLE once all PATH records that its SYSCALL announces are there. If the
 *   last `absence_events` events of its host had no PROCTITLE, it ends with its PATH records, at the first record of
 *   another event. If they had no PATH record, none is awaited or reported as missing.
 * Rule 4: a decided event is remembered until its slot is needed, so that late records are recognized.
 * Rule 5: an evicted event is decided with the records it has: eviction hides nothing.
 * Rule 6: adding a record cannot fail, because space is made before (as_events_has_space).
 * Rule 7: the cost of a record does not depend on the number of open events.
 * Invariant: every slot is in exactly one list; only open, closed and held events hold texts.
 * Tested by tests/c/test_event.c (tests/cases/events.txt) and the stream and text fuzz targets. */
#ifndef AUDITSENSE_EVENT_H
#define AUDITSENSE_EVENT_H

#include "closing.h"
#include "event_slots.h"

/* Add a record to its event, and open or close the event. There must be space.
 *   class_index class of the event, judging by this record alone (AS_CLASS_UNKNOWN: no information)
 *   node        as the collector wrote it; empty for this host
 *   clocked     it came with a time, which was passed to as_events_tick
 *   text        it is a line: PROCTITLE or PATH can end the event, because log files hold no EOE */
void as_events_add(as_events *events, const as_record *record, as_span node, uint16_t class_index, bool clocked,
                   bool text, as_stats *stats);

/* The same, of a line without a node that has the stamp of the line before and is a PATH, CWD, PROCTITLE or EOE record.
 * False: nothing was done, because that is not a line of its event: use as_events_add. */
bool as_events_add_line(as_events *events, const as_record *record, as_stats *stats);

#endif
