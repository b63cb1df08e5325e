/* SPDX-License-Identifier: Apache-2.0 */
/* exit: what user space does when a guest leaves it, one small handler for each reason (KVM API
 * document, section 5). */
#include "vmm/exit.h"

#include "base/num.h"
#include "vmm/deferred.h"
#include "vmm/kvm.h"

typedef enum exit_verdict exit_handler(const struct exit_target *target,
				       const struct exit_page *page, const char **why);

static enum exit_verdict crash(const char **why, const char *text)
{
	*why = text;
	return EXIT_CRASH;
}

/* What was written before this access comes first. */
static void drain(const struct exit_target *target)
{
	if (target->deferred)
		deferred_drain(target->deferred);
}

/* The page's head is read once: data that (against the document) lies over it must not change a
 * size in mid-loop. */
static enum exit_verdict exit_io(const struct exit_target *target, const struct exit_page *page,
				 const char **why)
{
	const struct kvm_run *run = page->run;
	const uint64_t offset = run->io.data_offset;
	const uint32_t size = run->io.size, count = run->io.count;
	const uint16_t port = run->io.port;
	const bool out = run->io.direction == KVM_EXIT_IO_OUT;
	uint8_t *data;

	if (size != 1 && size != 2 && size != 4)
		return crash(why, "KVM reported a port access of neither 1, 2 nor 4 bytes");
	if (!num_within(offset, (uint64_t)size * count, page->bytes))
		return crash(why, "KVM placed port data outside the vCPU's page");
	drain(target);
	data = (uint8_t *)page->run + offset;
	for (uint32_t i = 0; i < count; i++, data += size) {
		if (out)
			bus_write(target->pio, port, size, data);
		else
			bus_read(target->pio, port, size, data);
	}
	return EXIT_CONTINUE;
}

static enum exit_verdict exit_mmio(const struct exit_target *target, const struct exit_page *page,
				   const char **why)
{
	struct kvm_run *run = page->run;

	if (run->mmio.len > sizeof(run->mmio.data))
		return crash(why, "KVM reported a memory access of more than 8 bytes");
	drain(target);
	if (run->mmio.is_write)
		bus_write(target->mmio, run->mmio.phys_addr, run->mmio.len, run->mmio.data);
	else
		bus_read(target->mmio, run->mmio.phys_addr, run->mmio.len, run->mmio.data);
	return EXIT_CONTINUE;
}

static enum exit_verdict exit_again(const struct exit_target *target, const struct exit_page *page,
				    const char **why)
{
	(void)target;
	(void)page;
	(void)why;
	return EXIT_CONTINUE;
}

static enum exit_verdict exit_shutdown(const struct exit_target *target,
				       const struct exit_page *page, const char **why)
{
	(void)target;
	(void)page;
	return crash(why, "triple fault (a fault that the guest has no handler for)");
}

static enum exit_verdict exit_internal_error(const struct exit_target *target,
					     const struct exit_page *page, const char **why)
{
	(void)target;
	if (page->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
		return crash(why, "KVM cannot emulate the instruction at RIP");
	return crash(why, "KVM internal error");
}

static enum exit_verdict exit_fail_entry(const struct exit_target *target,
					 const struct exit_page *page, const char **why)
{
	(void)target;
	(void)page;
	return crash(why, "the processor refused to enter the guest (invalid guest state)");
}

static enum exit_verdict exit_system_event(const struct exit_target *target,
					   const struct exit_page *page, const char **why)
{
	(void)target;
	switch (page->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		return EXIT_POWEROFF;
	case KVM_SYSTEM_EVENT_RESET:
		return EXIT_RESET;
	default:
		return crash(why, "the guest told the hypervisor that it crashed");
	}
}

struct exit_entry {
	const char *name;
	exit_handler *handle;
};

/* A reason without a handler ends the guest as a crash: stet asked for nothing that makes it. */
static const struct exit_entry exits[EXIT_REASONS] = {
	[KVM_EXIT_UNKNOWN] = { "unknown", NULL },
	[KVM_EXIT_EXCEPTION] = { "exception", NULL },
	[KVM_EXIT_IO] = { "io", exit_io },
	[KVM_EXIT_HYPERCALL] = { "hypercall", NULL },
	[KVM_EXIT_DEBUG] = { "debug", NULL },
	[KVM_EXIT_HLT] = { "hlt", exit_again },
	[KVM_EXIT_MMIO] = { "mmio", exit_mmio },
	[KVM_EXIT_IRQ_WINDOW_OPEN] = { "irq_window", exit_again },
	[KVM_EXIT_SHUTDOWN] = { "shutdown", exit_shutdown },
	[KVM_EXIT_FAIL_ENTRY] = { "fail_entry", exit_fail_entry },
	[KVM_EXIT_INTR] = { "signal", exit_again },
	[KVM_EXIT_SET_TPR] = { "set_tpr", exit_again },
	[KVM_EXIT_INTERNAL_ERROR] = { "internal_error", exit_internal_error },
	[KVM_EXIT_SYSTEM_EVENT] = { "system_event", exit_system_event },
	[KVM_EXIT_IOAPIC_EOI] = { "ioapic_eoi", exit_again },
	[KVM_EXIT_MEMORY_FAULT] = { "memory_fault", NULL },
};

const char *exit_reason_name(uint32_t reason)
{
	return reason < EXIT_REASONS ? exits[reason].name : NULL;
}

enum exit_verdict exit_handle(const struct exit_target *target, const struct exit_page *page,
			      const char **why)
{
	uint32_t reason = page->run->exit_reason;

	if (reason >= EXIT_REASONS || !exits[reason].handle)
		return crash(why, "an exit that stet does not know");
	return exits[reason].handle(target, page, why);
}
