/* SPDX-License-Identifier: Apache-2.0 */
/* deferred: register writes that KVM keeps in a ring instead of leaving the guest for each. */
#include "vmm/deferred.h"

#include <stddef.h>
#include <string.h>

#include "mem/layout.h"
#include "vmm/kvm.h"

void deferred_init(struct deferred *deferred, struct bus *pio, struct bus *mmio)
{
	*deferred = (struct deferred){ .pio = pio, .mmio = mmio };
	pthread_mutex_init(&deferred->lock, NULL);
}

void deferred_fini(struct deferred *deferred)
{
	pthread_mutex_destroy(&deferred->lock);
}

void deferred_add(int vm_fd, bool port, uint64_t address, uint32_t bytes)
{
	const struct kvm_coalesced_mmio_zone zone = { .addr = address, .size = bytes, .pio = port };

	/* Without the capability for ports KVM would take the zone for memory. */
	if (kvm_check(vm_fd, port ? KVM_CAP_COALESCED_PIO : KVM_CAP_COALESCED_MMIO))
		kvm_defer_writes(vm_fd, &zone);
}

void deferred_attach(struct deferred *deferred, struct kvm_run *run, uint64_t bytes,
		     uint32_t offset_pages)
{
	uint64_t offset = offset_pages * LAYOUT_PAGE_BYTES;

	if (!offset_pages || !num_within(offset, LAYOUT_PAGE_BYTES, bytes))
		return;
	deferred->ring = (struct kvm_coalesced_mmio_ring *)((uint8_t *)run + offset);
	deferred->entries = (LAYOUT_PAGE_BYTES - sizeof(*deferred->ring)) /
			    sizeof(deferred->ring->coalesced_mmio[0]);
}

/* What the guest chose is judged by the bus, as with an access that left the guest; the length,
 * here. */
static void handle(struct deferred *deferred, const struct kvm_coalesced_mmio *write)
{
	struct bus *bus = write->pio ? deferred->pio : deferred->mmio;

	if (write->len <= sizeof(write->data))
		bus_write_deferred(bus, write->phys_addr, write->len, write->data);
}

void deferred_drain(struct deferred *deferred)
{
	struct kvm_coalesced_mmio_ring *ring = deferred->ring;
	uint32_t first, last;

	/* first moves only when a write has been handled. Pairs with the release below. */
	if (!ring || __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE) ==
			     __atomic_load_n(&ring->last, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&deferred->lock);
	first = ring->first;
	/* Pairs with KVM's barrier between an entry and last. Read once: a vCPU that goes on
	 * writing must not keep this one here for ever. */
	last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
	while (first != last && first < deferred->entries && last < deferred->entries) {
		const struct kvm_coalesced_mmio write = ring->coalesced_mmio[first];

		handle(deferred, &write);
		first = (first + 1) % deferred->entries;
		__atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&deferred->lock);
}
