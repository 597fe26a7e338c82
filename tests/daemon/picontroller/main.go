// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command pi-controller is a stand-in for the daemon of that name, as far as it can be seen from outside: a fixture of
// the lab's tests. README.md says what it implements.
package main

import (
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	path := flag.String("config", "", "configuration file (default "+defaultConfigFile+")")
	flag.Parse()
	if err := run(*path); err != nil {
		log.Fatalf("pi-controller: %v", err)
	}
}

func run(path string) error {
	// First of all, so that a signal during the start is not the end of it half-way.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)

	settings, err := loadSettings(path, os.LookupEnv)
	if err != nil {
		return err
	}
	config, err := newConfig(settings)
	if err != nil {
		return err
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
	store, err := openStore(config.Database, config.RaftDir)
	if err != nil {
		return err
	}
	defer store.close()
	var node *raftNode
	if config.Clustered {
		if node, err = openRaft(config, store); err != nil {
			return err
		}
		defer node.close()
	}
	failed := listeners.serve(newServer(config, store, node))
	log.Printf("pi-controller %s is up: REST %s, gRPC %s, Raft %s", config.ID, config.REST, config.GRPC, config.BindAddr)
	select {
	case err = <-failed:
	case <-stop:
		listeners.stop()
	}
	return err
}
