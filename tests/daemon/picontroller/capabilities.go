// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import "net/http"

// The optional capabilities of profile full. Profile upstream has none of their routes, so that they answer 404.
var capabilities = []string{"capabilities", "learners", "read-only", "recovery", "restore", "snapshot", "transfer"}

func (s *server) optionalRoutes() map[string]http.HandlerFunc {
	if !s.config.Full {
		return nil
	}
	return map[string]http.HandlerFunc{
		"GET /api/v1/raft/capabilities":     func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, capabilities) },
		"POST /api/v1/raft/snapshot":        s.takeSnapshot,
		"POST /api/v1/raft/restore":         s.restore,
		"POST /api/v1/raft/leader/transfer": s.transfer,
		"GET /api/v1/raft/read-only":        s.getReadOnly,
		"PUT /api/v1/raft/read-only":        s.putReadOnly,
	}
}
