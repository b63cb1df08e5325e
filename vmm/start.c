/* SPDX-License-Identifier: Apache-2.0 */
/* start: the parts of vm_create(): memory, KVM's objects, devices, vCPUs, stage 2. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "boot/boot.h"
#include "devices/platform.h"
#include "devices/serial.h"
#include "mem/prefault.h"
#include "tools/host-kernel/include/stet_kvm.h"
#include "vmm/cpu_x86.h"
#include "vmm/kvm.h"
#include "vmm/vm.h"

#define LOOP_ENTRIES        16  /* a console needs no more */
#define LOOP_ENTRIES_VIRTIO 256 /* each queue's doorbell is queued before the loop runs */

#define MAP_WORKERS_MAX 16

struct progress {
	const struct stet_config *config;
	const char *phase;
};

static void on_progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
	const struct progress *progress = opaque;

	progress->config->progress(progress->config->progress_opaque, progress->phase, done_bytes,
				   total_bytes);
}

/* Maps guest RAM and, unless prefault is off, populates it in the host's page tables. */
int start_memory(struct stet_vm *vm, const struct stet_config *config, struct error *error)
{
	struct progress phase = { config, "populate memory" };
	const struct prefault_progress progress = { on_progress, &phase };
	int ret;

	vm->prefault.wanted = config->prefault != STET_PREFAULT_OFF;
	ret = ram_init_wanted(&vm->ram, config->memory_bytes, (enum backing)config->backing,
			      vm->prefault.wanted, error);
	if (ret)
		return ret;
	if (!vm->prefault.wanted) {
		ram_settle(&vm->ram);
		return 0;
	}
	ram_lock(&vm->ram);
	vm->prefault.by_vm = vm->ram.backing == BACKING_4K && kvm_prefault_vm_works(vm->kvm_fd);
	/* start_stage2() populates as it maps; but folios are cheaper while there is no VM. */
	if (vm->prefault.by_vm && !vm->ram.folio_bytes)
		return 0;
	ret = prefault_host(&vm->ram, config->populate_threads, config->progress ? &progress : NULL,
			    error);
	if (ret)
		return ret;
	ram_settle(&vm->ram);
	vm->prefault.populated = true;
	return 0;
}

/* What a VM needs before it has vCPUs: each failure is reported with the words of what was tried.
 */
static int create_vm(struct stet_vm *vm, struct error *error)
{
	int ret = kvm_create_vm(vm->kvm_fd);

	if (ret < 0)
		return error_set(error, -ret, "KVM cannot create a VM: %s", error_name(-ret));
	vm->vm_fd = ret;
	vm->plug.vm_fd = ret;
	/* Deleting a slot must not throw all of stage 2 away; huge pages must not be split when
	 * code in them runs; no PMU. */
	if (kvm_check(vm->vm_fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_SLOT_ZAP_ALL)
		vm->zap_all_off = !kvm_enable_cap(vm->vm_fd, KVM_CAP_DISABLE_QUIRKS2,
						  KVM_X86_QUIRK_SLOT_ZAP_ALL);
	vm->nx_huge_pages_off = !kvm_enable_cap(vm->vm_fd, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 0);
	kvm_enable_cap(vm->vm_fd, KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE);
	ret = kvm_create_irqchip(vm->vm_fd);
	if (ret)
		return error_set(error, -ret, "KVM cannot create the interrupt controllers: %s",
				 error_name(-ret));
	ret = kvm_create_pit(vm->vm_fd);
	if (ret)
		return error_set(error, -ret, "KVM cannot create the interval timer: %s",
				 error_name(-ret));
	return 0;
}

/* With stet's patches to KVM: so many pages mapped on one fault. */
static int set_fault_around(struct stet_vm *vm, uint32_t pages, struct error *error)
{
	int max = kvm_check(vm->vm_fd, STET_KVM_CAP_FAULT_AROUND);
	int ret;

	if (!pages)
		return 0;
	if (!max)
		return error_set(
			error, EOPNOTSUPP,
			"this host's KVM cannot map around a fault: it needs stet's patches "
			"(tools/host-kernel; 'stet info' tells)");
	ret = kvm_enable_cap(vm->vm_fd, STET_KVM_CAP_FAULT_AROUND, pages);
	if (ret)
		return error_set(error, -ret,
				 "KVM does not map %u pages around a fault: powers of two up to %d "
				 "are fine",
				 pages, max);
	return 0;
}

static int add_slots(struct stet_vm *vm, struct error *error)
{
	for (uint32_t i = 0; i < vm->ram.range_count; i++) {
		const struct ram_range *range = &vm->ram.ranges[i];
		int ret = kvm_set_slot(vm->vm_fd, i, range->gpa, range->bytes, range->host);

		if (ret)
			return error_set(error, -ret,
					 "KVM does not take %llu MiB of memory at 0x%llx: %s",
					 (unsigned long long)(range->bytes / MIB),
					 (unsigned long long)range->gpa, error_name(-ret));
	}
	return 0;
}

/* The VM and its memory slots. The memory map is final after this. */
int start_kvm(struct stet_vm *vm, const struct stet_config *config, struct error *error)
{
	int ret = create_vm(vm, error);

	if (!ret)
		ret = set_fault_around(vm, config->fault_around, error);
	if (ret)
		return ret;
	vm->vm_stats_fd = kvm_stats_fd(vm->vm_fd);
	if (vm->vm_stats_fd >= 0)
		stats_layout_vm(&vm->vm_stats, vm->vm_stats_fd);
	return add_slots(vm, error);
}

static void on_machine_event(void *opaque, enum machine_event event, uint8_t value)
{
	struct stet_vm *vm = opaque;

	switch (event) {
	case MACHINE_POWEROFF:
		vm_end(vm, STET_END_POWEROFF);
		break;
	case MACHINE_RESET:
		vm_end(vm, STET_END_RESET);
		break;
	case MACHINE_PANIC:
		vm_end(vm, STET_END_PANIC);
		break;
	case MACHINE_CRASH_LOADED:
		vm->crash_kernel = true;
		break;
	case MACHINE_MARK:
		vm_add_mark(vm, value);
		break;
	}
}

static void on_loop_wake(void *opaque)
{
	console_on_wake(opaque);
}

static int add_console(struct stet_vm *vm, const struct stet_config *config, struct error *error)
{
	const struct irq_line irq = plug_irq(&vm->plug, LAYOUT_GSI_COM1);
	int ret;

	vm->console = calloc(1, sizeof(*vm->console));
	if (!vm->console)
		return error_set(error, ENOMEM, "no memory for the console");
	vm->console->in_fd = vm->console->out_fd = -1;
	loop_on_wake(vm->loop, on_loop_wake, vm->console);
	ret = console_init(vm->console, vm->loop, &vm->log, &irq, config->console_in_fd,
			   config->console_out_fd, error);
	if (ret)
		return ret;
	return plug_ports(&vm->plug, vm->console->serial, LAYOUT_PORT_COM1, SERIAL_BYTES, error);
}

static bool wants_console(const struct stet_config *config)
{
	return config->console_in_fd >= 0 || config->console_out_fd >= 0;
}

/* The I/O loop, where a device needs one. */
static int add_loop(struct stet_vm *vm, const struct stet_config *config, struct error *error)
{
	bool virtio = virtio_devices_count(config) > 0;
	int ret;

	if (!wants_console(config) && !virtio)
		return 0;
	ret = loop_create(&vm->loop, virtio ? LOOP_ENTRIES_VIRTIO : LOOP_ENTRIES, error);
	vm->plug.loop = vm->loop;
	return ret;
}

/* The whole machine, in one place: what device, at which port. */
int start_devices(struct stet_vm *vm, const struct stet_config *config, struct error *error)
{
	const struct machine machine = { on_machine_event, vm };
	const struct irq_line acpi_irq = plug_irq(&vm->plug, LAYOUT_GSI_ACPI);
	struct plug *plug = &vm->plug;
	int ret = add_loop(vm, config, error);

	if (!ret && wants_console(config))
		ret = add_console(vm, config, error);
	if (!ret)
		ret = plug_ports(plug, rtc_create(), LAYOUT_PORT_RTC, RTC_BYTES, error);
	if (!ret)
		ret = plug_ports(plug, i8042_create(&machine), LAYOUT_PORT_I8042, I8042_BYTES,
				 error);
	if (!ret)
		ret = plug_ports(plug, reset_create(&machine), LAYOUT_PORT_RESET, RESET_BYTES,
				 error);
	if (!ret)
		ret = plug_ports(plug, pvpanic_create(&machine), LAYOUT_PORT_PVPANIC, PVPANIC_BYTES,
				 error);
	if (!ret)
		ret = plug_ports(plug, mark_create(&machine), LAYOUT_PORT_MARK, MARK_BYTES, error);
	if (!ret) {
		vm->acpi_pm = acpi_pm_create(&machine, &acpi_irq);
		ret = plug_ports(plug, vm->acpi_pm, LAYOUT_PORT_ACPI, ACPI_PM_BYTES, error);
	}
	if (!ret && virtio_devices_count(config))
		ret = virtio_devices_add(vm, config, error);
	/* The clock's index: it matters with the next access of the data port. */
	deferred_add(vm->vm_fd, true, LAYOUT_PORT_RTC, 1);
	bus_freeze(&plug->pio);
	bus_freeze(&plug->mmio);
	return ret;
}

static int create_vcpus(struct stet_vm *vm, struct error *error)
{
	int page_bytes = kvm_vcpu_mmap_bytes(vm->kvm_fd);

	if (page_bytes < (int)sizeof(struct kvm_run))
		return error_set(error, EIO, "KVM's vCPU page is too small (%d)", page_bytes);
	for (uint32_t id = 0; id < vm->vcpu_count; id++) {
		int ret = vcpu_init(&vm->vcpus[id], vm->vm_fd, id, page_bytes, error);

		if (ret)
			return ret;
	}
	deferred_attach(&vm->deferred, vm->vcpus[0].page.run, vm->vcpus[0].page.bytes,
			(uint32_t)kvm_check(vm->kvm_fd, KVM_CAP_COALESCED_MMIO));
	return 0;
}

/* vCPUs with their CPUID: what the shape of stage 2 may depend on. */
int start_vcpus(struct stet_vm *vm, uint32_t count, struct error *error)
{
	struct cpu_model *model = NULL;
	int ret, tsc_khz;

	vm->vcpus = calloc(count, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return error_set(error, ENOMEM, "no memory for %u vCPUs", count);
	vm->vcpu_count = count;
	for (uint32_t id = 0; id < count; id++)
		vm->vcpus[id].fd = vm->vcpus[id].stats_fd = -1;
	ret = create_vcpus(vm, error);
	if (ret)
		return ret;
	if (vm->vcpus[0].stats_fd >= 0)
		stats_layout_vcpu(&vm->vcpu_stats, vm->vcpus[0].stats_fd);
	tsc_khz = kvm_tsc_khz(vm->vcpus[0].fd);
	ret = cpu_model_create(&model, vm->kvm_fd, count, tsc_khz > 0 ? (uint32_t)tsc_khz : 0,
			       error);
	if (!ret)
		vm->intel = model->intel;
	for (uint32_t id = 0; !ret && id < count; id++)
		ret = cpu_set_cpuid(model, vm->vcpus[id].fd, id, error);
	free(model);
	return ret;
}

int start_registers(struct stet_vm *vm, struct error *error)
{
	int ret = 0;

	for (uint32_t id = 0; !ret && id < vm->vcpu_count; id++)
		ret = cpu_set_state(vm->vcpus[id].fd, id, &vm->image, error);
	return ret;
}

static int map_piece(void *opaque, unsigned int worker, uint64_t gpa, uint64_t bytes)
{
	const struct stet_vm *vm = opaque;

	return kvm_prefault(vm->vcpus[worker].fd, gpa, bytes);
}

/*
 * With stet's patches to KVM: populates, too, in batches of 512 pages, and needs no vCPU of its
 * own. For small pages: with huge ones zeroing is all there is (64 MiB of hugetlb: 8.79 and 8.73 M
 * instructions), and that is work for several threads.
 */
static int map_piece_by_vm(void *opaque, unsigned int worker, uint64_t gpa, uint64_t bytes)
{
	const struct stet_vm *vm = opaque;
	const struct stet_kvm_range range = { .gpa = gpa, .size = bytes };

	(void)worker;
	return kvm_prefault_vm(vm->vm_fd, &range, 1);
}

static int map_ram(struct stet_vm *vm, const struct prefault_progress *progress)
{
	int ret;

	if (!vm->prefault.by_vm)
		return prefault_stage2(&vm->ram, vm->vcpu_count, map_piece, vm, progress);
	ret = prefault_stage2(&vm->ram, MAP_WORKERS_MAX, map_piece_by_vm, vm, progress);
	if (!ret) {
		ram_settle(&vm->ram);
		vm->prefault.populated = true;
	}
	return ret;
}

/* A page without RAM answers ENOENT, and its MMIO entry is in place then. */
static void map_windows(struct stet_vm *vm, const struct layout_range *windows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (uint64_t at = 0; at < windows[i].bytes; at += LAYOUT_PAGE_BYTES) {
			int ret = kvm_prefault(vm->vcpus[0].fd, windows[i].gpa + at,
					       LAYOUT_PAGE_BYTES);

			if (!ret || ret == -ENOENT)
				vm->prefault.windows++;
		}
	}
}

/* Maps RAM and device windows in KVM's page tables. Last: the memory map and the CPUID are final.
 */
int start_stage2(struct stet_vm *vm, const struct stet_config *config, struct error *error)
{
	struct progress phase = { config, "map stage 2" };
	const struct prefault_progress progress = { on_progress, &phase };
	const struct layout_range *windows;
	size_t window_count;
	int ret;

	if (!vm->prefault.wanted)
		return 0;
	ret = map_ram(vm, config->progress ? &progress : NULL);
	if (!ret) {
		vm->prefault.mapped = true;
		windows = layout_device_windows(&window_count);
		map_windows(vm, windows, window_count);
		map_windows(vm, vm->plug.windows, vm->plug.window_count);
		if (vm->plug.ecam)
			kvm_prefault(vm->vcpus[0].fd, LAYOUT_PCI_ECAM, LAYOUT_PCI_ECAM_MAPPED);
		return 0;
	}
	vm->prefault.code = -ret;
	if (ret != -EOPNOTSUPP)
		return error_set(error, -ret, "KVM cannot %smap guest memory in stage 2: %s",
				 vm->prefault.populated ? "" : "populate and ", error_name(-ret));
	if (config->prefault == STET_PREFAULT_REQUIRE)
		return error_set(
			error, EOPNOTSUPP,
			"this host cannot prefault stage 2 (no KVM_PRE_FAULT_MEMORY: it needs "
			"Linux 6.11 and two-dimensional paging; see 'stet info')");
	return 0;
}
