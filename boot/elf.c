/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elf: vmlinux and other ELF kernels (System V gABI; PVH: Xen docs/misc/pvh).
 *
 * Which entry: a 64-bit kernel is entered at e_entry with the Linux boot protocol, which starts in
 * long mode and so spares the guest the way there; Linux's e_entry is the physical address of its
 * startup_64. A 32-bit one, and a 64-bit one that has a PVH entry but is not Linux (no note by
 * "Linux": its e_entry may mean anything), is entered at its PVH entry. boot_source.choice
 * overrides this.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>

#include "base/num.h"
#include "boot/boot.h"
#include "boot/elf.h"
#include "boot/loader.h"
#include "mem/layout.h"

/* COMMAND_LINE_SIZE of Linux on x86, the terminator included. */
#define ELF_CMDLINE_BYTES 2048

bool elf_is(const struct boot_head *head)
{
	return !memcmp(head->data, ELFMAG, SELFMAG);
}

static bool is_loaded(const struct elf_segment *segment)
{
	return segment->type == PT_LOAD && segment->memory_bytes;
}

static bool overlap(const struct elf_segment *a, const struct elf_segment *b)
{
	return a->gpa < b->gpa + b->memory_bytes && b->gpa < a->gpa + a->memory_bytes;
}

/* One segment against the file, memory, and those before it. Overlapping ones would leave it to
 * their order what is in memory, and the BSS of one not zero. */
static int check_segment(const struct ram *ram, const struct boot_file *file,
			 const struct elf_image *elf, uint32_t index, struct error *error)
{
	const struct elf_segment *segment = &elf->segments[index];
	uint64_t end;
	uint32_t i;
	int result;

	if (segment->file_bytes > segment->memory_bytes)
		return error_set(error, ENOEXEC,
				 "%s: ELF segment %u is longer in the file than in memory",
				 file->name, index);
	if (!num_within(segment->offset, segment->file_bytes, file->bytes))
		return error_set(error, ENODATA, "%s: truncated: ELF segment %u is beyond its end",
				 file->name, index);
	if (!num_add(segment->gpa, segment->memory_bytes, &end))
		end = UINT64_MAX;
	result = boot_check_fit(ram, file, segment->gpa, end, error);
	if (result)
		return result;
	for (i = 0; i < index; i++) {
		if (is_loaded(&elf->segments[i]) && overlap(&elf->segments[i], segment))
			return error_set(error, ENOEXEC, "%s: ELF segments %u and %u overlap",
					 file->name, i, index);
	}
	return 0;
}

static int load_segments(const struct ram *ram, const struct boot_file *file,
			 const struct elf_image *elf, struct boot_kernel *kernel,
			 struct error *error)
{
	const struct elf_segment *segment;
	uint32_t i;
	int result;

	kernel->gpa = UINT64_MAX;
	for (i = 0; i < elf->count; i++) {
		segment = &elf->segments[i];
		if (!is_loaded(segment))
			continue;
		result = check_segment(ram, file, elf, i, error);
		if (!result)
			result = boot_read_ram(ram, file, segment->offset, segment->gpa,
					       segment->file_bytes, error);
		if (result)
			return result;
		kernel->gpa = num_min(kernel->gpa, segment->gpa);
		kernel->end = num_max(kernel->end, segment->gpa + segment->memory_bytes);
	}
	if (!kernel->end)
		return error_set(error, ENOEXEC, "%s: an ELF file with nothing to load",
				 file->name);
	return 0;
}

static int read_notes(const struct boot_file *file, const struct elf_image *elf,
		      struct elf_notes *notes, struct error *error)
{
	const struct elf_segment *segment;
	uint32_t i;
	int result;

	for (i = 0; i < elf->count; i++) {
		segment = &elf->segments[i];
		if (segment->type != PT_NOTE)
			continue;
		result = elf_read_notes(file, segment->offset, segment->file_bytes,
					segment->alignment, notes, error);
		if (result)
			return result;
	}
	return 0;
}

static int choose_entry(const struct boot_file *file, const struct elf_image *elf,
			enum boot_choice choice, struct boot_kernel *kernel, struct error *error)
{
	struct elf_notes notes = { 0 };
	bool pvh;
	int result;

	if (choice != BOOT_CHOICE_LINUX64) {
		result = read_notes(file, elf, &notes, error);
		if (result)
			return result;
	}
	pvh = choice == BOOT_CHOICE_PVH ||
	      (choice == BOOT_CHOICE_AUTO && notes.pvh && !(elf->wide && notes.linux_kernel));
	if (pvh && !notes.pvh)
		return error_set(error, ENOEXEC,
				 "%s: has no PVH entry (the note XEN_ELFNOTE_PHYS32_ENTRY)",
				 file->name);
	if (!pvh && !elf->wide)
		return error_set(error, ENOEXEC,
				 "%s: a 32-bit ELF file without a PVH entry; use an x86-64 kernel",
				 file->name);
	kernel->protocol = pvh ? BOOT_PVH : BOOT_LINUX64;
	kernel->format = pvh ? "ELF (PVH)" : "ELF";
	kernel->entry = pvh ? notes.pvh_entry : elf->entry;
	return 0;
}

static int check_entry(const struct boot_file *file, const struct elf_image *elf,
		       const struct boot_kernel *kernel, struct error *error)
{
	uint32_t i;

	for (i = 0; i < elf->count; i++) {
		const struct elf_segment *segment = &elf->segments[i];

		if (is_loaded(segment) && kernel->entry >= segment->gpa &&
		    kernel->entry - segment->gpa < segment->file_bytes)
			return 0;
	}
	return error_set(error, ENOEXEC,
			 "%s: its entry, 0x%" PRIx64 ", is not a physical address of loaded code",
			 file->name, kernel->entry);
}

int elf_load(const struct ram *ram, const struct boot_file *file, const struct boot_head *head,
	     enum boot_choice choice, struct boot_kernel *kernel, struct error *error)
{
	struct elf_image elf;
	int result;

	result = elf_parse(file, head, &elf, error);
	if (!result)
		result = choose_entry(file, &elf, choice, kernel, error);
	if (!result)
		result = check_entry(file, &elf, kernel, error);
	if (!result)
		result = load_segments(ram, file, &elf, kernel, error);
	if (result)
		return result;
	kernel->cmdline_capacity = ELF_CMDLINE_BYTES;
	kernel->initrd_limit = LAYOUT_LOW_RAM_BYTES_MAX;
	/* hvm_start_info could name any address, but Linux keeps 32 bits of it. */
	kernel->initrd_anywhere = kernel->protocol == BOOT_LINUX64;
	if (kernel->protocol == BOOT_LINUX64)
		linux64_make_setup_header(kernel);
	return 0;
}
