#include "translation.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Remove the separator, a control character, in the escaped forms of syslog daemons. */
static uint32_t without_separator(as_span value, uint32_t end) {
    static const char *const escaped[] = {"#035",    "#x1d", "#x1D", "\\x1d", "\\x1D", "\\035", "\\u001d",
                                          "\\u001D", "^]",   "<1d>", "<1D>",  "%1D",   "%1d"};
    for (size_t i = 0; i < COUNT(escaped); i++) {
        const uint32_t len = (uint32_t)strlen(escaped[i]);
        if (end >= len && memcmp(value.at + end - len, escaped[i], len) == 0) {
            return end - len;
        }
    }
    return end;
}

/* Each name ends at the first '=' that can end one, so the longest is the one that starts first. */
uint32_t as_translation_start(as_span value) {
    static const char *const first[] = {"OBJ_UID=", "SADDR=", "ARCH=", "OUID=", "AUID=", "UID="};
    enum { MAX_EQUALS = 16 };
    uint32_t end = 0;
    for (unsigned equals = 0; equals < MAX_EQUALS; equals++) {
        const uint8_t *equal = end == value.len ? NULL : memchr(value.at + end, '=', value.len - end);
        if (equal == NULL) {
            break;
        }
        end = (uint32_t)(equal - value.at) + 1;
        for (size_t i = 0; i < COUNT(first); i++) {
            const uint32_t len = (uint32_t)strlen(first[i]);
            if (end >= len && memcmp(value.at + end - len, first[i], len) == 0) {
                return without_separator(value, end - len);
            }
        }
    }
    return value.len;
}
