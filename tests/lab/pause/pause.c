/* GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt) */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Holds a pod's namespaces open. As process 1 it gets no signal it has no handler for, so it needs one to end at once. */
#include <signal.h>
#include <unistd.h>

static void end(int number) { _exit(128 + number); }

int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    signal(SIGCHLD, SIG_IGN);
    for (;;) pause();
}
