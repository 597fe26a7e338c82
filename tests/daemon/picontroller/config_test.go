// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, text string, environment map[string]string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := loadSettings(path, func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	})
	if err != nil {
		t.Fatal(err)
	}
	return newConfig(read)
}

func TestTheEnvironmentComesOverTheFile(t *testing.T) {
	text := "api: {port: 8000}\nclustering: {enabled: true, bind_addr: 10.0.0.1:9091}\n"
	config, err := load(t, text, map[string]string{"PI_CONTROLLER_API_PORT": "8082"})
	if err != nil {
		t.Fatal(err)
	}
	if config.REST != "0.0.0.0:8082" || !config.Clustered || config.BindAddr != "10.0.0.1:9091" {
		t.Errorf("REST %s, clustered %v, bind_addr %s", config.REST, config.Clustered, config.BindAddr)
	}
}

func TestAValueThatCannotBeIsRefusedByItsKey(t *testing.T) {
	for text, key := range map[string]string{
		"profile: half":      "profile",
		"api: {port: 70000}": "api.port",
		"cluster: {enabled: true, bind_addr: 0.0.0.0}": "cluster.bind_addr",
		"cluster: {heartbeat_timeout: soon}":           "cluster.heartbeat_timeout",
		"cluster: {snapshot_threshold: -1}":            "cluster.snapshot_threshold",
		"gpio: {enabled: perhaps}":                     "gpio.enabled",
	} {
		if _, err := load(t, text, nil); err == nil || !strings.HasPrefix(err.Error(), key+":") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
