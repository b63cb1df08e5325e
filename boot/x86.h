/* SPDX-License-Identifier: Apache-2.0 */
/* x86: the GDT and the page tables a kernel starts with, what its segment registers hold, and the
 * reset vector. */
#ifndef BOOT_X86_H
#define BOOT_X86_H

#include <stdint.h>

#include "mem/ram.h"

/* Selectors. CS and DS are where the Linux/x86 boot protocol wants them (boot.rst, "64-bit Boot
 * Protocol": __BOOT_CS, __BOOT_DS); the others are ours. */
#define X86_SELECTOR_CS64 0x10
#define X86_SELECTOR_DS   0x18
#define X86_SELECTOR_TSS  0x20
#define X86_SELECTOR_CS32 0x28

/* Descriptors (Intel SDM volume 3, 3.4.5): base 0, limit 4 GiB except for the TSS, accessed, ring
 * 0. */
#define X86_DESCRIPTOR_CS64 UINT64_C(0x00af9b000000ffff) /* long mode, execute/read */
#define X86_DESCRIPTOR_DS   UINT64_C(0x00cf93000000ffff) /* read/write */
#define X86_DESCRIPTOR_TSS  UINT64_C(0x00008b0000000067) /* busy 32-bit TSS, limit 0x67 */
#define X86_DESCRIPTOR_CS32 UINT64_C(0x00cf9b000000ffff) /* 32-bit, execute/read */

#define X86_GDT_BYTES 0x30

/* Writes the GDT at LAYOUT_GDT. */
void x86_write_gdt(const struct ram *ram);

/* Writes the identity map of the first 4 GiB at LAYOUT_PAGE_TABLES (the value of CR3). */
void x86_write_page_tables(const struct ram *ram);

/*
 * Writes code at LAYOUT_RESET_VECTOR that resets the machine. Linux goes there to reboot: on
 * hardware-reduced ACPI machines it prefers EFI over the ACPI reset register, and where there is no
 * EFI it jumps to the BIOS (arch/x86/kernel/reboot.c).
 */
void x86_write_reset_vector(const struct ram *ram);

#endif
