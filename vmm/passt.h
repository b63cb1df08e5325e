/* SPDX-License-Identifier: Apache-2.0 */
/* passt: unprivileged networking: starts the program passt and gives its socket to a network
 * device. */
#ifndef VMM_PASST_H
#define VMM_PASST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "devices/net_backend.h"

#define PASST_FORWARDS_MAX 64
/* What passt tells the guest over DHCP; the device should advise the same. */
#define PASST_MTU          65520

/* Connections to the host's port, on all its addresses, reach the guest's. */
struct passt_forward {
	bool udp;
	uint16_t host_port, guest_port; /* not 0 */
};

struct passt_setup {
	const char *program; /* NULL: passt, where distributions install it */
	uint8_t mac[6];      /* the guest's */
	const struct passt_forward *forwards;
	uint32_t forward_count;
};

/* Owner: the VM. Zeroed to begin with. */
struct passt {
	pid_t pid; /* 0: not running */
};

/*
 * Starts it in a session of its own with no descriptor of ours but its socket, and waits until it
 * answers (at most PASST_WAIT_MS). backend is the caller's. Errors: -ENOENT (not installed),
 * -EADDRINUSE and what else binding a forwarded port says, -EINVAL; what passt itself complains of
 * is in the text (-EIO).
 */
#define PASST_WAIT_MS 2000
int passt_start(struct passt *passt, const struct passt_setup *setup, struct net_backend **backend,
		struct error *error);

/* Ends and reaps it; best after the backend was destroyed, which ends it too. Zeroed: nothing to
 * do. */
void passt_stop(struct passt *passt);

#endif
