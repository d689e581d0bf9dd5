/* A socket address: SOCKADDR saddr, the hex of a struct sockaddr of the host that wrote it.
 *
 * Part of stage 2. Owns: nothing.
 * Rule: an address that is too short for its family has a family and nothing else.
 * Tested by tests/c/test_socket_address.c and the record fuzz target. */
#ifndef AUDITSENSE_SOCKET_ADDRESS_H
#define AUDITSENSE_SOCKET_ADDRESS_H

#include "span.h"

enum { AS_SOCKET_PATH = 108, AS_SOCKET_TEXT = 48 };

/* Each is empty if the address has none. */
typedef struct {
    uint8_t family_len;
    uint8_t ip_len;
    uint8_t port_len;
    uint8_t path_len;
    uint8_t family[8]; /* unix, ipv4, ipv6, netlink, or the number in decimal */
    uint8_t port[8];   /* decimal */
    uint8_t ip[AS_SOCKET_TEXT];
    uint8_t path[AS_SOCKET_PATH + 1]; /* of a unix socket; an abstract name starts with @ */
} as_socket_address;

/* Decode an address. False: no family. */
bool as_socket_address_read(as_span hex, bool big_endian, as_socket_address *out);

#endif
