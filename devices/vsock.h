/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock: a virtio socket device (virtio 1.3 section 5.10), streams only, whose host side are Unix
 * sockets, wire-compatible with Firecracker's:
 *
 *	host to guest:	connect to PATH, send "CONNECT PORT\n", read "OK HOSTPORT\n", then the
 *stream guest to host:	a connection to CID 2, port N, goes to whoever listens on PATH_N
 *
 * A connection that cannot be made, or breaks a rule, is reset; nobody else notices. Each direction
 * can be shut down alone. What the host does not read yet is kept up to a fixed size for each
 * connection, which is also the credit that the guest has; what the guest does not read stays in
 * the host's socket.
 */
#ifndef DEVICES_VSOCK_H
#define DEVICES_VSOCK_H

#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "devices/virtio.h"

#define VSOCK_CONNECTIONS_MAX 1024
#define VSOCK_CID_MIN         3
#define VSOCK_CID_MAX         UINT32_C(0xfffffffe)

struct vsock_setup {
	const struct ram *ram;
	const struct log *log;
	struct loop *loop;
	uint64_t guest_cid; /* VSOCK_CID_MIN to VSOCK_CID_MAX */
	const char *path;   /* of the listening socket; copied */
};

/* Read at any time, relaxed. */
struct vsock_stats {
	_Atomic uint64_t connections; /* established, ever */
	_Atomic uint64_t refused;     /* attempts from either side that came to nothing */
	_Atomic uint64_t resets;      /* sent to the guest */
	_Atomic uint64_t to_guest_bytes, to_host_bytes;
};

/*
 * Makes the listening socket; one that a dead program left behind is replaced. Errors: -EINVAL (the
 * CID), -ENAMETOOLONG, -EADDRINUSE, what bind() says, -ENOMEM. For virtio_mmio_create() or
 * virtio_pci_create(). All runs on the loop's thread; the loop must have ended before the device is
 * destroyed, which closes everything and removes the listening socket.
 *
 * Nothing allocates after creation. The loop's thread makes the system calls accept4, socket,
 * connect, shutdown, close, readv, sendmsg, send, recv, poll, madvise.
 */
int vsock_create(struct virtio **virtio, const struct vsock_setup *setup, struct error *error);

/* Of a device that vsock_create() made. */
const struct vsock_stats *vsock_stats(const struct virtio *virtio);

#endif
