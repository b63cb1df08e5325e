/* SPDX-License-Identifier: Apache-2.0 */
/* second: another processor that disturbs what the first one does to the devices: it kicks at full
 * speed, looks at registers, selects queues and resets, at any time. */
#include "attack.h"

#define TRAMPOLINE  UINT64_C(0x8000) /* a page below 1 MiB: where a processor can start */
#define MSR_ICR     0x830
#define ICR_INIT    0x4500
#define ICR_START   0x4600 /* and the page's number */
#define ICR_TO(id)  ((uint64_t)(id) << 32)
#define START_READS 20000
#define PORT_IDLE   0x3fd

__attribute__((section(".bss"), aligned(16))) char second_stack[16384];

static volatile bool runs, paused, pausing;
static volatile uint64_t turns;
static uint64_t state;

/* From real mode to 64-bit mode with the tables of the first processor: its CR3 in the page's last
 * words, its GDT (whose selectors are those of the boot protocol, 0x10 and 0x18) before it. */
__asm__(".code16\n"
	"second_begin:\n"
	"	cli\n"
	"	xor %ax, %ax\n"
	"	mov %ax, %ds\n"
	"	lgdtl 0x8ff0\n"
	"	mov $0x20, %eax\n"
	"	mov %eax, %cr4\n"
	"	mov 0x8ff8, %eax\n"
	"	mov %eax, %cr3\n"
	"	mov $0xc0000080, %ecx\n"
	"	rdmsr\n"
	"	or $0x100, %eax\n"
	"	wrmsr\n"
	"	mov $0x80000011, %eax\n"
	"	mov %eax, %cr0\n"
	"	ljmpl $0x10, $second_64\n"
	"second_end:\n"
	".code64\n"
	"second_64:\n"
	"	mov $0x18, %eax\n"
	"	mov %eax, %ss\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	lea second_stack+16384(%rip), %rsp\n"
	"	call second\n"
	"	ud2\n");
extern const char second_begin[], second_end[];

static uint64_t own_chance(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d) >> 16;
}

static void disturb(const struct device *device)
{
	uint64_t what = own_chance() % 4096;

	if (what == 0)
		set_status(device, 0);
	else if (what < 64)
		select_queue(device, (unsigned int)(own_chance() % 8));
	else if (what < 256)
		read_memory(device->window + own_chance() % (device->window_bytes / 4) * 4, 4);
	else if (what < 512 && device->pci) /* masks and unmasks a message */
		write_memory(device->msix_table + own_chance() % (device->msix_bytes / 16) * 16 +
				     12,
			     4, own_chance() % 2);
	else
		kick(device, (unsigned int)(own_chance() % device->queues));
}

void second(void);

void second(void)
{
	hear_exceptions();
	runs = true;
	for (;;) {
		if (pausing) {
			paused = true;
			while (pausing)
				__asm__ volatile("pause");
			paused = false;
		}
		disturb(&devices[own_chance() % device_count]);
		turns++;
	}
}

static void send(uint64_t command)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(MSR_ICR), "a"((uint32_t)command), "d"((uint32_t)(command >> 32)));
}

static void wait_a_little(void)
{
	for (unsigned int i = 0; i < START_READS && !runs; i++)
		in8(PORT_IDLE);
}

void start_second(uint64_t seed)
{
	uint64_t page;

	state = seed * 2 + 1;
	memcpy((void *)TRAMPOLINE, second_begin, (size_t)(second_end - second_begin));
	__asm__ volatile("sgdt (%0)" : : "r"(TRAMPOLINE + 0xff0) : "memory");
	__asm__ volatile("mov %%cr3, %0" : "=r"(page));
	*(volatile uint32_t *)(TRAMPOLINE + 0xff8) = (uint32_t)page;
	send(ICR_TO(1) | ICR_INIT);
	in8(PORT_IDLE);
	send(ICR_TO(1) | ICR_START | TRAMPOLINE / 0x1000);
	wait_a_little();
	if (!runs)
		fail("turns of the second processor: it does not start", turns);
}

void pause_second(bool on)
{
	pausing = on;
	while (runs && paused != on)
		__asm__ volatile("pause");
}

bool second_runs(void)
{
	return runs;
}
