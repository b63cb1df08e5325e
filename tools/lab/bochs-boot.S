/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option ROM for Bochs: starts a Linux kernel that Bochs has put in memory already.
 *
 * Without a disk, a boot loader and a decompressor the emulated host is up in half the time. The
 * BIOS calls option ROMs by a far call to offset 3 once it has built its ACPI tables and its memory
 * map. What lies where (tools/lab/intel.sh has Bochs load it):
 *
 *   0x100000  struct boot_params: the setup header of the bzImage, its fields filled in, no e820 map
 *   0x101000  the command line
 *   0x102000  address of the kernel's 64-bit entry point (8 bytes)
 *
 * Used on the way: e820 entries at 0x8000, page tables from 0x70000. The state at the entry is that of
 * "64-bit Boot Protocol" in the kernel's Documentation/arch/x86/boot.rst.
 */
#define BOOT_PARAMS 0x100000
#define ENTRY_POINTER 0x102000
#define BOOT_PARAMS_E820_COUNT (BOOT_PARAMS + 0x1e8)
#define BOOT_PARAMS_E820_TABLE (BOOT_PARAMS + 0x2d0)
#define E820_ENTRY_BYTES 20
#define E820_MAX 64
#define E820_BUFFER 0x8000
#define PAGE_TABLES 0x70000
#define ROM_BYTES 2048

#define SELECTOR_CODE32 0x08
#define SELECTOR_CODE64 0x10 /* __BOOT_CS */
#define SELECTOR_DATA 0x18   /* __BOOT_DS */

	.text
	.global rom
	.code16
rom:
	.byte 0x55, 0xaa, ROM_BYTES / 512
	jmp start

start:
	cli
	cld
	inb $0x92, %al /* fast A20 */
	orb $2, %al
	outb %al, $0x92

	/* INT 15h, AX=E820h: one entry a call until EBX is 0 again. */
	xorl %ebx, %ebx
	movw %bx, %es
	movw $E820_BUFFER, %di
	xorl %ebp, %ebp
next_entry:
	movl $0xe820, %eax
	movl $0x534d4150, %edx
	movl $E820_ENTRY_BYTES, %ecx
	int $0x15
	jc map_done
	cmpl $0x534d4150, %eax
	jne map_done
	incl %ebp
	addw $E820_ENTRY_BYTES, %di
	testl %ebx, %ebx
	jz map_done
	cmpl $E820_MAX, %ebp
	jb next_entry
map_done:
	cli
	lgdtl %cs:(gdt_pointer - rom)
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $SELECTOR_CODE32, $protected

	.code32
protected:
	movl $SELECTOR_DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss

	movl %ebp, %eax
	movb %al, BOOT_PARAMS_E820_COUNT
	imull $E820_ENTRY_BYTES, %ebp, %ecx
	movl $E820_BUFFER, %esi
	movl $BOOT_PARAMS_E820_TABLE, %edi
	rep movsb

	/* The first 4 GiB mapped to themselves by 2 MiB pages: PML4, PDPT, four page directories. */
	movl $PAGE_TABLES, %edi
	xorl %eax, %eax
	movl $(6 * 4096 / 4), %ecx
	rep stosl
	movl $(PAGE_TABLES + 0x1000 + 3), PAGE_TABLES
	movl $(PAGE_TABLES + 0x2000 + 3), %eax
	movl $(PAGE_TABLES + 0x1000), %edi
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $0x1000, %eax
	addl $8, %edi
	loop 1b
	movl $0x83, %eax /* present, writable, large */
	movl $(PAGE_TABLES + 0x2000), %edi
	movl $2048, %ecx
2:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 2b

	movl %cr4, %eax
	orl $0x20, %eax /* PAE */
	movl %eax, %cr4
	movl $PAGE_TABLES, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx /* EFER */
	rdmsr
	orl $0x100, %eax /* LME */
	wrmsr
	movl %cr0, %eax
	andl $0x9fffffff, %eax /* CD and NW off: the BIOS leaves them as after a reset */
	orl $0x80000000, %eax  /* PG */
	movl %eax, %cr0
	ljmpl $SELECTOR_CODE64, $long_mode

	.code64
long_mode:
	movl $BOOT_PARAMS, %esi
	movq ENTRY_POINTER, %rax
	jmp *%rax

	.balign 8
gdt: /* accessed bits are set: the processor could not write them into a ROM */
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

	.org ROM_BYTES - 1
	.byte 0 /* intel.sh makes the bytes of the ROM sum up to 0 here */
