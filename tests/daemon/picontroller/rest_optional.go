// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

func (s *server) takeSnapshot(w http.ResponseWriter, _ *http.Request) {
	// A new leader may still have to apply what the one before acknowledged, and after a start Raft takes no snapshot
	// before there is an entry to apply. A barrier sees to both.
	if s.node.State() == raft.Leader {
		if err := s.node.Barrier(raftTimeout).Error(); err != nil {
			s.changed(w, "", "", err)
			return
		}
	}
	meta, err := s.newestSnapshot()
	if err != nil {
		s.changed(w, "", "", err)
		return
	}
	answer(w, 200, map[string]interface{}{
		"id": meta.ID, "index": meta.Index, "term": meta.Term, "size": meta.Size,
		"path": filepath.Join(s.config.RaftDir, "snapshots", meta.ID),
	})
}

// newestSnapshot takes one, or where a follower has applied nothing since its start gives the one it has.
func (s *server) newestSnapshot() (*raft.SnapshotMeta, error) {
	future := s.node.Snapshot()
	err := future.Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		if found, listed := s.node.snapshots.List(); listed == nil && len(found) > 0 {
			return found[0], nil
		}
	}
	if err != nil {
		return nil, err
	}
	meta, content, err := future.Open()
	if err != nil {
		return nil, err
	}
	return meta, content.Close()
}

func (s *server) restore(w http.ResponseWriter, r *http.Request) {
	if s.node.State() != raft.Leader {
		s.notLeader(w)
		return
	}
	folder, err := os.MkdirTemp(s.store.folder, "state-")
	if err != nil {
		refuse(w, 500, err.Error())
		return
	}
	defer os.RemoveAll(folder)
	state, err := os.OpenFile(filepath.Join(folder, "state.db"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		refuse(w, 500, err.Error())
		return
	}
	defer state.Close()
	size, err := io.Copy(state, r.Body)
	if err == nil && r.ContentLength >= 0 && size != r.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err == nil { // Raft ends the process when the state machine cannot take a state, so look before
		err = s.store.checkState(state.Name())
	}
	if err == nil {
		_, err = state.Seek(0, io.SeekStart)
	}
	if err != nil {
		refuse(w, 400, "cannot restore this: "+err.Error())
		return
	}
	// Alone, since Raft would abort the writes in flight.
	s.fence.mutex.Lock()
	defer s.fence.mutex.Unlock()
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Size: size}
	err = s.node.Restore(meta, state, raftTimeout)
	s.changed(w, "state restored", s.config.ID, err)
}

func (s *server) transfer(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Target string `json:"target_id"`
	}
	if !readJSON(w, r, &body) {
		return
	}
	if s.node.State() != raft.Leader {
		s.notLeader(w)
		return
	}
	for _, one := range s.node.members() {
		if string(one.ID) == body.Target && one.Suffrage == raft.Voter {
			s.changed(w, "leadership transferred", body.Target, s.handOver(one))
			return
		}
	}
	refuse(w, 400, "target_id "+body.Target+" is not a voter of this cluster")
}

// handOver returns when the target leads. Raft itself only tells it to start an election.
func (s *server) handOver(target raft.Server) error {
	if string(target.ID) == s.config.ID {
		return nil
	}
	// Without writes: 1.1.2 takes entries that are on their way for arrived, and a target that lacks one is not elected.
	s.fence.mutex.Lock()
	defer s.fence.mutex.Unlock()
	if err := s.node.LeadershipTransferToServer(target.ID, target.Address).Error(); err != nil {
		return err
	}
	for deadline := time.Now().Add(3 * s.config.Election); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if s.node.State() != raft.Leader && s.node.Leader() == target.Address {
			return nil
		}
	}
	return errors.New("leadership did not arrive at " + string(target.ID) + ": the leader is now " + string(s.node.Leader()))
}

func (s *server) getReadOnly(w http.ResponseWriter, _ *http.Request) {
	answer(w, 200, map[string]bool{"enabled": s.fence.enabled()})
}

func (s *server) putReadOnly(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Enabled *bool `json:"enabled"`
	}
	if !readJSON(w, r, &body) {
		return
	}
	if body.Enabled == nil {
		refuse(w, 400, "enabled is needed")
		return
	}
	if err := s.fence.set(*body.Enabled); err != nil {
		refuse(w, 500, err.Error())
		return
	}
	answer(w, 200, map[string]bool{"enabled": *body.Enabled})
}
