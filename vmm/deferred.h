/* SPDX-License-Identifier: Apache-2.0 */
/* deferred: register writes that KVM keeps in a ring instead of leaving the guest for each (KVM API
 * document, KVM_REGISTER_COALESCED_MMIO). */
#ifndef VMM_DEFERRED_H
#define VMM_DEFERRED_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/bus.h"

/*
 * The ring is one for the VM: KVM fills it for all vCPUs, in the order of the writes. It is emptied
 * before any other access of a vCPU is handled, so that each device sees what it would see without
 * it, only later. A device names what may wait: nothing on which something else waits that is no
 * access (see virtio_pci_deferred()). KVM leaves the guest when the ring is full.
 *
 * lock is held while writes are taken out and handled: whoever finds the ring empty knows that all
 * of it has been done. It is taken before a device's lock, and never with one held.
 */
struct deferred {
	pthread_mutex_t lock;
	struct kvm_coalesced_mmio_ring *ring; /* in the page of a vCPU; NULL: nothing is deferred */
	uint32_t entries;
	struct bus *pio, *mmio;
};

void deferred_init(struct deferred *deferred, struct bus *pio, struct bus *mmio);
void deferred_fini(struct deferred *deferred);

/* From now on writes that lie within the range wait. Before the vCPUs run. Where KVM does not do
 * it, they do not. */
void deferred_add(int vm_fd, bool port, uint64_t address, uint32_t bytes);

/* The ring lies offset_pages into the run page's mapping, which has bytes in all. */
void deferred_attach(struct deferred *deferred, struct kvm_run *run, uint64_t bytes,
		     uint32_t offset_pages);

/* Hands to the devices all that waits when it is called. Any vCPU's thread. */
void deferred_drain(struct deferred *deferred);

#endif
