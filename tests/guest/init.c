/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init: first process of the guests of the lab tests.
 *
 * Marks user space (0x7b), inserts the modules of /modules, says on the console what machine it
 * found ("guest: NAME VALUE", a line for each fact, "guest: warning TEXT" for each line of the
 * kernel's log at warning level or above), marks again (0x7c) and then ends as the kernel command
 * line says:
 *
 *   stet.end=poweroff  powers off (also without the word)
 *   stet.end=reboot    reboots (reboot=k, p, a, t on the same command line choose how)
 *   stet.end=panic     ends process 1, which panics the kernel
 *   stet.end=crash     crashes the kernel (sysrq c)
 *   stet.end=button    waits for the power button, then powers off
 *   stet.end=echo      copies console input to the console until the line "off", then powers off
 *   stet.end=sockets   serves virtio sockets (sockets.c) until the line "off", then powers off
 *   stet.end=hang      sleeps for ever
 *   stet.facts=off     before one of them: marks and ends, says nothing
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init.h"

#define MARK_PORT      0x5e0
#define MARK_FAILED    0xff
#define LEVEL_WARNING  4
#define FOUR_GIB       (UINT64_C(4) << 30)
#define BUTTON_WAIT_MS 10000

/* Through /dev/port where the kernel has it, else through iopl(), which cloud kernels have. */
void mark(uint8_t value)
{
	static int port_fd = -2;

	if (port_fd == -2) {
		mknod("/dev/port", S_IFCHR | 0600, makedev(1, 4));
		port_fd = open("/dev/port", O_WRONLY | O_CLOEXEC);
	}
	if (port_fd >= 0) {
		if (pwrite(port_fd, &value, 1, MARK_PORT) != 1)
			perror("guest: failed /dev/port");
	} else if (iopl(3) == 0) {
		outb(value, MARK_PORT);
	} else {
		perror("guest: failed iopl");
	}
}

static void __attribute__((noreturn)) stay(void)
{
	for (;;)
		pause();
}

static void __attribute__((noreturn)) end_machine(int how)
{
	sync();
	reboot(how);
	perror("guest: failed reboot");
	stay();
}

void fail(const char *what)
{
	printf("guest: failed %s: %s\n", what, strerror(errno));
	mark(MARK_FAILED);
	stay();
}

void fact(const char *name, const char *value)
{
	printf("guest: %s %s\n", name, value);
}

static void fact_number(const char *name, uint64_t value)
{
	printf("guest: %s %llu\n", name, (unsigned long long)value);
}

/* The first line of a file, "none" where there is no file. */
static const char *first_line(const char *path, char *text, int bytes)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(text, bytes, file))
		snprintf(text, (size_t)bytes, "none");
	if (file)
		fclose(file);
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* The value of NAME=VALUE on the kernel's command line, or otherwise. */
static const char *option(const char *name, char *value, size_t bytes, const char *otherwise)
{
	static char cmdline[65536];
	size_t length = strlen(name);
	char *word, *rest = NULL, *copy;

	first_line("/proc/cmdline", cmdline, sizeof(cmdline));
	snprintf(value, bytes, "%s", otherwise);
	copy = cmdline;
	while ((word = strtok_r(copy, " ", &rest))) {
		copy = NULL;
		if (!strncmp(word, name, length) && word[length] == '=')
			snprintf(value, bytes, "%s", word + length + 1);
	}
	return value;
}

/* ---- Facts ---- */

static void say_memory(void)
{
	FILE *file = fopen("/proc/iomem", "re");
	unsigned long long first, last;
	uint64_t low = 0, high = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (!strstr(line, " : System RAM") || line[0] == ' ' ||
		    sscanf(line, "%llx-%llx", &first, &last) != 2)
			continue;
		if (first >= FOUR_GIB)
			high += last - first + 1;
		else
			low += last - first + 1;
	}
	if (file)
		fclose(file);
	fact_number("memory_below_4g", low);
	fact_number("memory_above_4g", high);
}

/* "0: uart:16550A port:000003F8 irq:4 ..." */
static void say_serial(void)
{
	FILE *file = fopen("/proc/tty/driver/serial", "re");
	char line[256], uart[32];
	int irq;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "0: uart:%31s port:000003F8 irq:%d", uart, &irq) != 2)
			continue;
		fact("ttyS0", uart);
		fact_number("ttyS0_irq", (uint64_t)irq);
	}
	if (file)
		fclose(file);
}

/* One record of the kernel's log: "priority,sequence,microseconds,flags;text\n continuation". */
static void say_log_record(char *record)
{
	char *text = strchr(record, ';');

	if (!text)
		return;
	text++;
	text[strcspn(text, "\n")] = 0;
	if ((strtoul(record, NULL, 10) & 7) <= LEVEL_WARNING)
		fact("warning", text);
	if (strstr(text, "Switched APIC routing to"))
		fact("apic", strstr(text, "x2apic") ? "x2apic" : "xapic");
}

static void say_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[8192];
	ssize_t got;

	while ((got = read(fd, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		if (got <= 0)
			continue;
		record[got] = 0;
		say_log_record(record);
		errno = 0;
	}
	if (fd >= 0)
		close(fd);
}

/* Names of what ACPI enumerated, so that a test can look for a device. */
static void say_acpi(void)
{
	DIR *directory = opendir("/sys/bus/acpi/devices");
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			fact("acpi", entry->d_name);
	if (directory)
		closedir(directory);
}

static void say_facts(void)
{
	char text[256];

	fact("kernel", first_line("/proc/sys/kernel/osrelease", text, sizeof(text)));
	fact_number("cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	fact("clocksource",
	     first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", text,
			sizeof(text)));
	fact("rtc_date", first_line("/sys/class/rtc/rtc0/date", text, sizeof(text)));
	say_memory();
	say_serial();
	say_acpi();
	say_log();
	fact("facts", "end");
}

/* ---- Ends ---- */

static void __attribute__((noreturn)) crash_kernel(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "c", 1) != 1)
		fail("sysrq-trigger");
	stay();
}

static int open_button(void)
{
	char path[64], name[64] = "";

	for (int waited_ms = 0; waited_ms < BUTTON_WAIT_MS; waited_ms += 10) {
		for (int i = 0; i < 8; i++) {
			int fd;

			snprintf(path, sizeof(path), "/dev/input/event%d", i);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			if (ioctl(fd, EVIOCGNAME(sizeof(name)), name) >= 0 &&
			    !strcmp(name, "Power Button"))
				return fd;
			close(fd);
		}
		usleep(10000);
	}
	errno = ENODEV;
	fail("no power button");
}

static void wait_for_button(void)
{
	struct input_event event = { 0 };
	int fd = open_button();

	fact("waiting", "button");
	while (event.type != EV_KEY || event.code != KEY_POWER || event.value != 1)
		if (read(fd, &event, sizeof(event)) != sizeof(event))
			fail("input event");
	fact("button", "pressed");
	close(fd);
}

static void echo_lines(void)
{
	char line[4096];

	fact("waiting", "input");
	while (fgets(line, sizeof(line), stdin) && strcmp(line, "off\n"))
		printf("guest: echo %s", line);
}

static void __attribute__((noreturn)) end(const char *how)
{
	if (!strcmp(how, "reboot"))
		end_machine(RB_AUTOBOOT);
	if (!strcmp(how, "panic"))
		exit(0);
	if (!strcmp(how, "crash"))
		crash_kernel();
	if (!strcmp(how, "hang")) {
		fact("waiting", "for ever");
		stay();
	}
	if (!strcmp(how, "button"))
		wait_for_button();
	else if (!strcmp(how, "echo"))
		echo_lines();
	else if (!strcmp(how, "sockets"))
		sockets_serve();
	else if (strcmp(how, "poweroff")) {
		errno = EINVAL;
		fail(how);
	}
	end_machine(RB_POWER_OFF);
}

/* ---- Start ---- */

static void mount_at(const char *type, const char *target)
{
	mkdir(target, 0755);
	/* The kernel may have mounted devtmpfs already. */
	if (mount(type, target, type, 0, NULL) && errno != EBUSY)
		fail(target);
}

/* The files of /modules in the order of their names. */
static void insert_modules(void)
{
	struct dirent **entries = NULL;
	int count = scandir("/modules", &entries, NULL, alphasort);
	char path[sizeof("/modules/") + 256];

	for (int i = 0; i < count; i++) {
		int fd;

		if (entries[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/modules/%s", entries[i]->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0))
			fail(path);
		close(fd);
	}
}

/* Where the console comes with a module the kernel gives us none: what is opened next is not to be
 * taken for standard input. */
static void fill_standard_descriptors(void)
{
	int fd;

	mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3));
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

int main(void)
{
	char how[32], facts[8];

	fill_standard_descriptors();
	mark(MARK_USER);
	setvbuf(stdout, NULL, _IOLBF, 0);
	mount_at("proc", "/proc");
	mount_at("sysfs", "/sys");
	mount_at("devtmpfs", "/dev");
	insert_modules();
	if (strcmp(option("stet.facts", facts, sizeof(facts), "on"), "off"))
		say_facts();
	mark(MARK_DONE);
	end(option("stet.end", how, sizeof(how), "poweroff"));
}
