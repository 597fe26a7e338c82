// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// maxCommand keeps a write within what Raft suggests for one log entry.
const maxCommand = 256 << 10

// server answers REST. node is nil where clustering is off.
type server struct {
	config *Config
	store  *store
	writes committer
	node   *raftNode
	fence  *fence
	routes map[string]http.HandlerFunc
	limits *limiter
	logins *logins // nil where no user is configured
}

func newServer(c *Config, s *store, n *raftNode) (*server, error) {
	server := &server{config: c, store: s, node: n, fence: openFence(c.RaftDir), routes: map[string]http.HandlerFunc{}}
	server.limits = newLimiter(c.RateLimit, c.RateBurst)
	if c.User != "" {
		var err error
		if server.logins, err = newLogins(c.User, c.Password, c.TokenLifetime); err != nil {
			return nil, err
		}
	}
	if n == nil || c.DataPerNode {
		server.writes = &standalone{store: s}
	} else {
		server.writes = n
	}
	for _, routes := range []map[string]http.HandlerFunc{server.raftRoutes(), server.optionalRoutes()} {
		for route, handler := range routes {
			server.routes[route] = handler
		}
	}
	return server, nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if !s.guard(w, r) {
		return
	}
	switch {
	case path == "/health":
		answer(w, 200, map[string]string{"status": "healthy"})
	case path == "/ready":
		s.ready(w)
	case !strings.HasPrefix(path, "/api/v1/"):
		refuse(w, 404, "no such path")
	case !s.allowed(r):
		refuse(w, 401, "Unauthorized")
	case strings.HasPrefix(path, "/api/v1/raft/"):
		s.raftCall(w, r, path)
	default:
		s.resource(w, r, strings.Split(strings.TrimPrefix(path, "/api/v1/"), "/"))
	}
}

func (s *server) allowed(r *http.Request) bool {
	given := []byte(r.Header.Get("Authorization"))
	if s.logins != nil {
		return s.logins.valid(strings.TrimPrefix(string(given), "Bearer "), time.Now())
	}
	return s.config.Token == "" || subtle.ConstantTimeCompare(given, []byte("Bearer "+s.config.Token)) == 1
}

func (s *server) needsLogin() bool { return s.logins != nil || s.config.Token != "" }

func (s *server) ready(w http.ResponseWriter) {
	if _, _, err := applied(s.store.readers); err != nil {
		refuse(w, 503, err.Error())
	} else if s.node != nil && s.node.Leader() == "" {
		refuse(w, 503, "no leader known")
	} else {
		answer(w, 200, map[string]string{"status": "ready"})
	}
}

// resource is the user's data: /api/v1/<table> and /api/v1/<table>/<id>.
func (s *server) resource(w http.ResponseWriter, r *http.Request, parts []string) {
	known := false
	for _, table := range tables {
		known = known || table == parts[0]
	}
	var id int64
	var err error
	if len(parts) == 2 {
		id, err = strconv.ParseInt(parts[1], 10, 64)
	}
	if !known || len(parts) > 2 || err != nil {
		refuse(w, 404, "no such path")
		return
	}
	switch one := len(parts) == 2; {
	case r.Method == http.MethodGet && one:
		found, err := getObject(s.store.readers, parts[0], id)
		s.reply(w, 200, found, err)
	case r.Method == http.MethodGet:
		found, err := objects(s.store.readers, parts[0])
		if err != nil {
			refuse(w, 500, err.Error())
			return
		}
		answer(w, 200, map[string]interface{}{parts[0]: found, "total": len(found)})
	case r.Method == http.MethodPost && !one:
		s.write(w, r, 201, command{Op: "create", Table: parts[0]})
	case r.Method == http.MethodPut && one:
		s.write(w, r, 200, command{Op: "update", Table: parts[0], ID: id})
	case r.Method == http.MethodDelete && one:
		s.write(w, r, 204, command{Op: "delete", Table: parts[0], ID: id})
	default:
		refuse(w, 405, "no such method here")
	}
}

func (s *server) write(w http.ResponseWriter, r *http.Request, status int, c command) {
	c.Time = now()
	if c.Op != "delete" {
		if err := readFields(w, r, &c); err != nil {
			refuse(w, 400, err.Error())
			return
		}
	}
	// Only now: a client that is slow to send its body must not hold up the fence.
	s.fence.mutex.RLock()
	defer s.fence.mutex.RUnlock()
	if s.fence.closed {
		s.reply(w, status, nil, errFenced)
		return
	}
	if s.node != nil && !s.config.DataPerNode && s.node.State() != raft.Leader {
		s.reply(w, status, nil, raft.ErrNotLeader)
		return
	}
	found, err := s.writes.commit(c)
	s.reply(w, status, found, err)
}

// readFields splits the client's object into its name and the rest; what the daemon itself sets is left out.
func readFields(w http.ResponseWriter, r *http.Request, c *command) error {
	fields := map[string]json.RawMessage{}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCommand)).Decode(&fields); err != nil {
		return err
	}
	if name, ok := fields["name"]; ok {
		if err := json.Unmarshal(name, &c.Name); err != nil {
			return errors.New("name is not a string")
		}
	}
	for _, own := range []string{"id", "name", "created_at", "updated_at"} {
		delete(fields, own)
	}
	var err error
	c.Data, err = json.Marshal(fields)
	return err
}

// reply answers a read of one object, or a write. A client may take 403 and 404 as "not done"; 503 from here on means
// that it cannot know.
func (s *server) reply(w http.ResponseWriter, status int, found object, err error) {
	switch {
	case err == nil && status == 204:
		w.WriteHeader(204)
	case err == nil:
		answer(w, status, found)
	case errors.Is(err, errNotFound):
		refuse(w, 404, err.Error())
	case errors.Is(err, errFenced):
		w.Header().Set("Retry-After", "1")
		refuse(w, 503, err.Error())
	case errors.Is(err, raft.ErrNotLeader) && s.node.Leader() != "":
		s.notLeader(w)
	case s.node == nil:
		refuse(w, 500, err.Error())
	default:
		answer(w, 503, map[string]string{"error": err.Error(), "leader": string(s.node.Leader())})
	}
}

func (s *server) notLeader(w http.ResponseWriter) {
	answer(w, 403, map[string]string{"error": "this node is not the leader", "leader": string(s.node.Leader())})
}

func answer(w http.ResponseWriter, status int, body interface{}) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, map[string]string{"error": why})
}

// readJSON fills target from a request's body, and tells the client where that is not possible.
func readJSON(w http.ResponseWriter, r *http.Request, target interface{}) bool {
	err := json.NewDecoder(io.LimitReader(r.Body, maxCommand)).Decode(target)
	if err != nil {
		refuse(w, 400, "the body is not the JSON wanted here: "+err.Error())
	}
	return err == nil
}
