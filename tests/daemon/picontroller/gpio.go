// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"os"
	"syscall"
)

// claimGPIO takes the hardware for this process alone, or fails at once: two owners of a Pi's GPIO must never meet, and
// the lock is how the lab would notice. It is held until the file is closed or the process is gone.
func claimGPIO(device string) (*os.File, error) {
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("gpio: %w; correct gpio.device, or set gpio.mock_mode", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("gpio: %s is in use by another process (%w); stop it, or set gpio.mock_mode", device, err)
	}
	return file, nil
}
