/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stet.h: the public interface of libstet, all of it.
 *
 * A virtual machine is created from a configuration, started, waited for and destroyed. The library
 * starts one I/O thread and one thread for each vCPU; it installs no signal handlers, prints
 * nothing, reads no environment and never exits. It uses one real-time signal
 * (stet_config.kick_signal) which it blocks in its own vCPU threads only.
 *
 * Functions return 0 or a negative errno; where they take a struct stet_error it is filled on
 * failure (it may be NULL). Strings and descriptors that go in are copied or duplicated: the caller
 * keeps its own. Outputs are untouched on failure. A function may be called from any thread unless
 * it says otherwise; stet_vm_destroy() must be the last call for its VM.
 */
#ifndef STET_H
#define STET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define STET_API __attribute__((visibility("default")))
#else
#define STET_API
#endif

/* The version of this header; stet_version() is that of the library. */
#define STET_VERSION "0.1.0"
STET_API const char *stet_version(void);

/* ---- Errors ---- */

/* code is a positive errno; text says what happened, to what, and what to do next (one line, always
 * terminated). */
struct stet_error {
	int code;
	char text[512];
};

/* ---- Configuration ---- */

enum stet_backing {
	STET_BACKING_AUTO, /* hugetlb-2M where the pool has room, else transparent huge pages, else
			      4K */
	STET_BACKING_HUGETLB_1G,
	STET_BACKING_HUGETLB_2M,
	STET_BACKING_THP,
	STET_BACKING_4K,
};

enum stet_prefault {
	STET_PREFAULT_ON,  /* as far as the host can; what it cannot is logged and in the statistics
			    */
	STET_PREFAULT_OFF, /* nothing is populated or mapped ahead */
	STET_PREFAULT_REQUIRE, /* not being able to is an error (-EOPNOTSUPP) */
};

enum stet_log_level {
	STET_LOG_ERROR,
	STET_LOG_WARNING,
	STET_LOG_INFO,
	STET_LOG_DEBUG,
};

enum stet_boot {
	STET_BOOT_AUTO,    /* what fits the kernel's file best */
	STET_BOOT_LINUX64, /* the 64-bit entry of the Linux/x86 boot protocol */
	STET_BOOT_PVH,     /* the PVH entry (an ELF file with the note) */
};

enum stet_transport {
	STET_TRANSPORT_AUTO, /* what measured best: PCI */
	STET_TRANSPORT_PCI,
	STET_TRANSPORT_MMIO,
};

/* A limit on one direction of data; 0: none. A burst of 0 is a tenth of a second's worth. */
struct stet_rate {
	uint64_t bytes_per_s, bytes_burst;
	uint64_t ops_per_s, ops_burst;
};

/* A disk: virtio-blk on a raw image (a file or a block device), which is locked while the VM lives.
 */
struct stet_disk {
	size_t size; /* sizeof(struct stet_disk); stet_disk_init() sets it */
	const char *path;
	const char *serial; /* up to 20 characters; NULL: none */
	int read_only;
	int direct; /* past the host's page cache, where the file can do that; a block device
		       goes past it in any case */
	struct stet_rate rate;
};

#define STET_VSOCK_CID_MIN 3
#define STET_VSOCK_CID_MAX UINT32_C(0xfffffffe)

enum stet_net_kind {
	STET_NET_TAP,  /* a tap device of the host */
	STET_NET_USER, /* unprivileged: through the program passt, which the VM starts and stops */
};

/* Connections to the host's port reach the guest's (STET_NET_USER). */
struct stet_forward {
	int udp; /* else TCP */
	uint16_t host_port, guest_port;
};

/* A network device: virtio-net. */
struct stet_net {
	size_t size;
	enum stet_net_kind kind;
	const char *tap;      /* its name */
	uint8_t mac[6];       /* all zero: one is made up */
	uint16_t mtu;         /* advice to the guest; 0: none */
	uint16_t queue_pairs; /* default 1; a tap may have more */
	const struct stet_forward *forwards;
	uint32_t forward_count;
	struct stet_rate receive, send; /* as the guest sees it */
};

/* A file or directory in an initrd that is made of a tree (stet_config.root_dir), owned by root. */
struct stet_root_file {
	const char *path; /* without a leading slash, not in the tree; after its directory */
	uint32_t mode;    /* S_IFREG or S_IFDIR, and permissions */
	const void *data; /* of a file */
	uint64_t bytes;
};

STET_API void stet_disk_init(struct stet_disk *disk);
STET_API void stet_net_init(struct stet_net *net);

/* Called from any of the VM's threads, one line without its newline at a time. Must not call into
 * the library. */
typedef void stet_log_fn(void *opaque, enum stet_log_level level, const char *line);

/* Called from stet_vm_create()'s thread while memory is made ready, at most ten times a second for
 * each phase and at its end. */
typedef void stet_progress_fn(void *opaque, const char *phase, uint64_t done, uint64_t total);

/*
 * stet_config_init() fills in size and the defaults; then set what differs. A program built against
 * an older header passes a smaller size: the fields it does not know get their defaults. A larger
 * size is -E2BIG unless the rest is zero.
 */
struct stet_config {
	size_t size;

	const char *kernel_path; /* bzImage or ELF vmlinux; required */
	const char *initrd_path; /* NULL: none */
	const char *cmdline;     /* NULL: empty */
	enum stet_boot boot;     /* default STET_BOOT_AUTO */

	uint32_t vcpu_count;         /* 1 to 32; default 1 */
	enum stet_backing backing;   /* default STET_BACKING_AUTO */
	uint64_t memory_bytes;       /* default 512 MiB; a multiple of 2 MiB; root_dir: or 0 */
	enum stet_prefault prefault; /* default STET_PREFAULT_ON */
	uint32_t populate_threads;   /* 0: as many as pay for it */

	/* The serial console (16550, ttyS0): bytes read from console_in_fd go to the guest, the
	 * guest's to console_out_fd. -1: none; without either the machine has no serial port. Both
	 * default to -1. */
	int console_in_fd;
	int console_out_fd;

	/* The same for a virtio console (hvc0); without either there is none. Both default to -1.
	 * Its size in characters, 0: not known; stet_vm_resize_console() changes it. */
	int hvc_in_fd;
	int hvc_out_fd;
	uint16_t hvc_columns, hvc_rows;

	stet_log_fn *log; /* NULL: lines are dropped */
	void *log_opaque;
	enum stet_log_level log_level; /* default STET_LOG_WARNING */

	stet_progress_fn *progress; /* NULL: none */
	void *progress_opaque;

	int kick_signal; /* 0: SIGRTMIN */

	/* How virtio devices are found by the guest; default STET_TRANSPORT_AUTO. */
	enum stet_transport transport;
	int rng; /* 1: a virtio entropy device. Default 0 */

	/* Pages that one stage-2 fault maps, a power of two up to 512, on a KVM with stet's patches
	 * (else -EOPNOTSUPP); 0: KVM's own choice. Of use where memory is not prefaulted. */
	uint32_t fault_around;

	/* A directory tree as initrd, instead of initrd_path, with all that is on its file system:
	 * packed straight into guest memory. memory_bytes may be 0 then: as much as it takes to
	 * unpack it and work. NULL: none. */
	const char *root_dir;
	const struct stet_root_file *root_files; /* what comes into it beside the tree */
	uint32_t root_file_count;

	/* In the order the guest finds them: disks first (vda, vdb ...), then network devices,
	 * vsock, virtio console, entropy device. */
	const struct stet_disk *const *disks;
	uint32_t disk_count;
	const struct stet_net *const *nets;
	uint32_t net_count;

	/*
	 * Virtio sockets (streams) between the guest's CID, STET_VSOCK_CID_MIN (the default) to
	 * STET_VSOCK_CID_MAX, and Unix sockets of the host. NULL: none. At vsock_path the VM
	 * listens: who connects and says "CONNECT PORT\n" reads "OK HOSTPORT\n" once the guest's
	 * listener on that port has taken the connection, and then the stream. What the guest
	 * connects to, on CID 2 and port N, is whoever listens at vsock_path followed by "_N". A
	 * socket that a dead program left at vsock_path is replaced; the VM removes its own when it
	 * is destroyed.
	 */
	const char *vsock_path;
	uint32_t vsock_cid;

	/* 1: count the MMU-notifier invalidations that hit guest memory, where the host lets the
	 * caller (a tracepoint, which the whole host then pays for while this VM exists). Default
	 * 0. */
	int count_invalidations;

	/* CLOCK_MONOTONIC when the caller's own start began, so that phases count from there; 0:
	 * when stet_vm_create() was called. */
	uint64_t start_ns;
	uint64_t parsed_ns; /* when the caller had read its options; 0: not known */
};

STET_API void stet_config_init(struct stet_config *config);

/* ---- The life of a VM ---- */

struct stet_vm;

/*
 * Makes everything ready up to the first instruction: memory allocated, populated and mapped in
 * stage 2, kernel loaded, devices and vCPUs created. May take as long as zeroing the memory takes.
 * Errors a user can mend: -EINVAL (configuration), -ENOENT/-EACCES (a file, /dev/kvm), -ENOEXEC
 * (kernel), -ENOMEM (memory, huge-page pool), -EFBIG (does not fit), -E2BIG (command line),
 * -EADDRINUSE (the vsock's path), -EOPNOTSUPP (the host cannot; STET_PREFAULT_REQUIRE).
 */
STET_API int stet_vm_create(const struct stet_config *config, struct stet_vm **vm,
			    struct stet_error *error);

/* Lets the vCPUs run. Once for each VM, else -EALREADY. */
STET_API int stet_vm_start(struct stet_vm *vm, struct stet_error *error);

enum stet_end {
	STET_END_NONE,     /* still running, or not started */
	STET_END_POWEROFF, /* the guest powered off (ACPI S5) */
	STET_END_RESET,    /* the guest asked for a reset (i8042, port 0xcf9) */
	STET_END_CRASH,    /* triple fault, or KVM could not go on (with registers in the report) */
	STET_END_PANIC,    /* the guest's kernel panicked (pvpanic) */
	STET_END_STOPPED,  /* stet_vm_stop() */
	STET_END_ERROR,    /* stet or the host failed under the running guest */
};

/* "none", "poweroff", "reset", "crash", "panic", "stopped", "error". */
STET_API const char *stet_end_name(enum stet_end end);

/* A descriptor that becomes readable (POLLIN) for good when the VM has ended. Owned by the VM; do
 * not read or close it. */
STET_API int stet_vm_event_fd(const struct stet_vm *vm);

/* How the VM ended, or STET_END_NONE. Does not block. */
STET_API enum stet_end stet_vm_end(const struct stet_vm *vm);

/* What is known about a crash or error, lines of text (registers of the vCPU); empty otherwise.
 * Valid until stet_vm_destroy(). */
STET_API const char *stet_vm_report(const struct stet_vm *vm);

/*
 * Waits for the end: until no vCPU runs any more and what the guest wrote to its consoles was taken
 * (or nobody took it for a second). timeout_ms < 0 waits for ever. 0, or -ETIMEDOUT. Not from a
 * callback.
 */
STET_API int stet_vm_wait(struct stet_vm *vm, int timeout_ms);

/* Presses the ACPI power button: asks the guest to shut down. It may not listen. -ESRCH when it is
 * not running. */
STET_API int stet_vm_power_button(struct stet_vm *vm);

/* The terminal behind the virtio console has another size, which the guest is told. 0: not known.
 * -ENODEV where there is no such console. */
STET_API int stet_vm_resize_console(struct stet_vm *vm, uint16_t columns, uint16_t rows);

/* Ends the VM now (STET_END_STOPPED) and returns when no vCPU runs any more. A VM that has ended
 * keeps its end. Not from a callback. */
STET_API int stet_vm_stop(struct stet_vm *vm);

/* Stops it where it runs and frees everything. NULL is fine. */
STET_API void stet_vm_destroy(struct stet_vm *vm);

/* ---- Statistics ---- */

enum stet_format {
	STET_FORMAT_TABLE, /* for people */
	STET_FORMAT_JSON,  /* docs/stats.md; schema number in it */
};

/*
 * The statistics of the VM so far, as text that the caller frees with stet_text_free(). While it
 * runs and after its end. *text is terminated and ends with a newline.
 */
STET_API int stet_vm_stats(struct stet_vm *vm, enum stet_format format, char **text,
			   struct stet_error *error);

/*
 * Sum over the vCPUs of KVM's pf_taken since just before the first KVM_RUN: stage-2 faults the
 * guest took. -EOPNOTSUPP where the kernel has no binary statistics.
 */
STET_API int stet_vm_stage2_faults(struct stet_vm *vm, uint64_t *faults);

/* What this host can do and what it means for zero faults. *zero_faults_possible is set to 0 or 1.
 * Free *text with stet_text_free(). */
STET_API int stet_host_info(enum stet_format format, char **text, int *zero_faults_possible,
			    struct stet_error *error);

/* ---- Watching a VM of another process ---- */

struct stet_watch;

/*
 * Looks at the VM of process pid (any VMM that holds its statistics descriptor, as stet does), with
 * the right to trace it. -ESRCH (no such process), -EPERM, -ENOENT (it has no VM with statistics),
 * -ENOSYS.
 */
STET_API int stet_watch_open(int pid, struct stet_watch **watch, struct stet_error *error);

/*
 * What changed stage 2 since the last call (the first one: since the VM began): how often, by whom,
 * and what keeps it from happening again; for that the host's KVM needs stet's patches, without
 * them it is page counts only. *text is one JSON object or lines of a table, freed with
 * stet_text_free(). -ESRCH when the process has ended. One thread at a time for each watch.
 */
STET_API int stet_watch_report(struct stet_watch *watch, enum stet_format format, char **text,
			       struct stet_error *error);

STET_API void stet_watch_close(struct stet_watch *watch); /* NULL is fine */

STET_API void stet_text_free(char *text);

#ifdef __cplusplus
}
#endif

#endif
