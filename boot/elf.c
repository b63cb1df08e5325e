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

#include "base/fd.h"
#include "base/num.h"
#include "boot/boot.h"
#include "boot/elf_note.h"
#include "boot/loader.h"
#include "mem/layout.h"

#define ELF_SEGMENTS_MAX 32

/* COMMAND_LINE_SIZE of Linux on x86, the terminator included. */
#define ELF_CMDLINE_BYTES 2048

/* A program header, whatever the class it came in. */
struct elf_segment {
	uint32_t type;
	uint64_t offset;
	uint64_t gpa;
	uint64_t file_bytes, memory_bytes;
	uint64_t alignment;
};

struct elf_image {
	bool wide; /* ELFCLASS64 */
	uint64_t entry;
	uint64_t table_offset;
	uint32_t table_entry_bytes;
	uint32_t count;
	struct elf_segment segments[ELF_SEGMENTS_MAX];
};

bool elf_is(const struct boot_head *head)
{
	return !memcmp(head->data, ELFMAG, SELFMAG);
}

/* ELF is written in the machine's byte order, so its structures can be copied out as they are:
 * this file is for x86 hosts, and ELFDATA2LSB was checked. */
static void parse_header(const struct boot_head *head, struct elf_image *elf)
{
	elf->wide = head->data[EI_CLASS] == ELFCLASS64;
	if (elf->wide) {
		Elf64_Ehdr header;

		memcpy(&header, head->data, sizeof(header));
		elf->entry = header.e_entry;
		elf->table_offset = header.e_phoff;
		elf->table_entry_bytes = header.e_phentsize;
		elf->count = header.e_phnum;
	} else {
		Elf32_Ehdr header;

		memcpy(&header, head->data, sizeof(header));
		elf->entry = header.e_entry;
		elf->table_offset = header.e_phoff;
		elf->table_entry_bytes = header.e_phentsize;
		elf->count = header.e_phnum;
	}
}

/* e_type and e_machine are at the same place in both classes. */
static int check_header(const struct boot_file *file, const struct boot_head *head,
			const struct elf_image *elf, struct error *error)
{
	uint16_t type = load_le16(head->data + offsetof(Elf64_Ehdr, e_type));
	uint16_t machine = load_le16(head->data + offsetof(Elf64_Ehdr, e_machine));

	if (head->bytes < (elf->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
		return error_set(error, ENODATA, "%s: truncated inside the ELF header", file->name);
	if (head->data[EI_DATA] != ELFDATA2LSB || head->data[EI_VERSION] != EV_CURRENT ||
	    (head->data[EI_CLASS] != ELFCLASS64 && head->data[EI_CLASS] != ELFCLASS32))
		return error_set(error, ENOEXEC, "%s: an ELF file, but not for x86", file->name);
	if (machine != EM_X86_64 && (elf->wide || machine != EM_386))
		return error_set(error, ENOEXEC, "%s: an ELF file for machine %u, not x86",
				 file->name, machine);
	if (type != ET_EXEC && type != ET_DYN)
		return error_set(error, ENOEXEC,
				 "%s: an ELF file of type %u; only executables can be booted",
				 file->name, type);
	if (!elf->count || elf->count > ELF_SEGMENTS_MAX)
		return error_set(error, ENOEXEC, "%s: %u ELF program headers; 1 to %u are accepted",
				 file->name, elf->count, ELF_SEGMENTS_MAX);
	if (elf->table_entry_bytes != (elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
		return error_set(error, ENOEXEC, "%s: ELF program headers of odd size %u",
				 file->name, elf->table_entry_bytes);
	return 0;
}

static void parse_segment(const uint8_t *at, bool wide, struct elf_segment *segment)
{
	if (wide) {
		Elf64_Phdr header;

		memcpy(&header, at, sizeof(header));
		*segment = (struct elf_segment){ header.p_type,   header.p_offset, header.p_paddr,
						 header.p_filesz, header.p_memsz,  header.p_align };
	} else {
		Elf32_Phdr header;

		memcpy(&header, at, sizeof(header));
		*segment = (struct elf_segment){ header.p_type,   header.p_offset, header.p_paddr,
						 header.p_filesz, header.p_memsz,  header.p_align };
	}
}

/* The program headers nearly always follow the ELF header, where they have been read already. */
static int parse_segments(const struct boot_file *file, const struct boot_head *head,
			  struct elf_image *elf, struct error *error)
{
	uint8_t copy[ELF_SEGMENTS_MAX * sizeof(Elf64_Phdr)];
	const uint64_t bytes = (uint64_t)elf->count * elf->table_entry_bytes;
	const uint8_t *table = copy;
	uint32_t i;
	int result;

	if (num_within(elf->table_offset, bytes, head->bytes)) {
		table = head->data + elf->table_offset;
	} else if (!num_within(elf->table_offset, bytes, file->bytes)) {
		return error_set(error, ENODATA,
				 "%s: truncated: its ELF program headers are beyond its end",
				 file->name);
	} else {
		result = fd_read_at(file->fd, copy, bytes, elf->table_offset);
		if (result)
			return error_set(error, -result, "%s: cannot be read: %s", file->name,
					 error_name(-result));
	}
	for (i = 0; i < elf->count; i++)
		parse_segment(table + (uint64_t)i * elf->table_entry_bytes, elf->wide,
			      &elf->segments[i]);
	return 0;
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
			result = boot_read(ram, file, segment->offset, segment->gpa,
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
		result = elf_note_read(file, segment->offset, segment->file_bytes,
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

	parse_header(head, &elf);
	result = check_header(file, head, &elf, error);
	if (!result)
		result = parse_segments(file, head, &elf, error);
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
