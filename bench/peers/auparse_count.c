/* Reads a log with libauparse, looks up key, pid and path of each event as a detection would, and counts.
 *
 *   auparse_count FILE    prints {"records": N, "events": N, "matches": N}
 */
#include <auparse.h>
#include <stdio.h>
#include <string.h>

static int is(auparse_state_t *state, const char *field, const char *value) {
    const char *found = auparse_find_field(state, field) ? auparse_get_field_str(state) : NULL;
    return found != NULL && strcmp(found, value) == 0;
}

int main(int argc, char **argv) {
    unsigned long records = 0;
    unsigned long events = 0;
    unsigned long matches = 0;
    auparse_state_t *state = argc == 2 ? auparse_init(AUSOURCE_FILE, argv[1]) : NULL;
    if (state == NULL) {
        fputs("auparse_count: cannot read the log\n", stderr);
        return 1;
    }
    while (auparse_next_event(state) > 0) {
        events++;
        records += auparse_get_num_records(state);
        auparse_first_record(state);
        /* In the order that the fields have, for the cursor goes forwards; from the start for another record. */
        matches += is(state, "syscall", "257") && is(state, "a2", "80000") && auparse_find_field(state, "pid") &&
                   auparse_find_field(state, "key") && auparse_first_record(state) > 0 &&
                   auparse_find_field(state, "name");
    }
    auparse_destroy(state);
    printf("{\"records\": %lu, \"events\": %lu, \"matches\": %lu}\n", records, events, matches);
    return 0;
}
