/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_device: what the parts of the socket device share: its record (vsock.c), its connections
 * (vsock_table.c), packets from the guest (vsock_tx.c) and to it (vsock_rx.c), the host's sockets
 * (vsock_host.c) and the one among them that listens (vsock_listen.c). For these files only. */
#ifndef DEVICES_VSOCK_DEVICE_H
#define DEVICES_VSOCK_DEVICE_H

#include <linux/virtio_vsock.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/num.h"
#include "devices/vsock.h"

#define VSOCK_QUEUE_RX    0 /* to the guest */
#define VSOCK_QUEUE_TX    1
#define VSOCK_QUEUE_EVENT 2
#define VSOCK_QUEUE_SIZE  128

#define VSOCK_HOST_CID        2
#define VSOCK_HEADER_BYTES    sizeof(struct virtio_vsock_hdr)
#define VSOCK_BUFFER_BYTES    (128 * KIB)
#define VSOCK_PACKET_BYTES    (64 * KIB) /* of payload to the guest */
#define VSOCK_LINE_BYTES      32
#define VSOCK_HASH_BUCKETS    1024 /* a power of two */
#define VSOCK_REFUSALS_MAX    64
#define VSOCK_PACKETS_PER_RUN 64

#define VSOCK_SHUTDOWN_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

enum vsock_state {
	VSOCK_FREE,
	VSOCK_LINE,      /* a program of the host connected; its CONNECT is read */
	VSOCK_REQUESTED, /* the guest is asked */
	VSOCK_OPEN,
	VSOCK_RESET,  /* over, but the guest is to be told */
	VSOCK_LINGER, /* over for the guest; the host still gets what it was sent */
	VSOCK_ORPHAN, /* the device was reset: to be released on the loop's thread */
	VSOCK_DEAD,   /* released; polls are on their way back */
};

struct vsock;

/*
 * One connection. Lock: the device's. The polls belong to the loop while pending, and so does the
 * place in the table. sent, received and forwarded count the stream's bytes modulo 2^32, as section
 * 5.10.6.3 wants it.
 */
struct vsock_connection {
	struct vsock *vsock;
	enum vsock_state state;
	uint32_t host_port, guest_port;
	int fd;
	uint64_t deadline_ns; /* 0: none */

	uint16_t operations;        /* to be sent to the guest: 1 << VIRTIO_VSOCK_OP_... */
	uint32_t guest_shutdown;    /* VIRTIO_VSOCK_SHUTDOWN_... that the guest sent */
	uint32_t host_shutdown;     /* that it was sent, or will be */
	bool readable;              /* the host's socket may have something */
	bool input_ended;           /* and never again */
	bool hung_up;               /* the host's program closed its end, or is about to be gone */
	bool write_shut, read_shut; /* what the guest shut down is shut down at the host */
	bool output_failed;         /* the host does not read any more: what comes is dropped */

	uint32_t guest_buffer_bytes, guest_forwarded; /* its credit, as it last told */
	uint32_t sent;
	uint32_t received, forwarded, forwarded_told;
	uint32_t buffer_first, buffer_bytes; /* received, not forwarded; in vsock_buffer() */
	bool buffer_used;

	char line[VSOCK_LINE_BYTES];
	uint32_t line_bytes;

	struct loop_request read_poll, write_poll;
	struct vsock_connection *next_in_bucket; /* or in the list of free ones */
	struct vsock_connection *next_ready;
	bool ready; /* is in the list */
};

/* A packet that belongs to no connection is answered with a reset. */
struct vsock_refusal {
	uint32_t host_port, guest_port;
	uint16_t type;
};

struct vsock {
	struct virtio virtio;
	struct loop *loop;
	uint64_t guest_cid;
	uint64_t request_limit_ns; /* how long the guest may take to answer a request */
	struct virtq_chain chain;  /* the one being looked at */
	struct vsock_stats stats;

	struct vsock_connection *connections;
	struct vsock_connection *free;
	struct vsock_connection *buckets[VSOCK_HASH_BUCKETS];
	/* Those that have something for the guest, the first to wait first. */
	struct vsock_connection *ready_first, *ready_last;
	struct vsock_refusal refusals[VSOCK_REFUSALS_MAX];
	uint32_t first_refusal, refusal_count;
	uint32_t next_host_port;
	uint32_t deadlines; /* connections that have one */
	bool has_orphans;
	bool sending_stopped; /* for want of room for a refusal */
	bool accept_stalled;  /* the host is short of descriptors: tried again by the timer */
	uint8_t *buffers;     /* one mapping for all connections */

	struct sockaddr_un address;
	struct stat socket_file; /* ours, to be removed at the end */
	int listen_fd;
	struct loop_request accept_poll, timer;
};

static inline void vsock_count(_Atomic uint64_t *counter, uint64_t amount)
{
	__atomic_fetch_add((uint64_t *)counter, amount, __ATOMIC_RELAXED);
}

/* The device is live and this queue of it runs. */
bool vsock_queue_runs(const struct vsock *vsock, unsigned int queue);

/* The bytes of a chain's buffers from skip on, at most bytes of them; how many entries of out (as
 * large as iov) they take, and their sum. */
unsigned int vsock_slice(struct iovec *out, const struct iovec *iov, unsigned int count,
			 size_t skip, size_t bytes, size_t *sum);

/* vsock_table.c */
int vsock_table_init(struct vsock *vsock);
void vsock_table_fini(struct vsock *vsock);
/* A new one in a state, with its socket; NULL where the table is full, and fd is closed. */
struct vsock_connection *vsock_add(struct vsock *vsock, enum vsock_state state, int fd);
/* Its ports are known: from now on vsock_find() finds it. */
void vsock_name(struct vsock_connection *connection, uint32_t host_port, uint32_t guest_port);
struct vsock_connection *vsock_find(struct vsock *vsock, uint32_t host_port, uint32_t guest_port);
/* A port for a connection to guest_port that no other has. */
uint32_t vsock_new_port(struct vsock *vsock, uint32_t guest_port);
/* It is over for both sides. Loop thread. */
void vsock_release(struct vsock_connection *connection);
/* It is over for the guest; the host gets what is in the buffer. */
void vsock_linger(struct vsock_connection *connection);
/* It is over for the host; the guest is told. Loop thread. */
void vsock_break(struct vsock_connection *connection);
/* For the poll callbacks: the place of a released one is free when its last poll is back. */
void vsock_reap(struct vsock_connection *connection);
/* Of a reset device: cuts all connections that the guest knows of, any thread; the loop's releases
 * them later. */
void vsock_orphan_all(struct vsock *vsock);
void vsock_release_orphans(struct vsock *vsock);
void vsock_set_deadline(struct vsock_connection *connection, uint64_t ns);
uint8_t *vsock_buffer(const struct vsock_connection *connection);

/* vsock_rx.c: to the guest */
void vsock_want(struct vsock_connection *connection, unsigned int operation);
void vsock_ready(struct vsock_connection *connection);
bool vsock_refuse(struct vsock *vsock, const struct vsock_refusal *refusal);
uint32_t vsock_credit(const struct vsock_connection *connection);
/* True where more is to be done, with buffers for it: run again soon. */
bool vsock_rx_run(struct vsock *vsock);

/* vsock_tx.c: from the guest */
bool vsock_tx_run(struct vsock *vsock);

/* vsock_listen.c: the socket that the host's programs connect to. listen_fd is -1 where it fails.
 */
int vsock_listen(struct vsock *vsock, const char *path, struct error *error);
void vsock_unlisten(struct vsock *vsock);

/* vsock_host.c */
void vsock_host_init(struct vsock *vsock);
void vsock_wait_for_clients(struct vsock *vsock);
void vsock_connection_init(struct vsock_connection *connection);
/* Connects to the program that listens for a port. A descriptor or negative errno. */
int vsock_connect(const struct vsock *vsock, uint32_t port);
void vsock_wait_for_input(struct vsock_connection *connection);
/* Passes bytes of the popped chain, from its offset on, to the host. */
void vsock_to_host(struct vsock_connection *connection, const struct virtq_chain *chain,
		   size_t bytes);
/* Does what the guest's shutdown flags, the host's and an empty buffer together ask for. */
void vsock_proceed(struct vsock_connection *connection);
/* The guest took the connection. */
void vsock_accepted(struct vsock_connection *connection);
/* Something for the guest may have come up: passes it on, and comes back where there is more. */
void vsock_after_event(struct vsock *vsock);

#endif
