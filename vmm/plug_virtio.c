/* SPDX-License-Identifier: Apache-2.0 */
/* plug_virtio: connects a virtio device to KVM and to the I/O loop. */
#include "vmm/plug_virtio.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/fd.h"
#include "devices/virtio_mmio.h"
#include "devices/virtio_pci.h"
#include "vmm/deferred.h"
#include "vmm/kvm.h"

/* Longer than storage that works takes for what is in flight. */
#define RESET_LIMIT_NS (5 * NS_PER_SEC)

/* How often a watch may end with an error before it is not begun again. */
#define FAILURES_MAX 64

static void ring(struct plug_doorbell *doorbell)
{
	eventfd_write(doorbell->fd, 1);
}

/*
 * Loop thread. A kick that comes while the queue is worked on signals again and is not lost; nor is
 * one that comes while nobody watches, for nobody reads the eventfd: a watch that begins finds it
 * signalled.
 */
static void rang(struct loop_request *request, int result)
{
	struct plug_doorbell *doorbell =
		(struct plug_doorbell *)((char *)request - offsetof(struct plug_doorbell, watch));
	struct virtio *virtio = doorbell->owner->virtio;
	int ret = 0;

	doorbell->failures = result < 0 ? doorbell->failures + 1 : 0;
	if (!request->pending)
		ret = doorbell->failures < FAILURES_MAX
			      ? loop_watch(doorbell->owner->plug->loop, request, doorbell->fd)
			      : result;
	if (ret == -ECANCELED)
		return; /* the loop ends */
	if (ret)
		virtio_fail(virtio, ret);
	else if (virtio_kick(virtio, doorbell->queue))
		ring(doorbell);
}

int plug_doorbell_listen(struct plug_doorbell *doorbell)
{
	doorbell->watch.done = rang;
	return loop_watch(doorbell->owner->plug->loop, &doorbell->watch, doorbell->fd);
}

/* A kick that came as a register write, or with DRIVER_OK. */
static void wired_kick(void *opaque, unsigned int queue)
{
	struct plug_virtio *plugged = opaque;

	if (queue < plugged->doorbell_count)
		ring(&plugged->doorbells[queue]);
}

static void wired_line(void *opaque, unsigned int vector)
{
	const struct plug_virtio *plugged = opaque;

	(void)vector;
	kvm_irq_line(plugged->plug->vm_fd, plugged->gsi, true);
	kvm_irq_line(plugged->plug->vm_fd, plugged->gsi, false);
}

void plug_virtio_free(struct plug_virtio *plugged)
{
	if (!plugged)
		return;
	for (uint32_t i = 0; i < plugged->doorbell_count; i++)
		fd_close(&plugged->doorbells[i].fd);
	free(plugged->doorbells);
	free(plugged);
}

static struct plug_virtio *new_plugged(struct plug *plug, struct virtio *virtio)
{
	struct plug_virtio *plugged = calloc(1, sizeof(*plugged));

	if (!plugged)
		return NULL;
	plugged->plug = plug;
	plugged->virtio = virtio;
	plugged->doorbells = calloc(virtio->queue_count, sizeof(*plugged->doorbells));
	if (!plugged->doorbells) {
		free(plugged);
		return NULL;
	}
	plugged->doorbell_count = virtio->queue_count;
	for (uint16_t i = 0; i < virtio->queue_count; i++)
		plugged->doorbells[i] = (struct plug_doorbell){
			.owner = plugged,
			.queue = i,
			.fd = -1,
		};
	return plugged;
}

/* Makes the eventfd, tells KVM where the guest rings, and lets the loop listen. */
static int connect_doorbell(struct plug_doorbell *doorbell, const struct virtio_doorbell *where,
			    uint64_t base, struct error *error)
{
	struct kvm_ioeventfd at = {
		.datamatch = where->value,
		.addr = base + where->address,
		.len = where->bytes,
		.flags = (where->port ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (where->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	};
	int ret;

	doorbell->fd = eventfd(0, EFD_CLOEXEC);
	if (doorbell->fd < 0)
		return error_set(error, errno, "cannot make an eventfd: %s", error_name(errno));
	at.fd = doorbell->fd;
	ret = kvm_ioeventfd(doorbell->owner->plug->vm_fd, &at);
	if (ret)
		return error_set(error, -ret, "KVM does not take a doorbell at 0x%llx: %s",
				 (unsigned long long)at.addr, error_name(-ret));
	ret = plug_doorbell_listen(doorbell);
	if (ret)
		return error_set(error, -ret, "the I/O loop has no room for a doorbell: %s",
				 error_name(-ret));
	return 0;
}

static void add_window(struct plug *plug, uint64_t gpa, uint64_t bytes)
{
	if (plug->window_count < PLUG_WINDOWS_MAX)
		plug->windows[plug->window_count++] = (struct layout_range){ gpa, bytes };
}

/* The bookkeeping of one more device, or NULL with the error set; virtio is gone then. */
static struct plug_virtio *begin(struct plug *plug, struct virtio *virtio, uint32_t limit,
				 struct error *error)
{
	struct plug_virtio *plugged = NULL;

	if (!virtio) {
		error_set(error, ENOMEM, "no memory for a device");
		return NULL;
	}
	if (plug->virtio_count == limit)
		error_set(error, ENOSPC, "more than %u virtio devices on this transport", limit);
	else
		plugged = new_plugged(plug, virtio);
	if (plugged)
		return plugged;
	if (plug->virtio_count != limit)
		error_set(error, ENOMEM, "no memory for a device");
	virtio_destroy(virtio);
	return NULL;
}

/* The transport could not be made. */
static int give_up(struct plug_virtio *plugged, struct virtio *virtio, struct error *error)
{
	plug_virtio_free(plugged);
	virtio_destroy(virtio);
	return error_set(error, ENOMEM, "no memory for a device");
}

static void defer_mmio(int vm_fd, uint64_t base)
{
	struct virtio_range ranges[VIRTIO_MMIO_DEFERRED];

	virtio_mmio_deferred(ranges);
	for (unsigned int i = 0; i < VIRTIO_MMIO_DEFERRED; i++)
		deferred_add(vm_fd, false, base + ranges[i].offset, ranges[i].bytes);
}

int plug_virtio_mmio(struct plug *plug, struct virtio *virtio, struct error *error)
{
	uint32_t place = plug->virtio_count;
	uint64_t base = LAYOUT_MMIO_BASE + place * (uint64_t)VIRTIO_MMIO_BYTES;
	struct virtio_wiring wiring = {
		.interrupt = wired_line,
		.kick = wired_kick,
		.reset_limit_ns = RESET_LIMIT_NS,
	};
	struct plug_virtio *plugged = begin(plug, virtio, LAYOUT_VIRTIO_MMIO_MAX, error);
	struct device *device;
	int ret;

	if (!plugged)
		return -ENOMEM;
	wiring.opaque = plugged;
	device = virtio_mmio_create(virtio, &wiring);
	if (!device)
		return give_up(plugged, virtio, error);
	plugged->gsi = LAYOUT_GSI_FIRST_FREE + place;
	plug->virtio[plug->virtio_count++] = plugged;
	add_window(plug, base, VIRTIO_MMIO_BYTES);
	ret = plug_own(plug, device, error);
	if (!ret)
		ret = bus_add(&plug->mmio, base, VIRTIO_MMIO_BYTES, device, error);
	if (!ret)
		defer_mmio(plug->vm_fd, base);
	for (uint32_t i = 0; !ret && i < plugged->doorbell_count; i++) {
		struct virtio_doorbell where;

		virtio_mmio_doorbell(i, &where);
		ret = connect_doorbell(&plugged->doorbells[i], &where, base, error);
	}
	return ret;
}

/* ---- PCI ---- */

static void wired_route(void *opaque, unsigned int vector, uint64_t address, uint32_t data)
{
	struct plug_virtio *plugged = opaque;

	if (vector < MSIX_VECTORS_MAX)
		plugged->messages[vector] = (struct plug_message){ address, data };
}

static void wired_message(void *opaque, unsigned int vector)
{
	const struct plug_virtio *plugged = opaque;

	/* A message that goes nowhere is the guest's own doing. */
	if (vector < MSIX_VECTORS_MAX)
		kvm_signal_msi(plugged->plug->vm_fd, plugged->messages[vector].address,
			       plugged->messages[vector].data);
}

_Static_assert(PLUG_VIRTIO_MAX *VIRTIO_PCI_NOTIFY_PORTS <= LAYOUT_PCI_PORT_COUNT,
	       "each function has ports of its own");

_Static_assert(PLUG_VIRTIO_MAX <= PCI_SLOTS, "each function has a slot of its own");
_Static_assert(LAYOUT_PCI_ECAM_BYTES == PCI_ECAM_BYTES, "one bus");

/* One huge page, where the host gives one: a single entry of stage 2. Locked, as RAM is, where that
 * is allowed. */
static int add_pci_bus(struct plug *plug, struct error *error)
{
	uint64_t bytes = 2 * LAYOUT_PCI_ECAM_MAPPED;
	uint8_t *room, *ecam;

	if (plug->ecam)
		return 0;
	room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED)
		return error_set(error, errno, "no memory for the PCI bus: %s", error_name(errno));
	ecam = room + (-(uintptr_t)room & (LAYOUT_PCI_ECAM_MAPPED - 1));
	if (ecam != room)
		munmap(room, (size_t)(ecam - room));
	munmap(ecam + LAYOUT_PCI_ECAM_MAPPED,
	       bytes - LAYOUT_PCI_ECAM_MAPPED - (size_t)(ecam - room));
	plug->ecam = ecam;
	madvise(ecam, LAYOUT_PCI_ECAM_MAPPED, MADV_HUGEPAGE);
	madvise(ecam, LAYOUT_PCI_ECAM_MAPPED, MADV_DONTFORK);
	for (uint64_t at = 0; at < LAYOUT_PCI_ECAM_MAPPED; at += LAYOUT_PAGE_BYTES)
		*(volatile uint8_t *)(ecam + at) = 0;
	mlock2(ecam, LAYOUT_PCI_ECAM_MAPPED, MLOCK_ONFAULT);
	pci_ecam_init(ecam);
	return 0;
}

/*
 * Where the guest rings costs nothing to emulate as a port; in memory KVM has to decode the
 * instruction, except on Intel, where a write to a page without memory is looked up by address
 * alone. Measured on AMD (-icount, 4 KiB reads one at a time): 14.3 k instructions of the host for
 * each with ports, 16.5 k with memory.
 */
static bool ports_are_cheaper(void)
{
	static const char intel[] = "GenuntelineI"; /* EBX, ECX, EDX */
	uint32_t eax, name[3];

	return __get_cpuid(0, &eax, &name[0], &name[1], &name[2]) &&
	       memcmp(name, intel, sizeof(name)) != 0;
}

static void defer_pci(int vm_fd, uint64_t base, const struct pci_function *function)
{
	struct virtio_range ranges[VIRTIO_PCI_DEFERRED_MAX];
	unsigned int count = virtio_pci_deferred(function, ranges);

	for (unsigned int i = 0; i < count; i++)
		deferred_add(vm_fd, false, base + ranges[i].offset, ranges[i].bytes);
}

int plug_virtio_pci(struct plug *plug, struct virtio *virtio, struct error *error)
{
	uint32_t slot = plug->virtio_count;
	uint64_t base = LAYOUT_PCI_BAR_BASE + slot * (uint64_t)VIRTIO_PCI_BYTES;
	uint32_t ports = LAYOUT_PCI_PORT_BASE + slot * VIRTIO_PCI_NOTIFY_PORTS;
	struct virtio_pci_setup setup = {
		.bar_gpa = base,
		.notify_port = ports_are_cheaper() ? (uint16_t)ports : 0,
		.wiring = { .interrupt = wired_message, .route = wired_route, .kick = wired_kick },
	};
	struct plug_virtio *plugged = begin(plug, virtio, PLUG_VIRTIO_MAX, error);
	struct pci_function *function = NULL;
	int ret;

	if (!plugged)
		return -ENOMEM;
	ret = add_pci_bus(plug, error);
	if (!ret) {
		setup.wiring.opaque = plugged;
		setup.config_page = pci_ecam_page(plug->ecam, slot);
		function = virtio_pci_create(virtio, &setup);
	}
	if (!function)
		return give_up(plugged, virtio, error);
	plug->virtio[plug->virtio_count++] = plugged;
	ret = plug_own(plug, &function->device, error);
	if (!ret)
		ret = bus_add(&plug->mmio, base, VIRTIO_PCI_BYTES, &function->device, error);
	if (!ret)
		defer_pci(plug->vm_fd, base, function);
	add_window(plug, base, VIRTIO_PCI_BYTES);
	for (uint32_t i = 0; !ret && i < plugged->doorbell_count; i++) {
		struct virtio_doorbell where;

		virtio_pci_doorbell(function, i, &where);
		ret = connect_doorbell(&plugged->doorbells[i], &where, 0, error);
	}
	return ret;
}

/*
 * Written to as well as read: KVM counts a write to read-only memory as a stage-2 fault (measured:
 * 35 of them in a boot).
 */
int plug_close_pci(struct plug *plug, uint32_t memory_slot, struct error *error)
{
	int ret;

	if (!plug->ecam)
		return 0;
	ret = kvm_set_slot(plug->vm_fd, memory_slot, LAYOUT_PCI_ECAM, LAYOUT_PCI_ECAM_MAPPED,
			   plug->ecam);
	if (ret)
		return error_set(error, -ret, "KVM does not take the PCI bus as memory: %s",
				 error_name(-ret));
	return 0;
}
