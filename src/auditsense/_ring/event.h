/* Stage 3, event: the records of one stamp and serial, put together however they arrive.
 *
 *     fresh ──► open ──(end, timeout, no room)──► closed ──(decided)──► remembered ──► fresh
 *                                                   └──(order.h)──► held ──┘
 *
 * Owns the table of events, their kept texts, and the reasons for closing.
 * Rule 1: an event waits for nobody but itself; one that never ends delays no other.
 * Rule 2: the stamp of an event decides nothing about another event. An event without its end is closed when the
 *         receive clock has gone on for the timeout, or, where there is no clock, when `timeout_events` later events have
 *         begun. A clock that steps back goes on from where it was.
 * Rule 3: an event of text ends with EOE or PROCTITLE once all PATH records that its SYSCALL announces are there. Where
 *         the last `habit` events of a host had no PROCTITLE, it ends with its PATH records, as soon as a record of
 *         another event comes. Where they had no PATH record, none is waited for or missed.
 * Rule 4: a closed event stays remembered until its slot is needed, so that what comes late is known.
 * Rule 5: an event that is given up is decided with what it has: being pushed out hides nothing.
 * Rule 6: adding a record cannot fail, because room for it is made before (room.h).
 * Rule 7: a record costs no more however many events are open.
 * The invariant: every slot is in exactly one of the lists; open, closed and held events alone hold texts.
 * Tested by tests/c/test_event.c (tests/cases/events.txt) and the stream and text fuzz targets. */
#ifndef AUDITSENSE_EVENT_H
#define AUDITSENSE_EVENT_H

#include "closing.h"
#include "event_table.h"

/* Add a record to its event, opening or closing it as it takes. There must be room.
 *   wanted   rules that may want the event, judged by this record alone (all bits: it tells nothing)
 *   node     as the collector wrote it; empty for this host
 *   clocked  it came with a time, which as_events_tick was given
 *   text     it is a line: PROCTITLE or PATH can be the event's end, since log files hold no EOE
 *   stats    records' fates are counted here */
void as_events_add(as_events *events, const as_record *record, as_span node, uint64_t wanted, bool clocked,
                   bool text, as_stats *stats);

#endif
