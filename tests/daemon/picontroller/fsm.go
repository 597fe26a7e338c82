// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// command is one write as it is in the Raft log. Whatever replicas could disagree on is decided by the leader before.
type command struct {
	Op    string          `json:"op"` // create, update, delete
	Table string          `json:"table"`
	ID    int64           `json:"id"`
	Term  uint64          `json:"term,omitempty"` // of the leader that chose the id
	Name  *string         `json:"name,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
	Time  string          `json:"time"`
}

// outcome is what came of a command; err says why it changed nothing.
type outcome struct {
	object object
	err    error
}

// fsm applies the log to the store. The database is durable by itself and notes in each transaction how far it has got,
// so a restart replays only what it misses: reads never go back.
type fsm struct {
	store       *store
	incarnation string // of this node's Raft folder: indexes of another log mean nothing here
	perNode     bool   // what is stored stays here: no snapshot of another node replaces it
}

func (f *fsm) Apply(entry *raft.Log) interface{} {
	return f.ApplyBatch([]*raft.Log{entry})[0]
}

// ApplyBatch makes one transaction of what was committed together. It is also shown membership changes, without which
// Raft 1.1.2 would refuse a snapshot right after one. A replica that cannot apply an entry must not go on
// without it, so a broken database ends the process: the log has everything for the next start.
func (f *fsm) ApplyBatch(entries []*raft.Log) []interface{} {
	var results []interface{}
	err := f.store.write(func(tx *sql.Tx) error {
		results = make([]interface{}, len(entries))
		incarnation, index, err := applied(tx)
		if err != nil {
			return err
		}
		if incarnation != f.incarnation {
			index = 0
		}
		last := index
		for i, entry := range entries {
			if entry.Type != raft.LogCommand {
				continue
			}
			if entry.Index <= index {
				results[i] = outcome{err: errReplayed}
				continue
			}
			result, err := applyEntry(tx, entry)
			if err != nil {
				return err
			}
			results[i], last = result, entry.Index
		}
		if last == index {
			return nil
		}
		return setApplied(tx, f.incarnation, last)
	})
	if err != nil {
		log.Fatalf("cannot apply entries %d to %d: %v", entries[0].Index, entries[len(entries)-1].Index, err)
	}
	return results
}

func applyEntry(tx *sql.Tx, entry *raft.Log) (outcome, error) {
	var c command
	if err := json.Unmarshal(entry.Data, &c); err != nil {
		return outcome{err: fmt.Errorf("entry %d is not a command: %w", entry.Index, err)}, nil
	}
	if c.Op == "create" && c.Term != entry.Term {
		return outcome{err: errReplayed}, nil // its id was chosen before leadership changed hands
	}
	return applyCommand(tx, c)
}

// applyCommand changes the database. Its error is one of the database; that of the outcome is the same on all replicas.
func applyCommand(tx *sql.Tx, c command) (outcome, error) {
	var changed sql.Result
	var err error
	switch c.Op {
	case "create":
		// Ids go up and are never used twice. One that was given out is not new: a log replayed over a copy of
		// the leader's database must not make rows again that are there, or were deleted since.
		last, fault := lastID(tx, c.Table)
		if fault != nil {
			return outcome{}, fault
		}
		if c.ID <= last {
			return outcome{err: errReplayed}, nil
		}
		changed, err = tx.Exec("INSERT INTO "+c.Table+" (id, name, data, created_at, updated_at) VALUES (?, ?, ?, ?, ?)", c.ID, c.Name, string(c.Data), c.Time, c.Time)
	case "update":
		changed, err = tx.Exec("UPDATE "+c.Table+" SET name = COALESCE(?, name), data = ?, updated_at = ? WHERE id = ?",
			c.Name, string(c.Data), c.Time, c.ID)
	case "delete":
		changed, err = tx.Exec("DELETE FROM "+c.Table+" WHERE id = ?", c.ID)
	default:
		return outcome{err: fmt.Errorf("unknown operation %q", c.Op)}, nil
	}
	if err != nil {
		return outcome{}, err
	}
	if rows, err := changed.RowsAffected(); err != nil {
		return outcome{}, err
	} else if rows == 0 {
		return outcome{err: errNotFound}, nil
	}
	if c.Op == "delete" {
		return outcome{}, nil
	}
	found, err := getObject(tx, c.Table, c.ID)
	return outcome{object: found}, err
}

// Snapshot copies the database at once: it must be the state of exactly the entries applied by now.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	folder, path, err := f.store.copyOut()
	if err != nil {
		return nil, err
	}
	return &stateCopy{folder, path}, nil
}

// Restore puts a state in the place of the database, whose other users go on undisturbed.
func (f *fsm) Restore(state io.ReadCloser) error {
	defer state.Close()
	if f.perNode {
		return nil
	}
	folder, err := os.MkdirTemp(f.store.folder, "state-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "state.db")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, state)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return f.store.replaceBy(path, f.incarnation)
}

type stateCopy struct{ folder, path string }

func (c *stateCopy) Persist(sink raft.SnapshotSink) error {
	file, err := os.Open(c.path)
	if err == nil {
		defer file.Close()
		_, err = io.Copy(sink, file)
	}
	if err != nil {
		sink.Cancel()
		return err
	}
	return sink.Close()
}

func (c *stateCopy) Release() { os.RemoveAll(c.folder) }
