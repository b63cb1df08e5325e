/* SPDX-License-Identifier: Apache-2.0 */
/* relay: carries the command's streams, signals and exit code over the socket. */
#ifndef TOOLS_INIT_RELAY_H
#define TOOLS_INIT_RELAY_H

#include "tools/init/settings.h"

/*
 * Runs the command of the settings to its end, and reaps whatever else ends meanwhile. Returns when
 * stet has the exit code and all output before it, or the socket has failed. SIGCHLD is
 * blocked by it.
 */
void relay_run(int socket_fd, const struct settings *settings);

#endif
