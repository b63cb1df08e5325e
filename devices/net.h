/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net: a virtio network device (virtio 1.3 section 5.1) in front of a backend.
 *
 * Packets move between the guest's buffers and the backend's descriptor directly, with one system
 * call each, on the loop's thread, under the device's lock. The loop only says when: a kick, a
 * poll that the descriptor is ready, a timer where a rate limit holds packets back. Interrupts are
 * sent once per batch.
 *
 * Nothing of a request ever lies with the loop but polls and timers, so a reset needs not wait.
 */
#ifndef DEVICES_NET_H
#define DEVICES_NET_H

#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "devices/limit.h"
#include "devices/net_backend.h"
#include "devices/virtio.h"

#define NET_MAC_BYTES 6
#define NET_PAIRS_MAX 32
#define NET_MTU_MIN   68 /* IPv4's least */
#define NET_MTU_MAX   65535

/* Of one direction: frames' bytes, and packets. */
struct net_rate {
	struct limit_rate bytes, packets;
};

struct net_setup {
	const struct ram *ram;
	const struct log *log;
	struct loop *loop;
	struct net_backend *backend; /* the device's as soon as it exists; its pairs: 1 to 32 */
	uint8_t mac[NET_MAC_BYTES];
	uint16_t mtu; /* advice to the driver; 0: none */
	struct net_rate receive_rate, send_rate;
};

/* Read at any time, relaxed. Bytes are those of frames. */
struct net_stats {
	_Atomic uint64_t received, received_bytes;
	_Atomic uint64_t sent, sent_bytes;
	_Atomic uint64_t receive_dropped; /* larger than the driver's buffers */
	_Atomic uint64_t send_dropped;    /* malformed, or refused by the backend */
	_Atomic uint64_t receive_waits;   /* the driver had no buffers */
	_Atomic uint64_t send_waits;      /* the backend had no room */
	_Atomic uint64_t rate_waits;      /* a rate limit held a packet back */
};

/*
 * For virtio_mmio_create() or virtio_pci_create(). The loop must have ended before the device is
 * destroyed (its requests are completed then), and must not be destroyed before it. Errors: -EINVAL
 * (MTU, number of pairs, a MAC address that is no station's), -ENOMEM.
 */
int net_create(struct virtio **virtio, const struct net_setup *setup, struct error *error);

/* Of a device that net_create() made. */
const struct net_stats *net_stats(const struct virtio *virtio);

#endif
