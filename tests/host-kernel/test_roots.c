/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_roots.c: a guest that toggles CR0.WP, CR0.PG, CR0.CD, CR4 and SMM thousands of times must
 * not lose its stage-2 tables. It passes on a stock 6.12 as well and is here so that a regression
 * is seen.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/host-kernel/machine.h"

#define RAM            (64ull << 20)
#define TOGGLES        5000
#define PAGE_DIRECTORY 0x10000ull

/*
 * What the guest does between two touches of memory, esi/edi/ecx as for guest_touch(), ebx rounds:
 *   again: <toggle bit edx of CR0 or CR4>; mov [esi], eax; add esi, ecx; cmp esi, edi; jb 1f;
 *          mov esi, ebp; 1: dec ebx; jnz again; out 0x10, al; hlt
 */
static const uint8_t toggle_cr0[] = {
	0x0f, 0x20, 0xc0, /* again: mov eax, cr0 */
	0x31, 0xd0,       /* xor eax, edx */
	0x0f, 0x22, 0xc0, /* mov cr0, eax */
	0x89, 0x06,       /* mov [esi], eax */
	0x01, 0xce,       /* add esi, ecx */
	0x39, 0xfe,       /* cmp esi, edi */
	0x72, 0x02,       /* jb 1f */
	0x89, 0xee,       /* mov esi, ebp */
	0x4b,             /* 1: dec ebx */
	0x75, 0xeb,       /* jnz again */
	0xe6, 0x10, 0xf4, /* out 0x10, al; hlt */
};

/* Large pages of 4 MiB, identity, so that PG can be toggled where the code is. */
static void make_page_directory(const struct machine *m)
{
	uint32_t *directory = (uint32_t *)(m->memory + PAGE_DIRECTORY);

	for (uint32_t i = 0; i < 1024; i++)
		directory[i] = i << 22 | 0xe7; /* present, writable, user, accessed, dirty, large */
}

static int run_code(struct machine *m, const uint8_t *code, size_t bytes, uint32_t mask)
{
	struct kvm_regs regs = {
		.rip = CODE_GPA,
		.rsi = TOUCH_BASE,
		.rbp = TOUCH_BASE,
		.rdi = RAM,
		.rcx = PAGE,
		.rdx = mask,
		.rbx = TOGGLES,
		.rflags = 2,
	};

	memcpy(m->memory + CODE_GPA, code, bytes);
	if (ioctl(m->cpu[0], KVM_SET_REGS, &regs) < 0)
		return -errno;
	if (ioctl(m->cpu[0], KVM_RUN, 0) < 0)
		return -errno;
	return m->run[0]->exit_reason == KVM_EXIT_IO ? 0 : (int)m->run[0]->exit_reason;
}

static void set_control(const struct machine *m, uint32_t cr0, uint32_t cr4)
{
	struct kvm_sregs sregs;

	ioctl(m->cpu[0], KVM_GET_SREGS, &sregs);
	sregs.cr3 = PAGE_DIRECTORY;
	sregs.cr0 = (sregs.cr0 & ~0x80010000ull) | cr0;
	sregs.cr4 = cr4;
	ioctl(m->cpu[0], KVM_SET_SREGS, &sregs);
}

static void test_toggle(const char *name, uint32_t cr0, uint32_t mask, bool is_cr4)
{
	uint8_t code[sizeof(toggle_cr0)];
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	make_page_directory(&m);
	set_control(&m, cr0, 0x10 /* PSE */);
	populate(&m, 0, RAM);
	prefault_cpu(&m, 0, 0, RAM, 20);
	int64_t entries = stat_vm(&m, "pages_4k"), faults = stat_cpu(&m, 0, "pf_taken");

	memcpy(code, toggle_cr0, sizeof(code));
	if (is_cr4)
		code[1] = 0x20, code[2] = 0xe0, code[6] = 0x22, code[7] = 0xe0;
	int r = run_code(&m, code, sizeof(code), mask);

	check(r == 0, "%s: %d toggles (%d)", name, TOGGLES, r);
	faults = stat_cpu(&m, 0, "pf_taken") - faults;
	check(faults == 0, "%s: no fault (%lld)", name, (long long)faults);
	check(stat_vm(&m, "pages_4k") == entries, "%s: all entries kept", name);
	machine_destroy(&m);
}

/* The host takes the vCPU into SMM and out again; both address spaces keep their tables. */
static void test_smm(void)
{
	struct kvm_vcpu_events events;
	bool good = true;
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	if (ioctl(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM) <= 0) {
		note("no SMM in this kernel");
		machine_destroy(&m);
		return;
	}
	set_slot(&m, 1 << 16, 0, 0, RAM, m.memory);
	populate(&m, 0, RAM);
	for (int smm = 0; smm <= 1; smm++) {
		ioctl(m.cpu[0], KVM_GET_VCPU_EVENTS, &events);
		events.smi.smm = (uint8_t)smm;
		events.flags = KVM_VCPUEVENT_VALID_SMM;
		ioctl(m.cpu[0], KVM_SET_VCPU_EVENTS, &events);
		good = good && prefault_cpu(&m, 0, 0, RAM, 20) == 0;
	}
	check(good && stat_vm(&m, "pages_4k") == 2 * (int64_t)(RAM / PAGE),
	      "SMM: two address spaces are mapped");
	int64_t faults = stat_cpu(&m, 0, "pf_taken");

	for (int i = 0; i < 2000 && good; i++) {
		events.smi.smm = i & 1;
		ioctl(m.cpu[0], KVM_SET_VCPU_EVENTS, &events);
		uint64_t at = TOUCH_BASE + (uint64_t)(i % 1000) * PAGE;

		good = guest_touch(&m, 0, at, at + 4 * PAGE, PAGE, true) == 0;
	}
	check(good, "SMM: entered and left 1000 times");
	faults = stat_cpu(&m, 0, "pf_taken") - faults;
	check(faults == 0, "SMM: no fault (%lld)", (long long)faults);
	check(stat_vm(&m, "pages_4k") == 2 * (int64_t)(RAM / PAGE), "SMM: all entries kept");
	machine_destroy(&m);
}

/* What the other tests look at does change when a root is rebuilt. */
static void test_control(void)
{
	struct machine m;

	machine_create(&m, MEMORY_4K, RAM, 1);
	set_slot(&m, 1, 0, 1ull << 30, PAGE_2M, m.memory);
	populate(&m, 0, RAM);
	prefault_cpu(&m, 0, 0, RAM, 20);
	set_slot(&m, 1, 0, 1ull << 30, 0, m.memory);
	check(stat_vm(&m, "pages_4k") == 0, "control: a slot delete loses all entries");
	guest_touch(&m, 0, TOUCH_BASE, RAM, PAGE, true);
	check(stat_cpu(&m, 0, "pf_taken") > (int64_t)((RAM - TOUCH_BASE) / PAGE),
	      "control: and costs faults (%lld)", (long long)stat_cpu(&m, 0, "pf_taken"));
	machine_destroy(&m);
}

int main(void)
{
	test_toggle("CR0.WP", 0x80000000, 1u << 16, false);
	test_toggle("CR0.WP without paging", 0, 1u << 16, false);
	test_toggle("CR0.PG", 0, 1u << 31, false);
	/* Not CD alone: CD = 0 with NW = 1 is no valid state. */
	test_toggle("CR0.CD", 0x80000000, 3u << 29, false);
	test_toggle("CR4.PGE", 0x80000000, 1u << 7, true);
	test_toggle("CR4.PSE without paging", 0, 1u << 4, true);
	test_smm();
	test_control();
	return checks_done();
}
