// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"database/sql"
	"encoding/json"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// committer makes writes durable: through Raft, or alone where clustering is off.
type committer interface {
	commit(command) (object, error)
}

// idSource hands out ids on the leader. They are part of the command and not chosen while it is applied, so that the
// same log gives the same rows also over a database that is ahead of it.
type idSource struct {
	mutex sync.Mutex
	term  uint64 // the term in which all of the past is known to be in the database
	given map[string]int64
}

// commit returns when the write is committed and applied here. Only raft.ErrNotLeader says that it never will be.
func (n *raftNode) commit(c command) (object, error) {
	future, err := n.propose(c)
	if err != nil {
		return nil, err
	}
	if err := future.Error(); err != nil {
		return nil, err
	}
	result := future.Response().(outcome)
	return result.object, result.err
}

func (n *raftNode) propose(c command) (raft.ApplyFuture, error) {
	if c.Op == "create" {
		// Held until Raft has taken the command: ids are in the log in ascending order.
		n.ids.mutex.Lock()
		defer n.ids.mutex.Unlock()
		var err error
		if c.ID, c.Term, err = n.nextID(c.Table); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return n.Apply(text, raftTimeout), nil
}

// nextID needs the mutex of ids.
func (n *raftNode) nextID(table string) (id int64, term uint64, err error) {
	for term = n.term(); n.ids.term != term; term = n.term() {
		// A new leader may still have to apply what the one before gave ids to.
		if err := n.Barrier(raftTimeout).Error(); err != nil {
			return 0, 0, err
		}
		n.ids.term = term
	}
	id, err = lastID(n.fsm.store.readers, table)
	if err != nil {
		return 0, 0, err
	}
	if given := n.ids.given[table]; given > id { // still on their way
		id = given
	}
	id++
	n.ids.given[table] = id
	return id, term, nil
}

// standalone is a daemon with clustering off.
type standalone struct {
	mutex sync.Mutex
	store *store
}

func (s *standalone) commit(c command) (object, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var result outcome
	err := inTransaction(s.store.writer, func(tx *sql.Tx) error {
		var err error
		if c.Op == "create" {
			if c.ID, err = lastID(tx, c.Table); err != nil {
				return err
			}
			c.ID++
		}
		result, err = applyCommand(tx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result.object, result.err
}

func now() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000000Z") }
