// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
)

var errFenced = errors.New("this node is read-only")

// fence is the read-only switch of one node. Writes hold it shared from before the check until they are answered; the
// switch takes it alone, so that when it has returned no write is in flight. Its file makes a restart keep it.
type fence struct {
	mutex  sync.RWMutex
	closed bool
	file   string
}

func openFence(raftDir string) *fence {
	f := &fence{file: filepath.Join(raftDir, "read-only")}
	_, err := os.Stat(f.file)
	f.closed = err == nil
	return f
}

func (f *fence) enabled() bool {
	f.mutex.RLock()
	defer f.mutex.RUnlock()
	return f.closed
}

func (f *fence) set(closed bool) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var err error
	if closed {
		err = writeDurably(f.file, []byte("writes are refused\n"))
	} else if err = os.Remove(f.file); os.IsNotExist(err) {
		err = nil
	}
	if err == nil {
		f.closed = closed
	}
	return err
}

// writeDurably returns when the file and its name would survive a power cut.
func writeDurably(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
