// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// keepNodes writes what the published daemon writes without being asked: when each node was last seen. The first one is
// made before this returns.
func keepNodes(s *store, every time.Duration) error {
	if every == 0 {
		return nil
	}
	if err := s.write(seenNow); err != nil {
		return err
	}
	go func() {
		for range time.Tick(every) {
			if err := s.write(seenNow); err != nil {
				log.Printf("nodes.last_seen: %v", err)
			}
		}
	}()
	return nil
}

func seenNow(tx *sql.Tx) error {
	for _, column := range []string{"status", "last_seen"} {
		if err := addColumn(tx, "nodes", column); err != nil {
			return err
		}
	}
	time := now()
	_, err := tx.Exec("UPDATE nodes SET status = 'ready', last_seen = ?, updated_at = ?", time, time)
	return err
}

func addColumn(tx *sql.Tx, table, column string) error {
	var found int
	err := tx.QueryRow("SELECT count(*) FROM pragma_table_info(?) WHERE name = ?", table, column).Scan(&found)
	if err == nil && found == 0 {
		_, err = tx.Exec("ALTER TABLE " + table + " ADD COLUMN " + column + " TEXT")
	}
	return err
}

// openCA makes this node's CA at the first start: the key in the folder, the certificate in the database. A database that
// came from another node does not fit the key, which ends the start.
func openCA(folder string, s *store) error {
	if folder == "" {
		return nil
	}
	path := filepath.Join(folder, "ca-key.pem")
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return makeCA(path, s)
	}
	if err != nil {
		return err
	}
	return fitsCA(text, s)
}

func makeCA(path string, s *store) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "CA of " + host},
		NotBefore: time.Now(), NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := writeDurably(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})); err != nil {
		return err
	}
	return s.write(func(tx *sql.Tx) error {
		if _, err := tx.Exec("CREATE TABLE IF NOT EXISTS ca_certificates (certificate TEXT)"); err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
		_, err := tx.Exec("INSERT INTO ca_certificates VALUES (?)", string(text))
		return err
	})
}

func fitsCA(text []byte, s *store) error {
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("the CA key is not PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("the CA key: %w", err)
	}
	var stored string
	if err := s.readers.QueryRow("SELECT certificate FROM ca_certificates ORDER BY rowid DESC").Scan(&stored); err != nil {
		return fmt.Errorf("the CA key has no certificate in the database: %w", err)
	}
	certificate, _ := pem.Decode([]byte(stored))
	if certificate == nil {
		return errors.New("the CA certificate in the database is not PEM")
	}
	found, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		return err
	}
	if !key.PublicKey.Equal(found.PublicKey) {
		return fmt.Errorf("the CA key does not fit the certificate in the database (%s)", found.Subject.CommonName)
	}
	return nil
}
