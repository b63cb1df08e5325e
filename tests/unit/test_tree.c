/* SPDX-License-Identifier: Apache-2.0 */
/* test_tree: a directory tree packed into memory and unpacked by cpio(1) is the same tree. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "boot/tree.h"
#include "tests/unit/boot_fixture.h"
#include "tests/unit/elf_fixture.h"

/* A scratch directory with "in" (the tree) and "out" (what cpio makes of the archive). */
struct scratch {
	char path[64];
	char in[80];
	struct log log;
	char logged[512];
	struct error error;
};

static void note_line(void *opaque, enum log_level level, const char *text)
{
	struct scratch *scratch = opaque;

	(void)level;
	strncat(scratch->logged, text, sizeof(scratch->logged) - strlen(scratch->logged) - 1);
}

static int begin(void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	strcpy(scratch->path, "/tmp/test_tree.XXXXXX");
	assert_non_null(mkdtemp(scratch->path));
	snprintf(scratch->in, sizeof(scratch->in), "%s/in", scratch->path);
	assert_int_equal(mkdir(scratch->in, 0755), 0);
	scratch->log = (struct log){ note_line, scratch, LOG_LEVEL_INFO };
	*state = scratch;
	return 0;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int end(void **state)
{
	struct scratch *scratch = *state;

	nftw(scratch->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(scratch);
	return 0;
}

static const char *at(const struct scratch *scratch, const char *path)
{
	static char text[4][8192];
	static unsigned int next;
	char *to = text[next++ % 4];

	snprintf(to, sizeof(text[0]), "%s/%s", scratch->path, path);
	return to;
}

static void write_at(const char *path, const void *data, size_t bytes, off_t offset)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, bytes, offset), (ssize_t)bytes);
	close(fd);
}

static struct tree *scan(struct scratch *scratch)
{
	struct tree *tree = NULL;

	if (tree_scan(&tree, scratch->in, NULL, 0, &scratch->log, &scratch->error))
		fail_msg("%s", scratch->error.text);
	return tree;
}

/* Packs; the archive is *bytes long, followed by a page that cannot be touched. */
static uint8_t *pack(struct scratch *scratch, const struct tree *tree, uint64_t *bytes)
{
	uint64_t rounded = 0;
	uint8_t *map;

	*bytes = tree_archive_bytes(tree);
	assert_true(num_align_up(*bytes, 4096, &rounded));
	map = mmap(NULL, rounded + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	assert_ptr_not_equal(map, MAP_FAILED);
	assert_int_equal(mprotect(map + rounded, 4096, PROT_NONE), 0);
	map += rounded - *bytes;
	if (tree_write(tree, map, NULL, &scratch->error))
		fail_msg("%s", scratch->error.text);
	return map;
}

static void unpack(struct scratch *scratch, const uint8_t *archive, uint64_t bytes)
{
	char command[512];
	int fd = open(at(scratch, "archive"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, archive, bytes), (ssize_t)bytes);
	close(fd);
	snprintf(command, sizeof(command),
		 "mkdir -p %s/out && cd %s/out && cpio --quiet -idm -F ../archive", scratch->path,
		 scratch->path);
	assert_int_equal(system(command), 0);
}

/* From end to end. */
static void pass_through(struct scratch *scratch)
{
	struct tree *tree = scan(scratch);
	uint64_t bytes;
	uint8_t *archive = pack(scratch, tree, &bytes);

	unpack(scratch, archive, bytes);
	tree_destroy(tree);
}

static void read_file(const char *path, char *data, size_t bytes)
{
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, data, bytes), (ssize_t)bytes);
	close(fd);
}

/* path is the same in "out" as in "in". */
static void check_same(const struct scratch *scratch, const char *path)
{
	char name[4096];
	char a_data[8192];
	char b_data[8192];
	struct stat a, b;

	snprintf(name, sizeof(name), "in/%s", path);
	assert_int_equal(lstat(at(scratch, name), &a), 0);
	snprintf(name, sizeof(name), "out/%s", path);
	if (lstat(at(scratch, name), &b))
		fail_msg("%s is not there: %s", path, strerror(errno));
	assert_int_equal(a.st_mode, b.st_mode);
	assert_int_equal(a.st_uid, b.st_uid);
	assert_int_equal(a.st_gid, b.st_gid);
	if (S_ISREG(a.st_mode)) /* others' times cpio does not put right; Linux does */
		assert_int_equal(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
	if (!S_ISDIR(a.st_mode)) {
		assert_int_equal(a.st_size, b.st_size);
		assert_int_equal(a.st_nlink, b.st_nlink);
		assert_int_equal(a.st_rdev, b.st_rdev);
	}
	if (S_ISREG(a.st_mode) && a.st_size && a.st_size <= (off_t)sizeof(a_data)) {
		snprintf(name, sizeof(name), "in/%s", path);
		read_file(at(scratch, name), a_data, (size_t)a.st_size);
		snprintf(name, sizeof(name), "out/%s", path);
		read_file(at(scratch, name), b_data, (size_t)a.st_size);
		assert_memory_equal(a_data, b_data, (size_t)a.st_size);
	}
}

static void age(const char *path, time_t seconds)
{
	const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };

	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void all_kinds_are_kept(void **state)
{
	static const char *const paths[] = { "etc",         "etc/motd", "bin",        "bin/sh",
					     "etc/long",    "pipe",     "TRAILER!!!", "empty",
					     "bin/busybox", "other",    "third",      "." };
	struct scratch *scratch = *state;
	char target[1500];
	char got[1501];

	assert_int_equal(mkdir(at(scratch, "in/etc"), 0750), 0);
	assert_int_equal(mkdir(at(scratch, "in/bin"), 01777), 0);
	assert_int_equal(chmod(at(scratch, "in/bin"), 01777), 0);
	write_at(at(scratch, "in/etc/motd"), "hello\n", 6, 0);
	write_at(at(scratch, "in/bin/busybox"), "#!/nothing", 10, 0);
	assert_int_equal(chmod(at(scratch, "in/bin/busybox"), 04755), 0);
	write_at(at(scratch, "in/TRAILER!!!"), "not the end", 11, 0);
	write_at(at(scratch, "in/empty"), "", 0, 0);
	assert_int_equal(symlink("busybox", at(scratch, "in/bin/sh")), 0);
	memset(target, 'x', sizeof(target) - 1);
	target[sizeof(target) - 1] = 0;
	assert_int_equal(symlink(target, at(scratch, "in/etc/long")), 0);
	assert_int_equal(mkfifo(at(scratch, "in/pipe"), 0640), 0);
	assert_int_equal(link(at(scratch, "in/bin/busybox"), at(scratch, "in/other")), 0);
	assert_int_equal(link(at(scratch, "in/bin/busybox"), at(scratch, "in/third")), 0);
	age(at(scratch, "in/etc/motd"), 1000000000);
	age(at(scratch, "in/bin/sh"), 1100000000);
	age(at(scratch, "in/third"), 1200000000);
	age(at(scratch, "in/etc"), 1300000000);
	pass_through(scratch);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		check_same(scratch, paths[i]);
	memset(got, 0, sizeof(got));
	assert_int_equal(readlink(at(scratch, "out/etc/long"), got, sizeof(got)),
			 sizeof(target) - 1);
	assert_string_equal(got, target);
}

static void owners_and_devices_are_kept(void **state)
{
	struct scratch *scratch = *state;

	if (geteuid() != 0)
		skip();
	write_at(at(scratch, "in/file"), "x", 1, 0);
	assert_int_equal(chown(at(scratch, "in/file"), 12345, 4000000000), 0);
	assert_int_equal(symlink("file", at(scratch, "in/link")), 0);
	assert_int_equal(lchown(at(scratch, "in/link"), 7, 8), 0);
	if (mknod(at(scratch, "in/null"), S_IFCHR | 0666, makedev(1, 3)) ||
	    mknod(at(scratch, "in/disk"), S_IFBLK | 0600, makedev(253, 4097)))
		skip(); /* a container without the right to */
	pass_through(scratch);
	check_same(scratch, "file");
	check_same(scratch, "link");
	check_same(scratch, "null");
	check_same(scratch, "disk");
}

/* A link of which the others lie outside stands alone. */
static void links_from_outside_are_files(void **state)
{
	struct scratch *scratch = *state;
	struct stat stat;

	write_at(at(scratch, "in/file"), "shared", 6, 0);
	assert_int_equal(link(at(scratch, "in/file"), at(scratch, "outside")), 0);
	pass_through(scratch);
	assert_int_equal(lstat(at(scratch, "out/file"), &stat), 0);
	assert_int_equal(stat.st_nlink, 1);
	assert_int_equal(stat.st_size, 6);
}

static void holes_are_zeros(void **state)
{
	struct scratch *scratch = *state;
	char data[16] = { 0 };
	struct stat stat;
	int fd;

	write_at(at(scratch, "in/sparse"), "begin", 5, 0);
	write_at(at(scratch, "in/sparse"), "middle", 6, 20 * MIB);
	assert_int_equal(truncate(at(scratch, "in/sparse"), 50 * MIB + 1), 0);
	assert_int_equal(truncate(at(scratch, "in/sparse"), 50 * MIB + 1), 0);
	pass_through(scratch);
	assert_int_equal(lstat(at(scratch, "out/sparse"), &stat), 0);
	assert_int_equal(stat.st_size, 50 * MIB + 1);
	fd = open(at(scratch, "out/sparse"), O_RDONLY);
	assert_int_equal(pread(fd, data, 5, 0), 5);
	assert_string_equal(data, "begin");
	assert_int_equal(pread(fd, data, 8, 20 * MIB - 1), 8);
	assert_memory_equal(data, "\0middle", 8);
	assert_int_equal(pread(fd, data, 16, 50 * MIB), 1);
	assert_int_equal(data[0], 0);
	close(fd);
}

static void sockets_are_left_out(void **state)
{
	struct scratch *scratch = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct tree *tree;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", scratch->in);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	tree = scan(scratch);
	assert_int_equal(tree_entry_count(tree), 1);
	assert_non_null(strstr(scratch->logged, "left out 1 sockets"));
	tree_destroy(tree);
}

static void extras_come_with_it(void **state)
{
	static const struct tree_extra extras[] = {
		{ ".private", S_IFDIR | 0700, NULL, 0 },
		{ ".private/init", S_IFREG | 0755, "program", 7 },
		{ ".private/none", S_IFREG | 0600, NULL, 0 },
	};
	static const struct tree_extra clash[] = { { "file", S_IFREG | 0600, "y", 1 } };
	struct scratch *scratch = *state;
	struct tree *tree = NULL;
	struct stat stat;
	char data[8] = { 0 };
	uint64_t bytes;
	uint8_t *archive;

	write_at(at(scratch, "in/file"), "x", 1, 0);
	assert_int_equal(tree_scan(&tree, scratch->in, extras, 3, &scratch->log, &scratch->error),
			 0);
	archive = pack(scratch, tree, &bytes);
	unpack(scratch, archive, bytes);
	tree_destroy(tree);
	assert_int_equal(lstat(at(scratch, "out/.private"), &stat), 0);
	assert_int_equal(stat.st_mode, S_IFDIR | 0700);
	assert_int_equal(lstat(at(scratch, "out/.private/init"), &stat), 0);
	assert_int_equal(stat.st_mode, S_IFREG | 0755);
	assert_int_equal(stat.st_uid, 0);
	read_file(at(scratch, "out/.private/init"), data, 7);
	assert_string_equal(data, "program");
	assert_int_equal(lstat(at(scratch, "out/.private/none"), &stat), 0);
	assert_int_equal(tree_scan(&tree, scratch->in, clash, 1, &scratch->log, &scratch->error),
			 -EEXIST);
}

static void expect_error(struct scratch *scratch, const char *directory, int code, const char *text)
{
	struct tree *tree = NULL;

	assert_int_equal(tree_scan(&tree, directory, NULL, 0, &scratch->log, &scratch->error),
			 -code);
	assert_null(tree);
	assert_int_equal(scratch->error.code, code);
	if (!strstr(scratch->error.text, text))
		fail_msg("'%s' is not in: %s", text, scratch->error.text);
}

static void what_cannot_be_packed_is_named(void **state)
{
	struct scratch *scratch = *state;

	expect_error(scratch, "/nonexistent", ENOENT, "/nonexistent");
	write_at(at(scratch, "in/file"), "x", 1, 0);
	expect_error(scratch, at(scratch, "in/file"), ENOTDIR, "in/file");
	assert_int_equal(truncate(at(scratch, "in/file"), (off_t)(4 * GIB)), 0);
	expect_error(scratch, scratch->in, EFBIG, "in/file");
	assert_int_equal(truncate(at(scratch, "in/file"), 1), 0);
	if (geteuid() == 0) { /* who may read everything: be somebody else */
		assert_int_equal(chmod(scratch->path, 0755), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	tree_destroy(scan(scratch));
	if (geteuid() == 65534)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(at(scratch, "in/file"), 0), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	expect_error(scratch, scratch->in, EACCES, "in/file: cannot be read");
	if (geteuid() == 65534)
		assert_int_equal(seteuid(0), 0);
}

static void changes_in_between_are_said(void **state)
{
	struct scratch *scratch = *state;
	char data[8193];
	struct tree *tree;
	struct stat stat;
	uint64_t bytes;
	uint8_t *archive;

	memset(data, 'a', sizeof(data));
	write_at(at(scratch, "in/gone"), data, sizeof(data), 0);
	write_at(at(scratch, "in/grows"), data, 5, 0);
	write_at(at(scratch, "in/replaced"), data, 5, 0);
	write_at(at(scratch, "in/shrinks"), data, sizeof(data), 0);
	write_at(at(scratch, "in/stays"), data, 5, 0);
	tree = scan(scratch);
	assert_int_equal(unlink(at(scratch, "in/gone")), 0);
	write_at(at(scratch, "in/grows"), data, sizeof(data), 0);
	assert_int_equal(rename(at(scratch, "in/replaced"), at(scratch, "in/kept")), 0);
	assert_int_equal(symlink("/etc/passwd", at(scratch, "in/replaced")), 0);
	assert_int_equal(truncate(at(scratch, "in/shrinks"), 5000), 0);
	archive = pack(scratch, tree, &bytes);
	unpack(scratch, archive, bytes);
	tree_destroy(tree);
	assert_non_null(strstr(scratch->logged, "in/gone: vanished"));
	assert_non_null(strstr(scratch->logged, "in/replaced: vanished"));
	assert_non_null(strstr(scratch->logged, "in/shrinks: became shorter"));
	assert_int_equal(lstat(at(scratch, "out/gone"), &stat), -1);
	assert_int_equal(lstat(at(scratch, "out/replaced"), &stat), -1);
	assert_int_equal(lstat(at(scratch, "out/grows"), &stat), 0);
	assert_int_equal(stat.st_size, 5);
	assert_int_equal(lstat(at(scratch, "out/stays"), &stat), 0);
	assert_int_equal(stat.st_size, 5);
	assert_int_equal(lstat(at(scratch, "out/shrinks"), &stat), 0);
	assert_int_equal(stat.st_size, sizeof(data));
}

/* Deep and wide: the list of entries grows while it is walked. */
static void many_files(void **state)
{
	struct scratch *scratch = *state;
	char path[4096] = "in";
	char name[64];

	for (unsigned int i = 0; i < 60; i++) {
		strcat(path, "/directory-with-a-long-name");
		assert_int_equal(mkdir(at(scratch, path), 0755), 0);
	}
	for (unsigned int i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "in/file-%u", i);
		write_at(at(scratch, name), name, strlen(name), 0);
	}
	pass_through(scratch);
	check_same(scratch, path + 3);
	check_same(scratch, "file-0");
	check_same(scratch, "file-2999");
}

/* As an initrd: placed in memory, or refused with the memory that would do. */
static void memory_is_judged(void **state)
{
	struct scratch *scratch = *state;
	struct tree *tree;
	uint64_t need;

	write_at(at(scratch, "in/file"), "x", 1, 10 * MIB);
	tree = scan(scratch);
	need = tree_memory_bytes(tree, 64 * MIB);
	assert_true(need % (2 * MIB) == 0);
	/* Half of what is left after kernel and archive holds the files. */
	assert_true((need - need / 64 - 64 * MIB - tree_archive_bytes(tree)) / 2 > 10 * MIB);
	assert_true(need < 64 * MIB + 3 * 10 * MIB + 32 * MIB);
	tree_destroy(tree);
}

/* Loaded with a kernel it lies behind that, whole; one MiB less than the message tells is refused,
 * what it tells is enough. */
static void it_lies_in_guest_memory(void **state)
{
	struct scratch *scratch = *state;
	static struct elf_file elf;
	struct attempt attempt;
	struct tree *tree;
	uint64_t enough_mib;

	write_at(at(scratch, "in/file"), "found", 5, 9 * MIB);
	tree = scan(scratch);
	elf_begin(&elf, true, MIB + 0x40);
	elf_add(&elf, PT_LOAD, MIB, NULL, 0x1000, 0x1000);
	attempt_begin(&attempt, 16, elf.data, elf.bytes);
	attempt.source.tree = tree;
	assert_int_equal(attempt_load(&attempt), -EFBIG);
	assert_non_null(strstr(attempt.error.text, "the largest file: file"));
	enough_mib = advised_mib(&attempt);
	attempt_end(&attempt);
	attempt_begin(&attempt, enough_mib - 2, elf.data, elf.bytes);
	attempt.source.tree = tree;
	assert_int_equal(attempt_load(&attempt), -EFBIG);
	attempt_end(&attempt);
	attempt_begin(&attempt, enough_mib, elf.data, elf.bytes);
	attempt.source.tree = tree;
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.initrd_bytes, tree_archive_bytes(tree));
	assert_true(attempt.image.initrd_gpa >= attempt.image.kernel_end);
	unpack(scratch, guest(&attempt, attempt.image.initrd_gpa, attempt.image.initrd_bytes),
	       attempt.image.initrd_bytes);
	attempt_end(&attempt);
	tree_destroy(tree);
	check_same(scratch, "file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_kinds_are_kept, begin, end),
		cmocka_unit_test_setup_teardown(owners_and_devices_are_kept, begin, end),
		cmocka_unit_test_setup_teardown(links_from_outside_are_files, begin, end),
		cmocka_unit_test_setup_teardown(holes_are_zeros, begin, end),
		cmocka_unit_test_setup_teardown(sockets_are_left_out, begin, end),
		cmocka_unit_test_setup_teardown(extras_come_with_it, begin, end),
		cmocka_unit_test_setup_teardown(what_cannot_be_packed_is_named, begin, end),
		cmocka_unit_test_setup_teardown(changes_in_between_are_said, begin, end),
		cmocka_unit_test_setup_teardown(many_files, begin, end),
		cmocka_unit_test_setup_teardown(memory_is_judged, begin, end),
		cmocka_unit_test_setup_teardown(it_lies_in_guest_memory, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
