// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	yaml "gopkg.in/yaml.v2"
)

const defaultConfigFile = "/etc/pi-controller/pi-controller.yaml"

// Every key there is, with its default. A key that is not in here is one of the many of a real daemon's configuration
// that the test daemon has no use for, and is ignored.
var defaults = map[string]string{
	"profile":                    "full",
	"app.data_dir":               "/var/lib/pi-controller",
	"database.path":              "", // <app.data_dir>/pi-controller.db
	"auth.token":                 "",
	"auth.user":                  "", // with it, a login is needed and auth.token is not one
	"auth.password":              "",
	"auth.lifetime":              "15m",
	"app.environment":            "",
	"app.mode":                   "",
	"api.host":                   "0.0.0.0",
	"api.port":                   "8080",
	"api.tls_cert":               "",
	"api.tls_key":                "",
	"api.tls_client_ca":          "", // with it, a client needs a certificate
	"kubernetes.kubeconfig":      "",
	"grpc.host":                  "0.0.0.0",
	"grpc.port":                  "9090",
	"websocket.port":             "8081",
	"agent_server.enabled":       "false",
	"agent_server.port":          "9091",
	"webui.enabled":              "false",
	"webui.port":                 "3000",
	"kubernetes.enabled":         "false",
	"kubernetes.metrics_port":    "8082",
	"kubernetes.health_port":     "8083",
	"gpio.enabled":               "false",
	"gpio.mock_mode":             "false",
	"gpio.device":                "/dev/gpiochip0",
	"discovery.enabled":          "false",
	"cluster.enabled":            "false",
	"cluster.controller_id":      "", // the host's name
	"cluster.bind_addr":          "",
	"cluster.data_dir":           "", // <app.data_dir>/raft
	"cluster.bootstrap":          "false",
	"cluster.initial_peers":      "", // no node joins by itself: the leader adds members
	"cluster.heartbeat_timeout":  "1s",
	"cluster.election_timeout":   "1s",
	"cluster.snapshot_interval":  "30m",
	"cluster.snapshot_threshold": "8192",
}

// settings are the configured values under their dotted keys, with the first fault found while they were read.
type settings struct {
	values map[string]string
	fault  error
}

// loadSettings reads the file (with path empty: the default one, which may be missing), then the environment over it.
func loadSettings(path string, getenv func(string) (string, bool)) (*settings, error) {
	s := &settings{values: map[string]string{}}
	for key, value := range defaults {
		s.values[key] = value
	}
	name := path
	if name == "" {
		name = defaultConfigFile
	}
	text, err := os.ReadFile(name)
	if err != nil && !(path == "" && os.IsNotExist(err)) {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	tree := map[interface{}]interface{}{}
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("%s is not YAML: %w", name, err)
	}
	for key := range behaviours {
		s.values[key] = ""
	}
	s.take("", tree)
	s.chooseBehaviours()
	if s.flag("published.named_environment") {
		s.takeNamed(getenv)
		return s, nil
	}
	s.takeEnvironment(getenv)
	for key := range defaults {
		for _, spelling := range []string{strings.Replace(key, "cluster.", "clustering.", 1), key} {
			if value, ok := getenv("PI_CONTROLLER_" + strings.ToUpper(strings.ReplaceAll(spelling, ".", "_"))); ok {
				s.values[key] = value
			}
		}
	}
	s.chooseBehaviours() // the profile may come from the environment
	return s, nil
}

func (s *settings) take(prefix string, tree map[interface{}]interface{}) {
	for k, value := range tree {
		key := prefix + fmt.Sprint(k)
		if branch, ok := value.(map[interface{}]interface{}); ok {
			if key == "clustering" {
				key = "cluster"
			}
			s.take(key+".", branch)
			continue
		}
		_, known := defaults[key]
		if _, behaviour := behaviours[key]; !known && !behaviour || value == nil {
			continue
		}
		if list, ok := value.([]interface{}); ok {
			value = strings.Trim(strings.Join(strings.Fields(fmt.Sprint(list)), ","), "[]")
		}
		s.values[key] = fmt.Sprint(value)
	}
}

func (s *settings) fail(key, wanted string) {
	if s.fault == nil {
		s.fault = fmt.Errorf("%s: %q is not %s", key, s.values[key], wanted)
	}
}

func (s *settings) flag(key string) bool {
	value, err := strconv.ParseBool(s.values[key])
	if err != nil {
		s.fail(key, "true or false")
	}
	return value
}

func (s *settings) duration(key string) time.Duration {
	value, err := time.ParseDuration(s.values[key])
	if err != nil || value <= 0 {
		s.fail(key, "a duration such as 1s or 30m")
	}
	return value
}

func (s *settings) port(key string) string {
	if number, err := strconv.Atoi(s.values[key]); err != nil || number < 1 || number > 65535 {
		s.fail(key, "a port")
	}
	return s.values[key]
}

// listener is something besides REST and gRPC that a real daemon listens with: here it only takes its port.
type listener struct{ name, address string }

// Config is what the daemon runs on.
type Config struct {
	Full                  bool // the profile: all optional capabilities, or none
	Database, Token       string
	REST, GRPC            string
	TLSCert, TLSKey       string
	TLSClientCA           string
	User, Password        string
	TokenLifetime         time.Duration
	RequireTLS            bool
	RateLimit, RateBurst  int
	DataPerNode           bool
	OwnWrites             time.Duration
	CADir, JournalMode    string
	KubeconfigMissing     bool
	LateREST, SlowStop    time.Duration
	RaftRoutes404         bool
	Others                []listener
	GPIODevice            string // empty: no hardware
	Clustered, Bootstrap  bool
	ID, BindAddr, RaftDir string
	Heartbeat, Election   time.Duration
	SnapshotEvery         time.Duration
	SnapshotThreshold     uint64
}

func newConfig(s *settings) (*Config, error) {
	get := func(key, otherwise string) string {
		if s.values[key] == "" {
			return otherwise
		}
		return s.values[key]
	}
	host, _ := os.Hostname()
	data := s.values["app.data_dir"]
	c := &Config{
		Full:          s.values["profile"] == "full",
		Database:      get("database.path", filepath.Join(data, "pi-controller.db")),
		Token:         s.values["auth.token"],
		REST:          net.JoinHostPort(s.values["api.host"], s.port("api.port")),
		GRPC:          net.JoinHostPort(s.values["grpc.host"], s.port("grpc.port")),
		TLSCert:       s.values["api.tls_cert"],
		TLSKey:        s.values["api.tls_key"],
		Clustered:     s.flag("cluster.enabled"),
		Bootstrap:     s.flag("cluster.bootstrap"),
		ID:            get("cluster.controller_id", host),
		BindAddr:      s.values["cluster.bind_addr"],
		RaftDir:       get("cluster.data_dir", get("published.raft_dir", filepath.Join(data, "raft"))),
		Heartbeat:     s.duration("cluster.heartbeat_timeout"),
		Election:      s.duration("cluster.election_timeout"),
		SnapshotEvery: s.duration("cluster.snapshot_interval"),
	}
	if profile := s.values["profile"]; !c.Full && profile != "upstream" && profile != "published" {
		s.fail("profile", "full, upstream or published")
	}
	c.publishedKeys(s)
	var err error
	if c.SnapshotThreshold, err = strconv.ParseUint(s.values["cluster.snapshot_threshold"], 10, 64); err != nil {
		s.fail("cluster.snapshot_threshold", "a number of log entries")
	}
	if s.flag("gpio.enabled") && !s.flag("gpio.mock_mode") {
		c.GPIODevice = s.values["gpio.device"]
	}
	listen := func(name, key string) {
		c.Others = append(c.Others, listener{name, net.JoinHostPort(s.values["api.host"], s.port(key))})
	}
	listen("websocket", "websocket.port")
	if s.flag("agent_server.enabled") {
		listen("agent server", "agent_server.port")
	}
	if s.flag("webui.enabled") {
		listen("web UI", "webui.port")
	}
	if s.flag("kubernetes.enabled") {
		listen("metrics", "kubernetes.metrics_port")
		listen("health", "kubernetes.health_port")
	}
	if c.Clustered {
		c.checkBindAddr(s)
	}
	return c, s.fault
}

// checkBindAddr insists on an own IP: the same address is sent to the other members.
func (c *Config) checkBindAddr(s *settings) {
	if _, _, err := net.SplitHostPort(c.BindAddr); err != nil {
		c.BindAddr = net.JoinHostPort(c.BindAddr, "9091")
	}
	host, _, err := net.SplitHostPort(c.BindAddr)
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		s.fail("cluster.bind_addr", "this node's own IP and a port: it is what the other members use")
	}
}
