/* SPDX-License-Identifier: Apache-2.0 */
/* virtq: the device's side of a split virtqueue (virtio 1.3 section 2.7). Pure logic: guest memory
 * in, checked copies out. */
#ifndef DEVICES_VIRTQ_H
#define DEVICES_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mem/ram.h"

/* Largest queue, hence (2.7.5.3.1) longest chain: what a request can hold is bounded by it. */
#define VIRTQ_SIZE_MAX 256

/*
 * Owner: a struct virtio; lock: the device's. The first part is written by the transport until
 * DRIVER_OK and never after (virtio_queue_set_*() see to it); the second part exists between
 * virtq_start() and virtq_stop(), with ring addresses checked once, there.
 */
struct virtq {
	uint16_t size_max;
	uint16_t size;
	bool enabled;
	uint64_t descriptors_gpa, driver_gpa, device_gpa;

	const struct ram *ram; /* NULL: not started */
	const uint8_t *descriptors;
	uint8_t *driver_area; /* "available ring" */
	uint8_t *device_area; /* "used ring" */
	bool indirect, event_index;
	bool broken;         /* the driver broke a rule; nothing is taken until a reset */
	uint16_t next_avail; /* the next chain to take */
	uint16_t avail_seen; /* the driver's index as last loaded: chains up to it are visible */
	uint16_t next_used;  /* where the next used element goes */
	uint16_t signalled;  /* next_used when virtq_signal_due() was last asked */
};

/*
 * A chain as it was when it was popped: descriptors copied, then judged, every buffer inside guest
 * RAM. What the driver writes to them later changes nothing here. Device-readable buffers come
 * first; the sum of all is below 4 GiB.
 */
struct virtq_chain {
	uint16_t head;
	uint16_t readable, writable; /* how many of iov, in this order */
	uint32_t readable_bytes, writable_bytes;
	struct iovec iov[VIRTQ_SIZE_MAX];
};

enum virtq_pop {
	VIRTQ_EMPTY,
	VIRTQ_CHAIN,
	VIRTQ_BROKEN, /* the driver broke a rule: the device needs a reset */
};

/* False, with nothing started, where size, alignment or any ring's address is not as 2.7 demands.
 */
bool virtq_start(struct virtq *q, const struct ram *ram, bool indirect, bool event_index);
/* Back to what it is at power-on: size_max, no addresses. */
void virtq_reset(struct virtq *q);

static inline bool virtq_running(const struct virtq *q)
{
	return q->ram && !q->broken;
}

enum virtq_pop virtq_pop(struct virtq *q, struct virtq_chain *chain);
/* Gives the last popped chain back to the queue: it is popped again next time. */
void virtq_unpop(struct virtq *q);

/* Whether the driver is known to have offered more: no look at guest memory. */
static inline bool virtq_more(const struct virtq *q)
{
	return q->next_avail != q->avail_seen;
}
/* The chain of head is done, with bytes written to its writable buffers; visible to the driver at
 * once. Order is free, and a head that a hostile driver posted twice is used twice. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t bytes);

/*
 * Kicks: off while the queue is being emptied, on before sleeping. virtq_kicks_on() is true where
 * the driver added something in between: then no kick will come for it, so empty again.
 */
void virtq_kicks_off(struct virtq *q);
bool virtq_kicks_on(struct virtq *q);

/* True where what was pushed since the last call wants an interrupt. */
bool virtq_signal_due(struct virtq *q);

/* Copies between a chain's buffers and memory. Return how many bytes were there to copy (at most
 * bytes). offset counts from the first readable (writable) byte. */
uint32_t virtq_read(const struct virtq_chain *chain, uint32_t offset, void *data, uint32_t bytes);
uint32_t virtq_write(const struct virtq_chain *chain, uint32_t offset, const void *data,
		     uint32_t bytes);

#endif
