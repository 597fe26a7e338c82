// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/raft"
)

const membersPath = "/api/v1/raft/members"

// member has the field names of Go, as today's releases answer them.
type member struct {
	ID, Address string
	Voter       bool
}

func (s *server) raftRoutes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /api/v1/raft/status":     s.status,
		"GET /api/v1/raft/leader":     s.leader,
		"GET /api/v1/raft/health":     s.health,
		"GET " + membersPath:          s.listMembers,
		"POST " + membersPath:         s.leaderOnly(s.addMember),
		"DELETE " + membersPath + "/": s.leaderOnly(s.removeMember),
	}
}

func (s *server) raftCall(w http.ResponseWriter, r *http.Request, path string) {
	route := path
	if strings.HasPrefix(path, membersPath+"/") {
		route = membersPath + "/"
	}
	handler, known := s.routes[r.Method+" "+route]
	switch {
	case !known || s.node == nil && s.config.RaftRoutes404:
		refuse(w, 404, "no such path")
	case s.node == nil:
		refuse(w, 503, "Clustering not enabled")
	default:
		handler(w, r)
	}
}

func (s *server) leaderOnly(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.node.State() != raft.Leader {
			s.notLeader(w)
			return
		}
		handler(w, r)
	}
}

func (s *server) members() []member {
	found := []member{}
	for _, one := range s.node.members() {
		found = append(found, member{string(one.ID), string(one.Address), one.Suffrage == raft.Voter})
	}
	return found
}

func (s *server) healthReport() map[string]interface{} {
	return map[string]interface{}{
		"healthy":      s.node.healthy(),
		"state":        s.node.State().String(),
		"leader":       string(s.node.Leader()),
		"last_contact": s.node.Stats()["last_contact"],
	}
}

func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	members, stats := s.members(), s.node.Stats()
	answer(w, 200, map[string]interface{}{
		"state":        stats["state"],
		"leader":       string(s.node.Leader()),
		"is_leader":    stats["state"] == raft.Leader.String(),
		"members":      members,
		"member_count": len(members),
		"health":       s.healthReport(),
		"raft_stats":   stats,
	})
}

func (s *server) listMembers(w http.ResponseWriter, _ *http.Request) {
	members := s.members()
	answer(w, 200, map[string]interface{}{"members": members, "total": len(members)})
}

func (s *server) leader(w http.ResponseWriter, _ *http.Request) {
	answer(w, 200, map[string]interface{}{
		"leader": string(s.node.Leader()), "is_leader": s.node.State() == raft.Leader,
	})
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	status := 200
	if !s.node.healthy() {
		status = 503
	}
	answer(w, status, s.healthReport())
}

func (s *server) addMember(w http.ResponseWriter, r *http.Request) {
	var body struct {
		ID      string `json:"node_id"`
		Address string `json:"address"`
		Voter   *bool  `json:"voter"`
	}
	if !readJSON(w, r, &body) {
		return
	}
	if body.ID == "" || body.Address == "" {
		refuse(w, 400, "node_id and address are both needed")
		return
	}
	add := s.node.AddVoter
	// Today's releases do not know the field, so a learner becomes a voter there.
	if s.config.Full && body.Voter != nil && !*body.Voter {
		add = s.node.AddNonvoter
	}
	err := add(raft.ServerID(body.ID), raft.ServerAddress(body.Address), 0, raftTimeout).Error()
	s.changed(w, "member added", body.ID, err)
}

func (s *server) removeMember(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(strings.TrimSuffix(r.URL.Path, "/"), membersPath+"/")
	s.changed(w, "member removed", id, s.node.RemoveServer(raft.ServerID(id), 0, raftTimeout).Error())
}

// changed answers a leader's call: 503 where the outcome is not known, 500 where Raft refused.
func (s *server) changed(w http.ResponseWriter, done, id string, err error) {
	switch {
	case err == nil:
		answer(w, 200, map[string]string{"message": done, "node_id": id})
	case errors.Is(err, raft.ErrNotLeader):
		s.notLeader(w)
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrEnqueueTimeout),
		errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrRaftShutdown):
		answer(w, 503, map[string]string{"error": err.Error(), "leader": string(s.node.Leader())})
	default:
		refuse(w, 500, err.Error())
	}
}
