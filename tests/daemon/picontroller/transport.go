// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var errQuiet = errors.New("no heartbeats while leadership is handed over")

// transport is Raft's own, but for one thing: a leader that has asked a member to start an election sends it no more
// heartbeats until that must be over. With 1.1.2 a heartbeat that crosses the member's first vote makes it a follower
// again, after the old leader has stepped down: then no node leads until the next timeout, and often a third member.
type transport struct {
	*raft.NetworkTransport
	quietFor time.Duration
	mutex    sync.Mutex
	quiet    map[raft.ServerAddress]time.Time // until when
}

func (t *transport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, request *raft.TimeoutNowRequest,
	response *raft.TimeoutNowResponse) error {
	t.mutex.Lock()
	t.quiet[target] = time.Now().Add(t.quietFor)
	t.mutex.Unlock()
	return t.NetworkTransport.TimeoutNow(id, target, request, response)
}

func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, request *raft.AppendEntriesRequest,
	response *raft.AppendEntriesResponse) error {
	t.mutex.Lock()
	quiet := time.Now().Before(t.quiet[target])
	t.mutex.Unlock()
	if quiet && len(request.Entries) == 0 && request.PrevLogEntry == 0 { // as Raft itself knows a heartbeat
		return errQuiet
	}
	return t.NetworkTransport.AppendEntries(id, target, request, response)
}
