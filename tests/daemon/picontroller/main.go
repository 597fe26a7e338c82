// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command pi-controller is a test daemon in place of the one of that name, as far as it can be seen from outside: a fixture of
// the lab's tests. README.md says what it implements.
package main

import (
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	path := flag.String("config", "", "configuration file (default "+defaultConfigFile+")")
	flag.Parse()
	if status, err := run(*path); err != nil {
		log.Printf("pi-controller: %v", err)
		os.Exit(status)
	}
}

// run returns with which status to end, and why.
func run(path string) (int, error) {
	// First of all, so that a signal during the start is not the end of it half-way.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	settings, err := loadSettings(path, os.LookupEnv)
	if err != nil {
		return 1, err
	}
	config, err := newConfig(settings)
	if err != nil {
		return 1, err
	}
	err = serve(config, stop)
	if settings.flag("published.exit_zero") {
		return 0, err
	}
	return 1, err
}

func serve(config *Config, stop <-chan os.Signal) error {
	if config.KubeconfigMissing {
		return errors.New("kubernetes.enabled is true and there is no kubeconfig")
	}
	if config.GPIODevice != "" {
		hardware, err := claimGPIO(config.GPIODevice)
		if err != nil {
			return err
		}
		defer hardware.Close()
	}
	// Ports before state: a daemon that cannot listen must not take part in the cluster.
	listeners, err := listenAll(config)
	if err != nil {
		return err
	}
	store, err := openStore(config.Database, config.RaftDir, config.JournalMode)
	if err != nil {
		return err
	}
	defer store.close()
	if err := keepNodes(store, config.OwnWrites); err != nil {
		return err
	}
	if err := openCA(config.CADir, store); err != nil {
		return err
	}
	var node *raftNode
	if config.Clustered {
		if node, err = openRaft(config, store); err != nil {
			return err
		}
		defer node.close()
		if !awaitLeader(node, config.LateREST, stop) {
			return nil
		}
	}
	server, err := newServer(config, store, node)
	if err != nil {
		return err
	}
	if err := listeners.openREST(config); err != nil {
		return err
	}
	failed := listeners.serve(server)
	log.Printf("pi-controller %s is up: REST %s, gRPC %s, Raft %s", config.ID, config.REST, config.GRPC, config.BindAddr)
	select {
	case err = <-failed:
	case <-stop:
		listeners.stop()
		time.Sleep(config.SlowStop)
	}
	return err
}
