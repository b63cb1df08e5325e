/* SPDX-License-Identifier: Apache-2.0 */
/* net_backend: where the frames of a network device go to and come from. */
#ifndef DEVICES_NET_BACKEND_H
#define DEVICES_NET_BACKEND_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* virtio 1.3 section 5.1.6: with VERSION_1 the header is always the long one. */
#define NET_HEADER_BYTES     12
/* A segmentation offload's largest: 64 KiB of IP behind an Ethernet header with a VLAN tag. */
#define NET_FRAME_BYTES_MAX  (65535 + 18)
#define NET_PACKET_BYTES_MAX (NET_HEADER_BYTES + NET_FRAME_BYTES_MAX)

/* Newer than the headers of Debian 12. */
#define NET_F_GUEST_USO4 54
#define NET_F_GUEST_USO6 55
#define NET_F_HOST_USO   56

struct net_backend;

/*
 * A packet is the virtio header, then an Ethernet frame. No function waits; all run on the loop's
 * thread under the device's lock, destroy when the device is destroyed.
 */
struct net_backend_ops {
	const char *name; /* for log lines: "tap", "passt" */
	/*
	 * Puts one packet into iov, in order; num_buffers of the header is the device's to write.
	 * Its bytes, -EAGAIN where there is none (then, and only then, fd becomes readable when
	 * there is), another errno where there will be no more. What does not fit is cut off: a
	 * caller that must know adds a byte of its own at the end.
	 */
	ssize_t (*receive)(struct net_backend *backend, unsigned int pair, const struct iovec *iov,
			   unsigned int count);
	/*
	 * Takes one whole packet. 0, -EAGAIN where there is no room (then fd becomes writable when
	 * there is), -ENOLINK where there will never be again, another errno where only this packet
	 * is lost.
	 */
	int (*send)(struct net_backend *backend, unsigned int pair, const struct iovec *iov,
		    unsigned int count);
	/* Goes on with what send() took but could not pass on at once. 0, or -EAGAIN where some is
	 * left: call it again when fd is writable. NULL: send() leaves nothing. */
	int (*flush)(struct net_backend *backend, unsigned int pair);
	int (*fd)(const struct net_backend *backend, unsigned int pair);
	/* What of the offered features the driver accepted. 0 or negative errno. NULL: nothing to
	 * do. */
	int (*set_features)(struct net_backend *backend, uint64_t accepted);
	/* The driver uses the first pairs of queues only. 0 or negative errno. May be NULL. */
	int (*set_pairs)(struct net_backend *backend, unsigned int pairs);
	void (*destroy)(struct net_backend *backend);
};

/* First member of every backend. */
struct net_backend {
	const struct net_backend_ops *ops;
	uint64_t features;    /* offloads it can do: VIRTIO_FEATURE() bits of section 5.1.3 */
	uint32_t frame_bytes; /* the largest frame that comes without segmentation offloads */
	uint16_t pairs;       /* of queues that it has */
};

/* NULL is fine. */
static inline void net_backend_destroy(struct net_backend *backend)
{
	if (backend)
		backend->ops->destroy(backend);
}

#endif
