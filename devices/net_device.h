/* SPDX-License-Identifier: Apache-2.0 */
/* net_device: what the parts of the network device share: its record (net.c), receiving (net_rx.c)
 * and sending (net_tx.c). For these files only. */
#ifndef DEVICES_NET_DEVICE_H
#define DEVICES_NET_DEVICE_H

#include "devices/net.h"

#define NET_QUEUE_SIZE 256

/* Per call, so that other devices get their turn. */
#define NET_PACKETS_PER_RUN 64

/* readv() takes 1024; one is ours. A window is filled up while a whole chain fits. */
#define NET_WINDOW_BUFFERS 1023

struct net;

struct net_limit {
	struct limit bytes, packets;
};

struct net_window_chain {
	uint16_t head;
	uint32_t bytes;
};

/*
 * Chains of a receive queue that were popped ahead: enough for the largest packet that may come. A
 * packet takes some from the front, the rest stays for the next one. Their memory lies in iov in
 * its order, bytes of it in all; neighbours in memory share a buffer, for the kernel works per
 * buffer and drivers cut theirs from larger pieces. There is one place more, for what is put behind
 * them during a read.
 */
struct net_window {
	struct iovec iov[NET_WINDOW_BUFFERS + 1];
	struct net_window_chain chains[NET_QUEUE_SIZE];
	uint32_t first_buffer, buffers;
	uint32_t first_chain, chain_count;
	uint64_t bytes;
};

/* One queue pair. Lock: the device's. The requests belong to the loop while pending. */
struct net_pair {
	struct net *net;
	unsigned int index;

	struct net_window window;
	/* For a packet read while the driver's buffers do not suffice for any, which then waits
	 * here; and for the rest of one that is larger than its first chain. */
	uint8_t *spare;
	uint32_t spare_bytes;
	bool is_large; /* the last packet took more than one chain */
	struct loop_request receive_watch, receive_timer;

	bool send_blocked; /* until the backend has room */
	struct loop_request send_poll, send_timer;
};

struct net {
	struct virtio virtio;
	struct loop *loop;
	struct net_backend *backend;
	struct net_limit receive_limit, send_limit;
	struct virtq_chain chain; /* the one being looked at */
	bool configured;          /* the backend knows what the driver accepted */
	bool gone;                /* the backend ended: said once, not used any more */
	uint16_t active_pairs;
	struct net_stats stats;
	struct net_pair *pairs;
};

static inline void net_count(_Atomic uint64_t *counter, uint64_t amount)
{
	__atomic_fetch_add((uint64_t *)counter, amount, __ATOMIC_RELAXED);
}

/* The device is live and this queue of it runs. */
bool net_queue_runs(const struct net *net, unsigned int queue);
/* The backend failed for good. */
void net_backend_gone(struct net *net, int code);

/* Of a limit that is set. */
uint64_t net_limit_ask(struct net_limit *limit);
/* 0 where a packet may pass now, else in how many ns to ask again. Without a limit nobody looks at
 * a clock. */
static inline uint64_t net_limit_wait_ns(struct net_limit *limit)
{
	if (!limit_is_set(&limit->bytes) && !limit_is_set(&limit->packets))
		return 0;
	return net_limit_ask(limit);
}
void net_limit_take(struct net_limit *limit, uint64_t frame_bytes);

/* On the loop's thread, under the lock. They take a bounded number of packets and see to it that
 * they are called again: true where that is up to the caller, at once. */
bool net_receive_run(struct net_pair *pair);
bool net_send_run(struct net_pair *pair);

/* Of a pair that is zeroed but for net and index. */
int net_receive_init(struct net_pair *pair);
void net_receive_reset(struct net_pair *pair);
void net_receive_fini(struct net_pair *pair);
void net_send_init(struct net_pair *pair);
void net_send_reset(struct net_pair *pair);

#endif
