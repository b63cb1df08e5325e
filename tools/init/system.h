/* SPDX-License-Identifier: Apache-2.0 */
/* system: what a system has beside its files: mounts, modules, a name, a loopback interface. */
#ifndef TOOLS_INIT_SYSTEM_H
#define TOOLS_INIT_SYSTEM_H

/* Mounts /proc, /sys, /dev and below it, makes /tmp. What cannot be had is said and left. */
void system_mount(void);

/* Inserts files of SETTINGS_DIRECTORY, ended by NULL, in this order. */
void system_modules(const char *const *names);

/* The host's name, lo, and the root's size: all memory, where the kernel gave it half. */
void system_prepare(const char *hostname);

/* Removes SETTINGS_DIRECTORY: nothing of ours is seen by the command. */
void system_forget(void);

/* Unmounts what lies on a device. */
void system_unmount(void);

#endif
