#include "socket_address.h"

/* Bits of struct sockaddr, the same on all architectures. */
enum { FAMILY_UNIX = 1, FAMILY_IPV4 = 2, FAMILY_IPV6 = 10, FAMILY_NETLINK = 16 };
enum { IPV4_BYTES = 8, IPV6_BYTES = 24, GROUPS = 8 };

static unsigned digit(uint8_t c) {
    return c >= 'A' && c <= 'F' ? as_digit((uint8_t)(c + ('a' - 'A'))) : as_digit(c);
}

/* Decode up to `size` bytes. Returns how many there are before the first that is not hex. */
static uint32_t unhex(as_span hex, uint8_t *out, uint32_t size) {
    uint32_t count = 0;
    while (count < size && 2 * count + 1 < hex.len) {
        const unsigned high = digit(hex.at[2 * count]);
        const unsigned low = digit(hex.at[2 * count + 1]);
        if (high > 15 || low > 15) {
            break;
        }
        out[count++] = (uint8_t)(high * 16 + low);
    }
    return count;
}

static uint8_t write_number(uint8_t *to, uint32_t number, uint32_t base) {
    uint8_t digits[10];
    uint8_t count = 0;
    do {
        const uint32_t rest = number % base;
        digits[count++] = (uint8_t)(rest < 10 ? '0' + rest : 'a' + rest - 10);
        number /= base;
    } while (number > 0);
    for (uint8_t i = 0; i < count; i++) {
        to[i] = digits[count - 1 - i];
    }
    return count;
}

static uint8_t write_ipv4(uint8_t *to, const uint8_t *address) {
    uint8_t len = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0) {
            to[len++] = '.';
        }
        len = (uint8_t)(len + write_number(to + len, address[i], 10));
    }
    return len;
}

/* Find the longest run of zero groups, the first of equal ones, if it has two or more. Returns its length. */
static unsigned longest_zeros(const uint32_t *groups, unsigned *start) {
    unsigned longest = 1;
    for (unsigned i = 0; i < GROUPS; i++) {
        unsigned run = 0;
        while (i + run < GROUPS && groups[i + run] == 0) {
            run++;
        }
        if (run > longest) {
            longest = run;
            *start = i;
        }
        i += run;
    }
    return longest > 1 ? longest : 0;
}

/* As RFC 5952 says; a mapped IPv4 address as IPv4. */
static uint8_t write_ipv6(uint8_t *to, const uint8_t *address) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(address, mapped, sizeof mapped) == 0) {
        return write_ipv4(to, address + sizeof mapped);
    }
    uint32_t groups[GROUPS];
    for (unsigned i = 0; i < GROUPS; i++) {
        groups[i] = (uint32_t)address[2 * i] << 8 | address[2 * i + 1];
    }
    unsigned start = 0;
    const unsigned zeros = longest_zeros(groups, &start);
    uint8_t len = 0;
    for (unsigned i = 0; i < GROUPS; i++) {
        if (zeros > 0 && i == start) {
            to[len++] = ':';
            to[len++] = ':';
            i += zeros - 1;
            continue;
        }
        if (len > 0 && to[len - 1] != ':') {
            to[len++] = ':';
        }
        len = (uint8_t)(len + write_number(to + len, groups[i], 16));
    }
    return len;
}

static uint8_t write_path(uint8_t *to, const uint8_t *path, uint32_t count) {
    uint32_t len = 0;
    if (count > 1 && path[0] == 0) { /* an abstract name */
        to[len++] = '@';
    }
    while (len < count && path[len] != 0) {
        to[len] = path[len];
        len++;
    }
    return (uint8_t)(len == 1 && to[0] == '@' && path[0] == 0 ? 0 : len);
}

static uint8_t write_word(uint8_t *to, const char *word) {
    const size_t len = strlen(word);
    memcpy(to, word, len);
    return (uint8_t)len;
}

static uint8_t write_family(uint8_t *to, uint32_t family) {
    switch (family) {
    case FAMILY_UNIX:
        return write_word(to, "unix");
    case FAMILY_IPV4:
        return write_word(to, "ipv4");
    case FAMILY_IPV6:
        return write_word(to, "ipv6");
    case FAMILY_NETLINK:
        return write_word(to, "netlink");
    default:
        return write_number(to, family, 10);
    }
}

bool as_socket_address_read(as_span hex, bool big_endian, as_socket_address *out) {
    uint8_t bytes[2 + AS_SOCKET_PATH];
    const uint32_t count = unhex(hex, bytes, sizeof bytes);
    out->family_len = out->ip_len = out->port_len = out->path_len = 0;
    if (count < 2) {
        return false;
    }
    const uint32_t family = big_endian ? (uint32_t)bytes[0] << 8 | bytes[1] : (uint32_t)bytes[1] << 8 | bytes[0];
    const uint8_t *const rest = bytes + 2;
    out->family_len = write_family(out->family, family);
    if ((family == FAMILY_IPV4 && count >= IPV4_BYTES) || (family == FAMILY_IPV6 && count >= IPV6_BYTES)) {
        out->port_len = write_number(out->port, (uint32_t)rest[0] << 8 | rest[1], 10);
        out->ip_len = family == FAMILY_IPV4 ? write_ipv4(out->ip, bytes + 4) : write_ipv6(out->ip, bytes + IPV4_BYTES);
    } else if (family == FAMILY_UNIX) {
        out->path_len = write_path(out->path, rest, count - 2);
    }
    return true;
}
