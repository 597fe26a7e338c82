// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestD1OnlyNamedVariablesAreRead(t *testing.T) {
	environment := map[string]string{
		"PI_CONTROLLER_API_PORT": "8082", "PI_CONTROLLER_DATA_DIR": "/data", "PI_CONTROLLER_GRPC_PORT": "9093",
		"PI_CONTROLLER_CLUSTER_BIND_ADDR": "10.0.0.1:9092", "PI_CONTROLLER_PROFILE": "full",
	}
	config, err := load(t, "profile: published\ncluster: {enabled: true, bind_addr: 10.0.0.1:9091}", environment)
	if err != nil {
		t.Fatal(err)
	}
	if config.REST != "0.0.0.0:8082" || config.Database != "/data/pi-controller.db" {
		t.Errorf("REST %s, database %s", config.REST, config.Database)
	}
	if config.GRPC != "0.0.0.0:9090" || config.BindAddr != "10.0.0.1:9091" || config.Full {
		t.Errorf("gRPC %s, bind_addr %s, full %v", config.GRPC, config.BindAddr, config.Full)
	}
}

func TestD1EachBehaviourHasAKeyOfItsOwn(t *testing.T) {
	for key, value := range behaviours {
		section, name, _ := strings.Cut(key, ".")
		for _, profile := range []string{"full", "published"} {
			set := map[string]string{"full": value.published, "published": value.other}[profile]
			if set == "" {
				continue
			}
			text := "profile: " + profile + "\n" + section + ": {" + name + ": " + set + "}"
			path := filepath.Join(t.TempDir(), "c.yaml")
			if err := writeDurably(path, []byte(text)); err != nil {
				t.Fatal(err)
			}
			read, err := loadSettings(path, func(string) (string, bool) { return "", false })
			if err != nil || read.values[key] != set {
				t.Errorf("%s in %s: %q, %v", key, profile, read.values[key], err)
			}
			for other, values := range behaviours {
				wanted := map[string]string{"full": values.other, "published": values.published}[profile]
				if other != key && read.values[other] != wanted {
					t.Errorf("%s: %s also changed %s", profile, key, other)
				}
			}
		}
	}
}

func TestD4ALimitForEachAddressButLoopbacks(t *testing.T) {
	at := time.Unix(0, 0)
	l := newLimiter(60, 10)
	l.clock = func() time.Time { return at }
	allowed := func(remote string, calls int) (count int) {
		for range calls {
			if l.allow(remote) {
				count++
			}
		}
		return
	}
	for remote, wanted := range map[string]int{"10.0.0.1:5": 10, "127.0.0.2:5": 10, "127.0.0.1:5": 50, "[::1]:5": 50} {
		if found := allowed(remote, 50); found != wanted {
			t.Errorf("%s: %d of 50, wanted %d", remote, found, wanted)
		}
	}
	at = at.Add(3 * time.Second)
	if found := allowed("10.0.0.1:6", 50); found != 3 {
		t.Errorf("%d after 3 s, wanted 3", found)
	}
}

func request(t *testing.T, s *server, method, path, body string, headers map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	made := httptest.NewRequest(method, path, strings.NewReader(body))
	for name, value := range headers {
		made.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, made)
	return answer
}

func open(t *testing.T, c Config) *server {
	t.Helper()
	folder := t.TempDir()
	c.RaftDir = folder
	if c.JournalMode == "" {
		c.JournalMode = "WAL"
	}
	store, err := openStore(filepath.Join(folder, "pi.db"), folder, c.JournalMode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.close)
	s, err := newServer(&c, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestD4TheEleventhRequestIsRefused(t *testing.T) {
	s := open(t, Config{RateLimit: 60, RateBurst: 10})
	for number := 1; number <= 11; number++ {
		answer := request(t, s, "GET", "/health", "", nil)
		if wanted := map[bool]int{true: 429, false: 200}[number > 10]; answer.Code != wanted {
			t.Fatalf("request %d: %d", number, answer.Code)
		}
	}
}

func TestD5ATokenIsOfOneProcessAndOfItsTime(t *testing.T) {
	one, _ := newLogins("pi", "secret", time.Minute)
	other, _ := newLogins("pi", "secret", time.Minute)
	now := time.Now()
	token := one.issue(now)
	if !one.valid(token, now) || other.valid(token, now) || one.valid(token, now.Add(2*time.Minute)) || one.valid(token+"x", now) {
		t.Error("a token is valid where and when it must not be, or not where it must")
	}
}

func TestD5ALoginGivesAToken(t *testing.T) {
	s := open(t, Config{User: "pi", Password: "secret", TokenLifetime: time.Minute})
	if answer := request(t, s, "POST", loginPath, `{"username":"pi","password":"wrong"}`, nil); answer.Code != 401 {
		t.Errorf("wrong password: %d", answer.Code)
	}
	answer := request(t, s, "POST", loginPath, `{"username":"pi","password":"secret"}`, nil)
	_, rest, _ := strings.Cut(answer.Body.String(), `"access_token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	for given, wanted := range map[string]int{"": 401, "Bearer x.y.z": 401, "Bearer " + token: 200} {
		if found := request(t, s, "GET", "/api/v1/nodes", "", map[string]string{"Authorization": given}); found.Code != wanted {
			t.Errorf("%q: %d", given, found.Code)
		}
	}
}

func TestD5PlainHTTPIsRefusedOutsideDevelopment(t *testing.T) {
	for text, wanted := range map[string]int{"auth: {user: pi}": 426, "auth: {user: pi}\napp: {environment: development}": 401, "": 200} {
		config, err := load(t, "profile: published\n"+text, nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer := request(t, open(t, *config), http.MethodGet, "/api/v1/nodes", "", nil); answer.Code != wanted {
			t.Errorf("%q: %d, wanted %d", text, answer.Code, wanted)
		}
	}
}

func TestD3EveryStartWritesWhenNodesWereSeen(t *testing.T) {
	s := open(t, Config{})
	request(t, s, "POST", "/api/v1/nodes", `{"name":"a"}`, nil)
	seen := func() (status, last string) {
		if err := keepNodes(s.store, time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := s.store.readers.QueryRow("SELECT status, last_seen FROM nodes").Scan(&status, &last); err != nil {
			t.Fatal(err)
		}
		return
	}
	status, first := seen()
	_, second := seen()
	if status != "ready" || first == "" || first >= second {
		t.Errorf("status %s, last_seen %s then %s", status, first, second)
	}
	if answer := request(t, s, "POST", "/api/v1/nodes", `{"name":"b"}`, nil); answer.Code != 201 {
		t.Errorf("a row beside the new columns: %d", answer.Code)
	}
}

func TestD8AKubeconfigIsNeededWithKubernetes(t *testing.T) {
	for text, wanted := range map[string]bool{"kubernetes: {enabled: true}": true, "kubernetes: {enabled: false}": false} {
		config, err := load(t, "profile: published\n"+text, nil)
		if err != nil || config.KubeconfigMissing != wanted {
			t.Errorf("%s: %v, %v", text, config.KubeconfigMissing, err)
		}
	}
}

func TestD9ADatabaseOfAnotherNodeDoesNotFitTheCA(t *testing.T) {
	one, other := open(t, Config{}), open(t, Config{})
	mine, its := filepath.Join(t.TempDir(), "ca"), filepath.Join(t.TempDir(), "ca")
	for range 2 { // the first start makes it, the second one checks it
		for folder, s := range map[string]*server{mine: one, its: other} {
			if err := openCA(folder, s.store); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := openCA(mine, other.store); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("the other node's database: %v", err)
	}
}

func TestD10TheRaftFolderIsBelowTheWorkingDirectory(t *testing.T) {
	config, err := load(t, "profile: published\napp: {data_dir: /data}", nil)
	if err != nil || config.RaftDir != "data/raft" {
		t.Errorf("%s, %v", config.RaftDir, err)
	}
}

func TestD12RaftRoutesAreUnknownWithoutClustering(t *testing.T) {
	for missing, wanted := range map[bool]int{true: 404, false: 503} {
		if answer := request(t, open(t, Config{RaftRoutes404: missing}), "GET", "/api/v1/raft/status", "", nil); answer.Code != wanted {
			t.Errorf("%v: %d", missing, answer.Code)
		}
	}
}

func TestTheJournalModeIsTheConfiguredOne(t *testing.T) {
	var mode string
	s := open(t, Config{JournalMode: "DELETE"})
	if err := s.store.writer.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "delete" {
		t.Errorf("%s, %v", mode, err)
	}
}
