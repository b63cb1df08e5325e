/* SPDX-License-Identifier: Apache-2.0 */
/* elf_parse: the headers of an ELF file of either class (System V gABI). */
#include <elf.h>
#include <errno.h>

#include "base/num.h"
#include "boot/elf.h"

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
	} else {
		result = boot_read(file, elf->table_offset, copy, bytes, error);
		if (result)
			return result;
	}
	for (i = 0; i < elf->count; i++)
		parse_segment(table + (uint64_t)i * elf->table_entry_bytes, elf->wide,
			      &elf->segments[i]);
	return 0;
}

int elf_parse(const struct boot_file *file, const struct boot_head *head, struct elf_image *elf,
	      struct error *error)
{
	int result;

	parse_header(head, elf);
	result = check_header(file, head, elf, error);
	return result ? result : parse_segments(file, head, elf, error);
}
