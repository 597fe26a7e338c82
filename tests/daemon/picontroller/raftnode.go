// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	uuid "github.com/hashicorp/go-uuid"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	bolt "go.etcd.io/bbolt"
)

const peersFile = "peers.json"

// raftTimeout bounds the time until the leader takes a request; how long it then takes to commit is bounded by its lease.
const raftTimeout = 10 * time.Second

// raftNode is this node's Raft with everything that has to be closed after it.
type raftNode struct {
	*raft.Raft
	config        *Config
	fsm           *fsm
	logs, stable  *raftboltdb.BoltStore
	snapshots     *raft.FileSnapshotStore
	transport     *transport
	ids           idSource
	raftConfig    *raft.Config
	raftLogOutput hclog.Logger
}

func openRaft(c *Config, s *store) (*raftNode, error) {
	incarnation, err := loadIncarnation(c.RaftDir)
	if err != nil {
		return nil, err
	}
	n := &raftNode{config: c, fsm: &fsm{s, incarnation, c.DataPerNode}, ids: idSource{given: map[string]int64{}}}
	n.raftLogOutput = hclog.New(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info, Output: os.Stderr})
	n.raftConfig = raft.DefaultConfig()
	n.raftConfig.LocalID = raft.ServerID(c.ID)
	n.raftConfig.Logger = n.raftLogOutput
	n.raftConfig.HeartbeatTimeout = c.Heartbeat
	n.raftConfig.ElectionTimeout = c.Election
	// The lab's processors are few and busy: the longest lease that is allowed makes the fewest needless elections.
	n.raftConfig.LeaderLeaseTimeout = c.Heartbeat
	n.raftConfig.SnapshotInterval = c.SnapshotEvery
	n.raftConfig.SnapshotThreshold = c.SnapshotThreshold
	// A member that is removed goes on as a process that follows no leader, and says so in its status.
	n.raftConfig.ShutdownOnRemove = false
	if err := n.open(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *raftNode) open() error {
	var err error
	if n.logs, err = openBolt(filepath.Join(n.config.RaftDir, "raft-log.db")); err != nil {
		return err
	}
	if n.stable, err = openBolt(filepath.Join(n.config.RaftDir, "raft-stable.db")); err != nil {
		return err
	}
	if n.snapshots, err = raft.NewFileSnapshotStoreWithLogger(n.config.RaftDir, 2, n.raftLogOutput); err != nil {
		return err
	}
	tcp, err := raft.NewTCPTransportWithLogger(n.config.BindAddr, nil, 3, raftTimeout, n.raftLogOutput)
	if err != nil {
		return fmt.Errorf("raft cannot listen on %s: %w", n.config.BindAddr, err)
	}
	n.transport = &transport{NetworkTransport: tcp, quietFor: n.config.Election, quiet: map[raft.ServerAddress]time.Time{}}
	if n.config.Full {
		if err := n.recover(filepath.Join(n.config.RaftDir, peersFile)); err != nil {
			return fmt.Errorf("recovery with %s: %w", peersFile, err)
		}
	}
	if n.config.Bootstrap {
		self := raft.Server{ID: n.raftConfig.LocalID, Address: n.transport.LocalAddr()}
		err := raft.BootstrapCluster(n.raftConfig, n.logs, n.stable, n.snapshots, n.transport,
			raft.Configuration{Servers: []raft.Server{self}})
		if err != nil {
			return fmt.Errorf("bootstrap with state in %s: %w; set cluster.bootstrap to false", n.config.RaftDir, err)
		}
	}
	behind, err := n.behindSnapshot()
	if err != nil {
		return err
	}
	n.raftConfig.NoSnapshotRestoreOnStart = !behind
	n.Raft, err = raft.NewRaft(n.raftConfig, n.fsm, n.logs, n.stable, n.snapshots, n.transport)
	return err
}

func openBolt(path string) (*raftboltdb.BoltStore, error) {
	// Without a timeout a second daemon on the same folder would wait forever and never say why.
	opened, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &bolt.Options{Timeout: 3 * time.Second}})
	if err != nil {
		return nil, fmt.Errorf("cannot open %s (%w): is another daemon using it?", path, err)
	}
	return opened, nil
}

// loadIncarnation names the log in this folder. A folder that was wiped or put together by hand gets a new name, so that
// the database knows its applied index to be of something else.
func loadIncarnation(raftDir string) (string, error) {
	path := filepath.Join(raftDir, "incarnation")
	text, err := os.ReadFile(path)
	if err == nil && len(text) > 0 {
		return strings.TrimSpace(string(text)), nil
	}
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	name, err := uuid.GenerateUUID()
	if err != nil {
		return "", err
	}
	return name, writeDurably(path, []byte(name+"\n"))
}

// behindSnapshot says whether the database lacks what the newest snapshot holds. Normally it does not, and loading the
// snapshot would make reads go back.
func (n *raftNode) behindSnapshot() (bool, error) {
	found, err := n.snapshots.List()
	if err != nil || len(found) == 0 {
		return false, err
	}
	incarnation, index, err := applied(n.fsm.store.readers)
	return incarnation != n.fsm.incarnation || index < found[0].Index, err
}

// recover forces the membership in peers.json, as Consul, Nomad, Vault and rqlite do, and puts the file away.
func (n *raftNode) recover(path string) error {
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil
	}
	members, err := raft.ReadConfigJSON(path)
	if err != nil {
		return err
	}
	err = raft.RecoverCluster(n.raftConfig, n.fsm, n.logs, n.stable, n.snapshots, n.transport, members)
	if err != nil {
		return err
	}
	// A folder that was given nothing but a snapshot knows no term. Elections would start from 1, below the snapshot's,
	// and a member that has only the snapshot would then count as newer than those with writes after it.
	found, err := n.snapshots.List()
	if err != nil {
		return err
	}
	key := []byte("CurrentTerm")
	term, err := n.stable.GetUint64(key)
	if err != nil && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return err
	}
	if term < found[0].Term {
		if err := n.stable.SetUint64(key, found[0].Term); err != nil {
			return err
		}
	}
	log.Printf("recovered with the members of %s: %+v", path, members.Servers)
	return os.Rename(path, filepath.Join(filepath.Dir(path), "peers.info"))
}

func (n *raftNode) term() uint64 {
	term, _ := strconv.ParseUint(n.Stats()["term"], 10, 64)
	return term
}

func (n *raftNode) members() []raft.Server {
	return n.GetConfiguration().Configuration().Servers // answers from memory and cannot fail
}

// healthy is a leader, or a node that lately heard of one.
func (n *raftNode) healthy() bool {
	if n.State() == raft.Leader {
		return true
	}
	return n.Leader() != "" && time.Since(n.LastContact()) < 2*n.config.Election
}

func (n *raftNode) close() {
	if n.Raft != nil {
		done := make(chan struct{})
		go func() {
			if err := n.Shutdown().Error(); err != nil {
				log.Printf("raft shutdown: %v", err)
			}
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(3 * time.Second):
			log.Print("raft did not shut down within 3s; leaving anyway, its log is on disk")
			return
		}
	}
	if n.transport != nil {
		n.transport.Close()
	}
	for _, db := range []*raftboltdb.BoltStore{n.logs, n.stable} {
		if db != nil {
			db.Close()
		}
	}
}
