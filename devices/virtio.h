/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio: what all virtio devices share (virtio 1.3): features, status, queues, configuration
 * space, and who may touch them when.
 *
 * Three layers, each ignorant of the next:
 *
 *	devices/rng, blk ...	one const struct virtio_type: what it is, and what to do on a kick
 *	devices/virtio, virtq	the rules of the standard, in one place for both transports
 *	virtio_mmio, virtio_pci	registers; nothing but a translation into the functions below
 *
 * and beside them vmm/plug, which knows KVM and the loop, and gives a transport its wiring: how an
 * interrupt leaves, and how a kick that was written to a register reaches the loop's thread.
 *
 * A kick:	ioeventfd -> loop -> virtio_kick() -> type->kick(): virtq_pop() until empty, work,
 *		virtq_push() -> virtio_interrupt() once, where the driver wants one -> wiring
 *(irqfd). Threads:	registers are accessed on vCPU threads, kicks and completions run on the
 *loop's thread, all under one lock: that of the transport's struct device. The data path has no
 *		other.
 * Frozen:	features after FEATURES_OK, queues after DRIVER_OK: later writes change nothing.
 *		Ring addresses are checked once, when DRIVER_OK starts the queues.
 * Mistakes:	a driver that breaks a rule gets NEEDS_RESET and one line in the log; its device
 *		stands still until it is reset, the machine goes on.
 * Reset:	takes effect on all registers at once. Requests in flight belong to the loop and
 *		finish in their own time; they are held (virtio_hold), belong to an old epoch, and
 *		their results are dropped. What they read still lands in the driver's old buffers:
 *		until the last of them is back, no queue starts again, and the driver is not told
 *		that the reset is done. PCI drivers ask for that; MMIO drivers take it as done when
 *		the write to the register is (Linux's does), so there the write waits.
 */
#ifndef DEVICES_VIRTIO_H
#define DEVICES_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "devices/virtq.h"
#include "mem/ram.h"

#define VIRTIO_QUEUES_MAX       65 /* 32 pairs and a control queue */
#define VIRTIO_CONFIG_BYTES_MAX 256
#define VIRTIO_FEATURE(bit)     (UINT64_C(1) << (bit))

struct virtio;

/* Counters that a type of device has beside struct virtio_stats: _Atomic uint64_t in its struct. */
struct virtio_counter {
	const char *name; /* stable, for statistics; NULL ends a list */
	size_t offset;
	uint32_t count; /* 0: a number; else a list of so many */
};

/* A type of device: one const record per file. All but destroy run under the device's lock. */
struct virtio_type {
	const char *name; /* stable, for statistics: "blk" */
	uint16_t id;      /* virtio 1.3 section 5 */
	uint32_t pci_class;
	uint16_t queue_count; /* where the device does not choose at virtio_init() */
	uint16_t queue_size;
	uint64_t features; /* beside those that every device has */
	uint32_t config_bytes;
	const struct virtio_counter *counters; /* may be NULL */

	/*
	 * The driver made buffers of a queue available, or may have. On the loop's thread; the
	 * queue is running. Takes a bounded number of chains: true where more are left, then it is
	 * called again soon.
	 */
	bool (*kick)(struct virtio *virtio, unsigned int queue);
	/* The driver writes to the configuration space, within config_bytes: the device takes into
	 * virtio->config what may be written. NULL: nothing. */
	void (*config_written)(struct virtio *virtio, uint32_t offset, uint32_t bytes,
			       uint64_t value);
	/* Forget what the driver set up. Requests in flight go on (see above). May be NULL. */
	void (*reset)(struct virtio *virtio);
	/* Nothing is in flight and no lock is held. Frees it. */
	void (*destroy)(struct virtio *virtio);
};

/* Read at any time, relaxed. */
struct virtio_stats {
	_Atomic uint64_t kicks;            /* how often a queue was looked at */
	_Atomic uint64_t chains;           /* taken from queues */
	_Atomic uint64_t interrupts;       /* sent for used buffers */
	_Atomic uint64_t interrupts_saved; /* not sent: the driver did not want them */
	_Atomic uint64_t resets;
	_Atomic uint64_t broken; /* rules broken by the driver */
};

/* What the transport does for the device; set by virtio_attach(). Called under the lock. */
struct virtio_front {
	void (*queue_interrupt)(void *opaque, unsigned int queue);
	void (*config_interrupt)(void *opaque);
	void *opaque;
};

/*
 * How the machine is connected to a transport; vmm/plug fills it. Called under the device's lock,
 * on any thread; none may block or call back.
 */
struct virtio_wiring {
	/* Vector is an MSI-X vector with PCI, 0 with MMIO (an edge of its line). */
	void (*interrupt)(void *opaque, unsigned int vector);
	/* PCI: from now on, vector is this message. Called before the first interrupt() of it. */
	void (*route)(void *opaque, unsigned int vector, uint64_t address, uint32_t data);
	/* A kick that came as a register write or with DRIVER_OK: call virtio_kick() on the loop's
	 * thread (one write to the queue's eventfd). */
	void (*kick)(void *opaque, unsigned int queue);
	/* MMIO: how long a vCPU that resets waits for requests in flight. Where the host's storage
	 * takes longer, the guest goes on. 0: not at all, which is for tests without a loop. */
	uint64_t reset_limit_ns;
	void *opaque;
};

/* First member of every virtio device. Owner: its transport, from virtio_attach() on. */
struct virtio {
	const struct virtio_type *type;
	const struct ram *ram;
	const struct log *log;
	pthread_mutex_t *lock; /* the transport's device.lock */
	struct virtio_front front;
	struct virtio_wiring wiring;

	uint64_t offered, accepted; /* features */
	uint8_t status;
	uint8_t status_before; /* the last reset */
	bool start_pending;    /* DRIVER_OK came while old requests were in flight */
	bool failed;           /* for good, see virtio_fail() */
	uint32_t epoch;        /* counts resets */
	uint32_t in_flight;    /* requests between virtio_hold() and virtio_release() */
	pthread_cond_t idle;   /* signalled where in_flight becomes 0 */
	uint8_t generation;    /* of the configuration space */
	uint8_t config[VIRTIO_CONFIG_BYTES_MAX];
	/* PCI: one vector for all queues, beside that of the configuration. Set by a device whose
	 * queues need the driver at about the same time: two interrupts are one then. */
	bool one_vector;
	uint16_t queue_count;
	struct virtq queues[VIRTIO_QUEUES_MAX];

	struct virtio_stats stats;
	struct log_limit log_limit;
};

/* Where the guest writes to kick a queue: what an ioeventfd is registered for. */
struct virtio_doorbell {
	bool port;        /* I/O port, not memory */
	uint64_t address; /* offset in the window for MMIO, else absolute */
	uint32_t bytes;   /* 0: of any size */
	bool match;       /* only this value: */
	uint32_t value;
};

/*
 * Registers of a transport whose writes need not be seen when they are made, but in order and
 * before any access that is not of such a range. Offsets in the transport's window.
 */
struct virtio_range {
	uint64_t offset;
	uint32_t bytes;
};

/* For vmm/plug: the doorbell of a queue rang. On the loop's thread; takes the lock. True where more
 * is to be done: ring it again (so that others get their turn). */
bool virtio_kick(struct virtio *virtio, unsigned int queue);

/* For vmm/plug: the host cannot serve the device any more (an errno value, either sign). It asks
 * for a reset, and again after each. Any thread; takes the lock. */
void virtio_fail(struct virtio *virtio, int code);

/* For devices. features are those beside the type's and the common ones; queue_count 0: the type's.
 */
void virtio_init(struct virtio *virtio, const struct virtio_type *type, const struct ram *ram,
		 const struct log *log, uint64_t features, uint16_t queue_count);

static inline bool virtio_has_feature(const struct virtio *virtio, unsigned int bit)
{
	return virtio->accepted & VIRTIO_FEATURE(bit);
}

/* A counter that only one thread at a time writes, and any reads: no locked instruction. */
static inline void virtio_count(_Atomic uint64_t *counter, uint64_t amount)
{
	uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

/* virtq_pop() with what a broken queue entails. False: nothing to do. */
bool virtio_pop(struct virtio *virtio, unsigned int queue, struct virtq_chain *chain);
/* virtq_kicks_on() for as long as the device is live: true where there is more to pop. */
bool virtio_kicks_on(struct virtio *virtio, unsigned int queue);
/* After one or more virtq_push(): interrupts where the driver wants it. */
void virtio_interrupt(struct virtio *virtio, unsigned int queue);
/* A request leaves for the loop, and is back. The epoch at hold time tells whether its result still
 * counts. */
void virtio_hold(struct virtio *virtio);
void virtio_release(struct virtio *virtio);
/* The driver broke a rule: what says which, in a few words. */
void virtio_needs_reset(struct virtio *virtio, const char *what);
/* The device changed virtio->config. */
void virtio_config_changed(struct virtio *virtio);

/* For transports; under the lock. */
void virtio_attach(struct virtio *virtio, pthread_mutex_t *lock, const struct virtio_front *front,
		   const struct virtio_wiring *wiring);
void virtio_destroy(struct virtio *virtio); /* NULL is fine */

uint32_t virtio_features_offered(const struct virtio *virtio, uint32_t word);
uint32_t virtio_features_accepted(const struct virtio *virtio, uint32_t word);
void virtio_accept_features(struct virtio *virtio, uint32_t word, uint32_t value);
/* Section 3.1: 0 resets, the rest sets bits in the order the standard gives them. */
void virtio_set_status(struct virtio *virtio, uint8_t status);
/* Requests from before the last reset are still in flight. */
bool virtio_resetting(const struct virtio *virtio);
/* Waits, without the lock, until they are not, or for wiring.reset_limit_ns. */
void virtio_wait_for_reset(struct virtio *virtio);
/* The driver may configure queues: before DRIVER_OK. */
bool virtio_configurable(const struct virtio *virtio);
/* NULL where there is no such queue. */
struct virtq *virtio_queue(struct virtio *virtio, uint32_t queue);
/* Any offset and size; what lies outside reads as zeroes and is not written. */
void virtio_config_read(const struct virtio *virtio, uint64_t offset, uint32_t size,
			uint64_t *value);
void virtio_config_write(struct virtio *virtio, uint64_t offset, uint32_t size, uint64_t value);

#endif
