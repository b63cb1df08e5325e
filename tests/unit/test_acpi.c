/* SPDX-License-Identifier: Apache-2.0 */
/* test_acpi: the tables, found from the RSDP as an operating system does, and read by iasl. */
#include "boot_fixture.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "boot/acpi_area.h"
#include "boot/aml.h"

struct machine {
	struct ram ram;
	struct acpi_machine acpi;
};

static void machine_begin_with(struct machine *machine, const struct acpi_machine *acpi)
{
	struct error error = { 0 };

	assert_int_equal(ram_init(&machine->ram, 2 * MIB, BACKING_4K, &error), 0);
	machine->acpi = *acpi;
	memset(ram_ptr(&machine->ram, LAYOUT_ACPI, LAYOUT_ACPI_BYTES), 0xee, LAYOUT_ACPI_BYTES);
	if (acpi_write(&machine->ram, &machine->acpi, &error))
		fail_msg("%s", error.text);
}

static void machine_begin(struct machine *machine, uint32_t vcpus, bool serial)
{
	const struct acpi_machine acpi = { .vcpu_count = vcpus, .serial = serial };

	machine_begin_with(machine, &acpi);
}

static uint8_t sum(const uint8_t *data, uint64_t bytes)
{
	uint8_t result = 0;

	while (bytes--)
		result = (uint8_t)(result + *data++);
	return result;
}

/* The table at gpa, checked; its length in *bytes. */
static const uint8_t *table_at(const struct machine *machine, uint64_t gpa, uint64_t *bytes)
{
	const uint8_t *table = ram_ptr(&machine->ram, gpa, ACPI_HEADER_BYTES);

	assert_non_null(table);
	assert_int_equal(gpa % 16, 0);
	assert_true(gpa >= LAYOUT_ACPI);
	*bytes = load_le32(table + 4);
	assert_true(*bytes >= ACPI_HEADER_BYTES);
	assert_true(gpa + *bytes <= LAYOUT_ACPI + LAYOUT_ACPI_BYTES);
	assert_int_equal(sum(table, *bytes), 0);
	assert_memory_equal(table + 10, "STET  ", 6);
	return table;
}

/* RSDP -> XSDT -> the table; DSDT through the FADT. */
static const uint8_t *find_table(const struct machine *machine, const char *signature,
				 uint64_t *bytes)
{
	const uint8_t *rsdp = ram_ptr(&machine->ram, LAYOUT_ACPI, 36);
	const uint8_t *xsdt;
	const uint8_t *table;
	uint64_t xsdt_bytes;
	uint64_t at;

	if (!strcmp(signature, "DSDT"))
		return table_at(machine, load_le64(find_table(machine, "FACP", bytes) + 140),
				bytes);
	xsdt = table_at(machine, load_le64(rsdp + 24), &xsdt_bytes);
	assert_memory_equal(xsdt, "XSDT", 4);
	if (!strcmp(signature, "XSDT")) {
		*bytes = xsdt_bytes;
		return xsdt;
	}
	for (at = ACPI_HEADER_BYTES; at < xsdt_bytes; at += 8) {
		table = table_at(machine, load_le64(xsdt + at), bytes);
		if (!memcmp(table, signature, 4))
			return table;
	}
	fail_msg("no table %s", signature);
	return NULL;
}

static void test_rsdp(void **state)
{
	struct machine machine;
	const uint8_t *rsdp;

	(void)state;
	machine_begin(&machine, 1, true);
	rsdp = ram_ptr(&machine.ram, LAYOUT_ACPI, 36);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	assert_int_equal(rsdp[15], 2);
	assert_int_equal(load_le32(rsdp + 16), 0); /* no RSDT */
	assert_int_equal(load_le32(rsdp + 20), 36);
	ram_fini(&machine.ram);
}

static void check_port(const uint8_t *address, uint16_t port)
{
	assert_int_equal(address[0], 1);
	assert_int_equal(address[1], 8);
	assert_int_equal(address[2], 0);
	assert_int_equal(address[3], 1);
	assert_int_equal(load_le64(address + 4), port);
}

static void test_fadt(void **state)
{
	struct machine machine;
	const uint8_t *fadt;
	uint64_t bytes;
	uint64_t dsdt_bytes;

	(void)state;
	machine_begin(&machine, 1, true);
	fadt = find_table(&machine, "FACP", &bytes);
	assert_int_equal(bytes, 276);
	assert_int_equal(fadt[8], 6);
	assert_int_equal(load_le32(fadt + 112) >> 20 & 1, 1); /* HW_REDUCED_ACPI */
	assert_int_equal(load_le32(fadt + 112) >> 10 & 1, 1); /* RESET_REG_SUP */
	assert_int_equal(load_le16(fadt + 109) & 0x27, 0x05); /* legacy devices, no 8042, no VGA */
	check_port(fadt + 116, LAYOUT_PORT_RESET);
	assert_int_equal(fadt[128], 6);
	check_port(fadt + 244, LAYOUT_PORT_ACPI);
	check_port(fadt + 256, LAYOUT_PORT_ACPI + 1);
	assert_int_equal(load_le32(fadt + 36), 0); /* no FACS */
	assert_memory_equal(find_table(&machine, "DSDT", &dsdt_bytes), "DSDT", 4);
	ram_fini(&machine.ram);
}

/* Counts MADT entries; local APICs have rising ids and are enabled. */
static void check_madt(const struct machine *machine)
{
	uint32_t lapics = 0;
	uint32_t ioapics = 0;
	uint64_t bytes;
	uint64_t at;
	const uint8_t *madt = find_table(machine, "APIC", &bytes);

	assert_int_equal(load_le32(madt + 36), LAYOUT_LAPIC);
	for (at = 44; at < bytes; at += madt[at + 1]) {
		assert_true(bytes - at >= 2 && madt[at + 1] >= 2 && madt[at + 1] <= bytes - at);
		if (madt[at] == 0) {
			assert_int_equal(madt[at + 1], 8);
			assert_int_equal(madt[at + 2], lapics);
			assert_int_equal(madt[at + 3], lapics);
			assert_int_equal(load_le32(madt + at + 4), 1);
			lapics++;
		} else if (madt[at] == 1) {
			assert_int_equal(madt[at + 1], 12);
			assert_int_equal(load_le32(madt + at + 4), LAYOUT_IOAPIC);
			assert_int_equal(load_le32(madt + at + 8), 0);
			ioapics++;
		}
	}
	assert_int_equal(at, bytes);
	assert_int_equal(lapics, machine->acpi.vcpu_count);
	assert_int_equal(ioapics, 1);
}

static void test_madt(void **state)
{
	struct machine machine;
	uint32_t vcpus;

	(void)state;
	for (vcpus = 1; vcpus <= LAYOUT_VCPUS_MAX; vcpus++) {
		machine_begin(&machine, vcpus, vcpus % 2);
		check_madt(&machine);
		ram_fini(&machine.ram);
	}
}

static void test_serial_is_optional(void **state)
{
	struct machine machine;
	const uint8_t *dsdt;
	const uint8_t *fadt;
	uint64_t bytes;
	int serial;

	(void)state;
	for (serial = 0; serial < 2; serial++) {
		machine_begin(&machine, 1, serial);
		dsdt = find_table(&machine, "DSDT", &bytes);
		assert_int_equal(memmem(dsdt, bytes, "COM1", 4) != NULL, serial);
		assert_non_null(memmem(dsdt, bytes, "QEMU0001", 9));
		fadt = find_table(&machine, "FACP", &bytes);
		assert_int_equal(load_le16(fadt + 109) & 1, serial);
		ram_fini(&machine.ram);
	}
}

/* That the tables name the ports and pins the devices are at. */
static void test_dsdt_resources(void **state)
{
	static const struct {
		uint8_t bytes[12];
		size_t count;
	} wanted[] = {
		{ { 0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8 }, 8 }, /* COM1: ports */
		{ { 0x89, 6, 0, 3, 1, 4, 0, 0, 0 }, 9 },    /* its pin, edge, active high */
		{ { 0x47, 1, 0x70, 0, 0x70, 0, 1, 2 }, 8 }, /* RTC */
		{ { 0x47, 1, 0x05, 5, 0x05, 5, 1, 1 }, 8 }, /* pvpanic */
		{ { 0x89, 6, 0, 1, 1, 9, 0, 0, 0 }, 9 },    /* generic event device */
		{ { 'E', 'R', 'E', 'G', 1, 0x0b, 4, 6, 1, 0x5b }, 10 }, /* its event register */
		{ { 4, 0x0a, 5, 0x0a, 5, 0, 0 }, 7 },                   /* _S5 */
	};
	struct machine machine;
	const uint8_t *dsdt;
	uint64_t bytes;
	size_t i;

	(void)state;
	machine_begin(&machine, 1, true);
	dsdt = find_table(&machine, "DSDT", &bytes);
	for (i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_non_null(memmem(dsdt, bytes, wanted[i].bytes, wanted[i].count));
	ram_fini(&machine.ram);
}

static void test_refused(void **state)
{
	static const uint32_t counts[] = { 0, LAYOUT_VCPUS_MAX + 1, UINT32_MAX };
	struct error error = { 0 };
	struct ram ram;
	size_t i;

	(void)state;
	assert_int_equal(ram_init(&ram, 2 * MIB, BACKING_4K, &error), 0);
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		struct acpi_machine machine = { .vcpu_count = counts[i] };

		assert_int_equal(acpi_write(&ram, &machine, &error), -EINVAL);
	}
	ram_fini(&ram);
}

/* An area that is too small: nothing behind its end is written, whatever the length. */
static void test_area_full(void **state)
{
	uint8_t data[256];
	struct acpi_area area;
	uint64_t table;
	uint64_t scope;
	uint64_t capacity;

	(void)state;
	for (capacity = 0; capacity < 120; capacity++) {
		memset(data, 0xee, sizeof(data));
		area = (struct acpi_area){ .data = data, .gpa = 0x1000, .capacity = capacity };
		acpi_put_u8(&area, 1);
		table = acpi_begin_table(&area, "TEST", 1);
		scope = aml_begin_scope(&area, "\\_SB");
		aml_hid_eisa(&area, "PNP0501");
		aml_integer(&area, UINT64_MAX);
		aml_integer(&area, UINT32_MAX);
		aml_integer(&area, UINT16_MAX);
		aml_end_resources(&area, aml_begin_resources(&area));
		aml_end(&area, scope);
		if (acpi_end_table(&area, table))
			break;
		assert_true(area.full);
		assert_int_equal(data[capacity], 0xee);
	}
	assert_true(capacity > 52 && capacity < 120);
	assert_int_equal(area.used, capacity);
	assert_int_equal(data[capacity], 0xee);
	assert_int_equal(sum(data + table, capacity - table), 0);
}

/* PkgLength (ACPI 6.5 section 20.2.4): two bits say how many bytes follow; it counts itself. */
static void test_package_length(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 15, 16, 4095, 4096, 65536, 0xfffff - 8 };
	struct acpi_area area = { .capacity = 2 * MIB };
	uint64_t length;
	uint64_t mark;
	size_t i;

	(void)state;
	area.data = malloc(area.capacity);
	assert_non_null(area.data);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		area.used = 0;
		mark = aml_begin_scope(&area, "\\_SB");
		acpi_put_zeros(&area, sizes[i]);
		aml_end(&area, mark);
		assert_int_equal(area.data[0], 0x10);
		assert_int_equal(mark, 1);
		assert_int_equal(area.data[1] & 0xf0, 0x80); /* two bytes follow */
		length = (area.data[1] & 0x0f) | area.data[2] << 4 | area.data[3] << 12;
		assert_int_equal(length, area.used - mark);
		assert_memory_equal(area.data + 4, "\\_SB_", 5);
	}
	area.used = 0; /* one byte more than 20 bits can tell */
	mark = aml_begin_scope(&area, "\\_SB");
	acpi_put_zeros(&area, 0xfffff - 7);
	assert_false(area.full);
	aml_end(&area, mark);
	assert_true(area.full);
	free(area.data);
}

/* Runs iasl in directory; false where there is none. Output goes to the file "log" there. */
static bool run_iasl(const char *directory, const char *option, const char *file)
{
	const char *arguments[] = { "iasl", option, file, NULL };
	posix_spawn_file_actions_t actions;
	extern char **environ;
	char log[600];
	int status = 0;
	int result;
	pid_t pid;

	snprintf(log, sizeof(log), "%s/log", directory);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	result = posix_spawnp(&pid, "iasl", &actions, NULL, (char *const *)arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (result == ENOENT)
		return false;
	assert_int_equal(result, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("iasl %s %s: status %d, see %s", option, file, status, log);
	return true;
}

static bool log_has(const char *directory, const char *text)
{
	char path[600];
	char data[8192];
	ssize_t bytes;
	int fd;

	snprintf(path, sizeof(path), "%s/log", directory);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	bytes = read(fd, data, sizeof(data) - 1);
	close(fd);
	assert_true(bytes >= 0);
	data[bytes] = 0;
	return strstr(data, text) != NULL;
}

static void write_file(const char *path, const uint8_t *data, uint64_t bytes)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, bytes, file), bytes);
	assert_int_equal(fclose(file), 0);
}

static void remove_directory(const char *directory)
{
	static const char *const files[] = { "T.dat", "T.dsl", "T.aml", "log" };
	char path[600];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		unlink(path);
	}
	rmdir(directory);
}

/* One table, disassembled and compiled again with no error and no warning. False: no iasl here. */
static bool check_with_iasl(const char *directory, const struct machine *machine,
			    const char *signature)
{
	char source[600];
	char file[600];
	uint64_t bytes;
	const uint8_t *table = find_table(machine, signature, &bytes);

	snprintf(file, sizeof(file), "%s/T.dat", directory);
	snprintf(source, sizeof(source), "%s/T.dsl", directory);
	write_file(file, table, bytes);
	if (!run_iasl(directory, "-d", file))
		return false;
	assert_false(log_has(directory, "rror"));
	assert_false(log_has(directory, "arning"));
	run_iasl(directory, "-w3", source);
	assert_true(log_has(directory, "0 Errors, 0 Warnings"));
	unlink(source);
	return true;
}

/* Every table there is, of machines with every kind of device. */
static void test_iasl(void **state)
{
	static const char *const signatures[] = { "DSDT", "FACP", "APIC", "XSDT", "MCFG" };
	static const struct acpi_machine machines[] = {
		{ .vcpu_count = LAYOUT_VCPUS_MAX, .serial = true, .pci = true },
		{ .vcpu_count = 1, .virtio_mmio_count = LAYOUT_VIRTIO_MMIO_MAX },
	};
	char directory[] = "/tmp/stet-acpi-XXXXXX";
	bool there = true;

	(void)state;
	assert_non_null(mkdtemp(directory));
	for (size_t m = 0; m < ARRAY_SIZE(machines); m++) {
		struct machine machine;

		machine_begin_with(&machine, &machines[m]);
		for (size_t i = 0; i < ARRAY_SIZE(signatures) && there; i++)
			if (machines[m].pci || strcmp(signatures[i], "MCFG"))
				there = check_with_iasl(directory, &machine, signatures[i]);
		ram_fini(&machine.ram);
	}
	remove_directory(directory);
	if (!there)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rsdp),           cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),           cmocka_unit_test(test_serial_is_optional),
		cmocka_unit_test(test_dsdt_resources), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_area_full),      cmocka_unit_test(test_package_length),
		cmocka_unit_test(test_iasl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
