// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// finishWithin is how long requests under way get when the daemon is asked to stop.
const finishWithin = 3 * time.Second

// listeners are all the ports but Raft's.
type listeners struct {
	rest, grpc net.Listener
	others     []net.Listener
	web        *http.Server
	calls      *grpc.Server
	health     *health.Server

	mutex  sync.Mutex
	silent map[net.Conn]bool // connections on which nothing was asked yet
}

func listenAll(c *Config) (*listeners, error) {
	l := &listeners{silent: map[net.Conn]bool{}}
	var err error
	if c.LateREST == 0 {
		if err := l.openREST(c); err != nil {
			return nil, err
		}
	}
	if l.grpc, err = listen("gRPC", c.GRPC); err != nil {
		return nil, err
	}
	for _, other := range c.Others {
		listener, err := listen(other.name, other.address)
		if err != nil {
			return nil, err
		}
		l.others = append(l.others, listener)
	}
	return l, nil
}

func listen(name, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return listener, err
}

// openREST listens for REST, where that was not done yet.
func (l *listeners) openREST(c *Config) error {
	if l.rest != nil {
		return nil
	}
	opened, err := listen("REST", c.REST)
	if err != nil || c.TLSCert == "" {
		l.rest = opened
		return err
	}
	secured, err := tlsConfig(c)
	if err != nil {
		return err
	}
	l.rest = tls.NewListener(opened, secured)
	return nil
}

func tlsConfig(c *Config) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("api.tls_cert, api.tls_key: %w", err)
	}
	found := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if c.TLSClientCA == "" {
		return found, nil
	}
	text, err := os.ReadFile(c.TLSClientCA)
	if err != nil {
		return nil, fmt.Errorf("api.tls_client_ca: %w", err)
	}
	found.ClientCAs, found.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !found.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("api.tls_client_ca: %s has no certificate", c.TLSClientCA)
	}
	return found, nil
}

// serve starts all of them; what comes out of the channel is why one ended.
func (l *listeners) serve(handler http.Handler) <-chan error {
	failed := make(chan error, 2+len(l.others))
	l.web = &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ConnState: l.track}
	l.calls, l.health = grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(l.calls, l.health)
	go func() {
		if err := l.web.Serve(l.rest); err != http.ErrServerClosed {
			failed <- err
		}
	}()
	go func() {
		if err := l.calls.Serve(l.grpc); err != nil {
			failed <- err
		}
	}()
	for _, other := range l.others {
		other := other
		go func() { failed <- http.Serve(other, http.HandlerFunc(alive)) }()
	}
	return failed
}

func alive(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) }

func (l *listeners) track(conn net.Conn, state http.ConnState) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if state == http.StateNew {
		l.silent[conn] = true
	} else {
		delete(l.silent, conn)
	}
}

// stop takes nothing new, finishes what was asked and closes idle connections.
func (l *listeners) stop() {
	l.health.Shutdown()
	done := make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
		defer cancel()
		if err := l.web.Shutdown(ctx); err != nil {
			log.Printf("requests still open after %s: %v", finishWithin, err)
		}
		close(done)
	}()
	// Shutdown waits 5 s for a connection that was opened and never used, which no client would thank us for.
	l.rest.Close()
	l.mutex.Lock()
	for conn := range l.silent {
		conn.Close()
	}
	l.mutex.Unlock()
	<-done
	// Not waited for: it would wait 120 s for a connection on which no gRPC was ever spoken. The end of the process
	// closes what this does not.
	go l.calls.Stop()
}
