/* SPDX-License-Identifier: Apache-2.0 */
/* run_options: the options of `stet run`, as they were given. */
#ifndef TOOLS_STET_RUN_OPTIONS_H
#define TOOLS_STET_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/stet/options.h"

/* What every kernel is told, unless --cmdline says otherwise. */
#define RUN_CMDLINE "reboot=k panic=-1"

/* memory_bytes where --memory was not given. */
#define RUN_MEMORY_DEFAULT UINT64_MAX

/* Strings point into the arguments, NULL where an option was not given. */
struct run_options {
	const char *name;
	const char *kernel;
	const char *initrd;
	const char *cmdline;
	uint32_t cpus;
	uint64_t memory_bytes;
	int backing;
	int prefault;
	int boot;
	uint32_t fault_around;
	int transport;
	bool rng;
	struct option_list disks, nets, vsocks;
	const char *console; /* "tty", "none" or "file:PATH" */
	const char *hvc;     /* the same */
	const char *stats;   /* "": not to a file */
	const char *root;
	const char *workdir;
	struct option_list env;
	char *const *command; /* ended by NULL */
	bool json;
	int log_level;
	int verbose;
	bool quiet;
};

/* arguments are ended by NULL; error is filled on OPTIONS_WRONG. */
enum options_result run_options_parse(struct run_options *wanted, char **arguments,
				      struct options_error *error);

/* What does not go together, or NULL. */
const char *run_options_check(const struct run_options *options);

/* The help, to standard output. */
void run_options_print(void);

#endif
