/* SPDX-License-Identifier: Apache-2.0 */
/* net: a backend for network devices whose other ends are sockets in the test's hands. */
#ifndef TESTS_FAKE_NET_H
#define TESTS_FAKE_NET_H

#include <stdatomic.h>
#include <stdint.h>

#include "devices/net_backend.h"

#define FAKE_NET_PAIRS 3

struct fake_net {
	struct net_backend backend;
	int ours[FAKE_NET_PAIRS], peers[FAKE_NET_PAIRS]; /* sequenced packets, non-blocking */
	_Atomic uint64_t accepted;
	atomic_uint active_pairs, destroyed;
	atomic_int send_error; /* for every packet, where it is not 0 */
};

/* The owner keeps the record; destroy closes its own ends only. */
void fake_net_init(struct fake_net *net, uint16_t pairs, uint64_t features);
void fake_net_close_peers(struct fake_net *net);

#endif
