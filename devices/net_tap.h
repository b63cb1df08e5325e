/* SPDX-License-Identifier: Apache-2.0 */
/* net_tap: the backend that is a Linux tap device. */
#ifndef DEVICES_NET_TAP_H
#define DEVICES_NET_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "devices/net_backend.h"

struct net_tap_setup {
	/* One for each queue pair, attached to the tap with IFF_TAP, IFF_NO_PI, IFF_VNET_HDR and
	 * (where there are several) IFF_MULTI_QUEUE, with headers of NET_HEADER_BYTES,
	 * non-blocking. The backend's from net_tap_create() on, also on failure. */
	const int *fds;
	uint16_t pairs;
	uint32_t mtu;
	bool udp_segmentation; /* the host's kernel knows it (Linux 6.2) */
};

/* -ENOMEM. Descriptors are closed by destroy; a tap that is not persistent ends with the last. */
int net_tap_create(struct net_backend **backend, const struct net_tap_setup *setup,
		   struct error *error);

#endif
