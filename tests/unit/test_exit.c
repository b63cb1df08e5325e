/* SPDX-License-Identifier: Apache-2.0 */
/* test_exit: the exit handlers with invented exits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/exit.h"
#include "vmm/kvm.h"

#define PAGE_BYTES 8192

/* Remembers the last access, answers reads with a pattern. */
struct probe {
	struct device device;
	uint64_t offset, value;
	uint32_t size, reads, writes;
};

static void probe_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	struct probe *probe = (struct probe *)device;

	probe->offset = offset;
	probe->size = size;
	probe->reads++;
	*value = UINT64_C(0x1122334455667788);
}

static void probe_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct probe *probe = (struct probe *)device;

	probe->offset = offset;
	probe->size = size;
	probe->value = value;
	probe->writes++;
}

static void probe_destroy(struct device *device)
{
	device_fini(device);
}

static const struct device_ops probe_ops = {
	.name = "probe",
	.read = probe_read,
	.write = probe_write,
	.destroy = probe_destroy,
};

struct fixture {
	struct probe port, memory;
	struct bus pio, mmio;
	struct exit_target target;
	_Alignas(16) uint8_t page_data[PAGE_BYTES];
	struct kvm_run *run;
	struct exit_page page;
};

static struct fixture fixture;

static int set_up(void **state)
{
	struct fixture *f = &fixture;

	memset(f, 0, sizeof(*f));
	device_init(&f->port.device, &probe_ops);
	device_init(&f->memory.device, &probe_ops);
	bus_init(&f->pio, "pio");
	bus_init(&f->mmio, "mmio");
	assert_int_equal(bus_add(&f->pio, 0x100, 8, &f->port.device, NULL), 0);
	assert_int_equal(bus_add(&f->mmio, 0xd0000000, 0x1000, &f->memory.device, NULL), 0);
	f->target = (struct exit_target){ .pio = &f->pio, .mmio = &f->mmio };
	f->run = (struct kvm_run *)f->page_data;
	f->page = (struct exit_page){ f->run, PAGE_BYTES };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	device_destroy(&f->port.device);
	device_destroy(&f->memory.device);
	return 0;
}

static enum exit_verdict handle(struct fixture *f, const char **why)
{
	*why = NULL;
	return exit_handle(&f->target, &f->page, why);
}

static void set_io(struct fixture *f, uint8_t direction, uint8_t size, uint32_t count,
		   uint64_t offset)
{
	f->run->exit_reason = KVM_EXIT_IO;
	f->run->io.direction = direction;
	f->run->io.size = size;
	f->run->io.port = 0x102;
	f->run->io.count = count;
	f->run->io.data_offset = offset;
}

static void port_write(void **state)
{
	struct fixture *f = *state;
	const char *why;

	set_io(f, KVM_EXIT_IO_OUT, 2, 1, 4096);
	f->page_data[4096] = 0xcd;
	f->page_data[4097] = 0xab;
	assert_int_equal(handle(f, &why), EXIT_CONTINUE);
	assert_int_equal(f->port.writes, 1);
	assert_int_equal(f->port.offset, 2);
	assert_int_equal(f->port.size, 2);
	assert_int_equal(f->port.value, 0xabcd);
}

static void port_read_string(void **state)
{
	struct fixture *f = *state;
	const char *why;

	set_io(f, KVM_EXIT_IO_IN, 1, 3, 4096);
	assert_int_equal(handle(f, &why), EXIT_CONTINUE);
	assert_int_equal(f->port.reads, 3);
	assert_int_equal(f->page_data[4098], 0x88);
	assert_int_equal(f->page_data[4099], 0);
}

/* A page that lies about where the data is must not be followed. */
static void port_data_outside(void **state)
{
	static const struct {
		uint8_t size;
		uint32_t count;
		uint64_t offset;
	} lies[] = {
		{ 4, 1, PAGE_BYTES - 3 },
		{ 1, 1, PAGE_BYTES },
		{ 1, 1, UINT64_MAX },
		{ 4, 0xffffffff, 4096 },
		{ 8, 0xffffffff, UINT64_MAX - 4 },
		{ 1, PAGE_BYTES, 1 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		const char *why;

		set_io(f, KVM_EXIT_IO_OUT, lies[i].size, lies[i].count, lies[i].offset);
		assert_int_equal(handle(f, &why), EXIT_CRASH);
		assert_non_null(why);
	}
	for (unsigned int size = 0; size < 256; size++) {
		const char *why;

		if (size == 1 || size == 2 || size == 4)
			continue;
		set_io(f, KVM_EXIT_IO_IN, (uint8_t)size, 1, 4096);
		assert_int_equal(handle(f, &why), EXIT_CRASH);
	}
	assert_int_equal(f->port.writes, 0);
	assert_int_equal(f->port.reads, 0);
}

static void unclaimed_port_is_ones(void **state)
{
	struct fixture *f = *state;
	const char *why;

	set_io(f, KVM_EXIT_IO_IN, 4, 1, 4096);
	f->run->io.port = 0x5000;
	assert_int_equal(handle(f, &why), EXIT_CONTINUE);
	assert_memory_equal(f->page_data + 4096, "\xff\xff\xff\xff", 4);
	assert_int_equal(f->pio.unclaimed_reads, 1);
}

static void memory_access(void **state)
{
	struct fixture *f = *state;
	const char *why;

	f->run->exit_reason = KVM_EXIT_MMIO;
	f->run->mmio.phys_addr = 0xd0000010;
	f->run->mmio.len = 8;
	assert_int_equal(handle(f, &why), EXIT_CONTINUE);
	assert_int_equal(f->memory.reads, 1);
	assert_int_equal(f->memory.offset, 0x10);
	assert_memory_equal(f->run->mmio.data, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	f->run->mmio.is_write = 1;
	f->run->mmio.len = 4;
	assert_int_equal(handle(f, &why), EXIT_CONTINUE);
	assert_int_equal(f->memory.value, 0x55667788);
}

static void memory_access_too_long(void **state)
{
	struct fixture *f = *state;
	const char *why;

	f->run->exit_reason = KVM_EXIT_MMIO;
	f->run->mmio.phys_addr = 0xd0000010;
	f->run->mmio.len = 9;
	assert_int_equal(handle(f, &why), EXIT_CRASH);
	assert_int_equal(f->memory.reads, 0);
}

static void ends(void **state)
{
	static const struct {
		uint32_t reason, event;
		enum exit_verdict verdict;
	} cases[] = {
		{ KVM_EXIT_SHUTDOWN, 0, EXIT_CRASH },
		{ KVM_EXIT_INTERNAL_ERROR, 0, EXIT_CRASH },
		{ KVM_EXIT_FAIL_ENTRY, 0, EXIT_CRASH },
		{ KVM_EXIT_EXCEPTION, 0, EXIT_CRASH },
		{ KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_SHUTDOWN, EXIT_POWEROFF },
		{ KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET, EXIT_RESET },
		{ KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_CRASH, EXIT_CRASH },
		{ KVM_EXIT_INTR, 0, EXIT_CONTINUE },
		{ KVM_EXIT_HLT, 0, EXIT_CONTINUE },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why;

		f->run->exit_reason = cases[i].reason;
		f->run->system_event.type = cases[i].event;
		assert_int_equal(handle(f, &why), cases[i].verdict);
		assert_true((why != NULL) == (cases[i].verdict == EXIT_CRASH));
	}
}

static void unknown_reason_is_a_crash(void **state)
{
	struct fixture *f = *state;

	for (uint32_t reason = 0; reason < 4096; reason++) {
		const char *why;

		memset(f->run, 0, sizeof(*f->run));
		f->run->exit_reason = reason;
		if (exit_reason_name(reason))
			continue;
		assert_int_equal(handle(f, &why), EXIT_CRASH);
		assert_non_null(why);
	}
	assert_null(exit_reason_name(UINT32_MAX));
	assert_string_equal(exit_reason_name(KVM_EXIT_IO), "io");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(port_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(port_read_string, set_up, tear_down),
		cmocka_unit_test_setup_teardown(port_data_outside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unclaimed_port_is_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(memory_access, set_up, tear_down),
		cmocka_unit_test_setup_teardown(memory_access_too_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unknown_reason_is_a_crash, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
