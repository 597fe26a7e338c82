// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// behaviours are what the releases of late 2025 do otherwise: the value of each key in the other profiles, and in profile
// `published`. Every one can be set by itself, in any profile.
var behaviours = map[string]struct{ other, published string }{
	"published.named_environment": {"false", "true"},             // D1: of the environment only these are read
	"published.data_per_node":     {"false", "true"},             // D2: nothing is replicated, followers take writes
	"published.own_writes":        {"0s", "30s"},                 // D3: how often, and at every start
	"published.rate_limit":        {"0", "60"},                   // D4: requests per minute and address
	"published.rate_burst":        {"10", "10"},                  // D4: at once
	"published.require_tls":       {"false", "true"},             // D5: where a login is needed, plain HTTP is answered 426
	"published.kubeconfig_needed": {"false", "true"},             // D8: kubernetes.enabled ends the process without one
	"published.ca_dir":            {"", "/etc/pi-controller/ca"}, // D9: a CA of this node
	"published.raft_dir":          {"", "data/raft"},             // D10: below the working directory
	"published.late_rest":         {"0s", "30s"},                 // D11: no REST before there is a leader, or that is over
	"published.slow_stop":         {"0s", "5s"},                  // D11: Bolt is locked until then; it may take 30 s
	"published.exit_zero":         {"false", "true"},             // D11: a failure ends with status 0
	"published.journal_mode":      {"WAL", "DELETE"},             // S1
	"published.raft_routes_404":   {"false", "true"},             // D12: without clustering
}

// named are the variables that the published daemon reads, with the key of each; SENTRY_… is read and without use here.
var named = map[string]string{
	"PI_CONTROLLER_API_PORT":  "api.port",
	"PI_CONTROLLER_API_HOST":  "api.host",
	"PI_CONTROLLER_LOG_LEVEL": "log.level",
	"PI_CONTROLLER_DEBUG":     "app.debug",
	"PI_CONTROLLER_DATA_DIR":  "app.data_dir",
	"PI_CONTROLLER_MODE":      "app.mode",
}

// chooseBehaviours fills in what was not set, by the profile.
func (s *settings) chooseBehaviours() {
	for key, value := range behaviours {
		if s.values[key] != "" {
			continue
		}
		s.values[key] = value.other
		if s.values["profile"] == "published" {
			s.values[key] = value.published
		}
	}
}

func (s *settings) takeNamed(getenv func(string) (string, bool)) {
	for variable, key := range named {
		if value, ok := getenv(variable); ok {
			s.values[key] = value
		}
	}
	s.takeEnvironment(getenv)
	if s.values["app.mode"] == "portable" {
		s.values["cluster.enabled"] = "false"
	}
}

// publishedKeys reads what profile `published` needs.
func (c *Config) publishedKeys(s *settings) {
	number := func(key string) int {
		value, err := strconv.Atoi(s.values[key])
		if err != nil || value < 0 {
			s.fail(key, "a number")
		}
		return value
	}
	c.TLSClientCA = s.values["api.tls_client_ca"]
	c.User, c.Password, c.TokenLifetime = s.values["auth.user"], s.values["auth.password"], s.duration("auth.lifetime")
	c.RequireTLS = s.flag("published.require_tls") && s.values["app.environment"] != "development"
	c.RateLimit, c.RateBurst = number("published.rate_limit"), number("published.rate_burst")
	c.DataPerNode = s.flag("published.data_per_node")
	c.OwnWrites, c.LateREST, c.SlowStop = s.span("published.own_writes"), s.span("published.late_rest"), s.span("published.slow_stop")
	c.CADir, c.JournalMode = s.values["published.ca_dir"], s.values["published.journal_mode"]
	if c.JournalMode != "WAL" && c.JournalMode != "DELETE" {
		s.fail("published.journal_mode", "WAL or DELETE")
	}
	c.RaftRoutes404 = s.flag("published.raft_routes_404")
	if s.flag("kubernetes.enabled") && s.flag("published.kubeconfig_needed") {
		_, err := os.Stat(s.values["kubernetes.kubeconfig"])
		c.KubeconfigMissing = err != nil
	}
}

// takeEnvironment reads the one setting that has two variables.
func (s *settings) takeEnvironment(getenv func(string) (string, bool)) {
	for _, variable := range []string{"ENVIRONMENT", "PI_CONTROLLER_ENVIRONMENT"} {
		if value, ok := getenv(variable); ok && value != "" {
			s.values["app.environment"] = value
		}
	}
}

// span is a duration that may be zero.
func (s *settings) span(key string) time.Duration {
	value, err := time.ParseDuration(s.values[key])
	if err != nil || value < 0 {
		s.fail(key, "a duration such as 0s or 30s")
	}
	return value
}

// guard answers before the daemon's own handlers do: too many requests, no TLS, a login.
func (s *server) guard(w http.ResponseWriter, r *http.Request) bool {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if !s.limits.allow(r.RemoteAddr) {
		s.limits.refuse(w)
		return false
	}
	if path == loginPath && s.logins != nil {
		s.logins.answer(w, r)
		return false
	}
	if s.config.RequireTLS && r.TLS == nil && s.needsLogin() && strings.HasPrefix(path, "/api/v1/") {
		w.Header().Set("Upgrade", "TLS/1.2, HTTP/1.1")
		answer(w, http.StatusUpgradeRequired, map[string]string{
			"error": "HTTPS Required", "message": "This endpoint requires HTTPS",
		})
		return false
	}
	return true
}

// awaitLeader holds up REST until some node leads, as the published daemon does, and not forever.
func awaitLeader(node *raftNode, longest time.Duration, stop <-chan os.Signal) bool {
	for deadline := time.Now().Add(longest); node.Leader() == "" && time.Now().Before(deadline); {
		select {
		case <-stop:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}
