// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

var tables = []string{"nodes", "gpio", "clusters"}

var (
	errNotFound = errors.New("not found")
	errReplayed = errors.New("this entry was applied before, or its id was given out by another history")
)

// busyFor is how long a foreign writer, such as an online backup into the database, may keep ours waiting.
const busyFor = 60 * time.Second

// store is the SQLite database. Another process may replace its content at any time through the backup API, so nothing
// read from it is ever kept: no rows, no prepared statements, not the applied index. It is never opened as a plain
// file either, since closing that would drop the locks of this process (POSIX).
type store struct {
	writer, readers *sql.DB
	folder          string // for passing copies
}

func openStore(path, scratch, journal string) (*store, error) {
	for _, folder := range []string{filepath.Dir(path), scratch} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
	}
	stale, _ := filepath.Glob(filepath.Join(scratch, "state-*"))
	for _, folder := range stale {
		os.RemoveAll(folder)
	}
	// NORMAL: in WAL mode a killed process loses nothing. What a power cut takes is in the synced Raft log and is
	// replayed from there.
	base := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_busy_timeout=5000&_journal_mode=" + journal + "&_synchronous=NORMAL"
	writer, err := sql.Open("sqlite3", base+"&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	readers, err := sql.Open("sqlite3", base+"&_query_only=1")
	if err != nil {
		return nil, err
	}
	readers.SetMaxOpenConns(8)
	readers.SetMaxIdleConns(8)
	s := &store{writer, readers, scratch}
	return s, s.write(func(*sql.Tx) error { return nil })
}

func (s *store) close() {
	s.readers.Close()
	s.writer.Close()
}

// write runs one transaction, with the tables in place whatever the file was replaced by.
func (s *store) write(change func(*sql.Tx) error) error {
	deadline := time.Now().Add(busyFor)
	for {
		err := inTransaction(s.writer, change)
		var fault sqlite3.Error
		busy := errors.As(err, &fault) && (fault.Code == sqlite3.ErrBusy || fault.Code == sqlite3.ErrLocked)
		if !busy || time.Now().After(deadline) {
			return err
		}
	}
}

func inTransaction(db *sql.DB, change func(*sql.Tx) error) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, table := range tables {
		if _, err := tx.Exec("CREATE TABLE IF NOT EXISTS " + table + " (id INTEGER PRIMARY KEY AUTOINCREMENT," +
			" name TEXT, data TEXT, created_at TEXT, updated_at TEXT)"); err != nil {
			return err
		}
	}
	if _, err := tx.Exec("CREATE TABLE IF NOT EXISTS raft_applied (incarnation TEXT, idx INTEGER)"); err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// querier is what *sql.DB and *sql.Tx have in common.
type querier interface {
	Query(query string, args ...interface{}) (*sql.Rows, error)
	QueryRow(query string, args ...interface{}) *sql.Row
}

// applied tells whose log the content comes from, and up to which entry.
func applied(q querier) (incarnation string, index uint64, err error) {
	err = q.QueryRow("SELECT incarnation, idx FROM raft_applied").Scan(&incarnation, &index)
	if err == sql.ErrNoRows {
		err = nil
	}
	return
}

func setApplied(tx *sql.Tx, incarnation string, index uint64) error {
	if _, err := tx.Exec("DELETE FROM raft_applied"); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO raft_applied VALUES (?, ?)", incarnation, index)
	return err
}

// lastID is the highest id a table ever gave out.
func lastID(q querier, table string) (id int64, err error) {
	err = q.QueryRow("SELECT seq FROM sqlite_sequence WHERE name = ?", table).Scan(&id)
	if err == sql.ErrNoRows {
		err = nil
	}
	return
}

// object is one row as the REST interface shows it.
type object map[string]interface{}

// objects reads a table, or one row of it with an id.
func objects(q querier, table string, ids ...interface{}) ([]object, error) {
	query := "SELECT id, name, data, created_at, updated_at FROM " + table
	if len(ids) > 0 {
		query += " WHERE id = ?"
	}
	rows, err := q.Query(query+" ORDER BY id", ids...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := []object{}
	for rows.Next() {
		var id int64
		var name, data, created, updated sql.NullString
		if err := rows.Scan(&id, &name, &data, &created, &updated); err != nil {
			return nil, err
		}
		one := object{}
		fields := map[string]json.RawMessage{}
		if data.String != "" {
			if err := json.Unmarshal([]byte(data.String), &fields); err != nil {
				return nil, fmt.Errorf("%s %d: data is not a JSON object: %w", table, id, err)
			}
		}
		for key, value := range fields {
			one[key] = value
		}
		one["id"], one["name"], one["created_at"], one["updated_at"] = id, name.String, created.String, updated.String
		found = append(found, one)
	}
	return found, rows.Err()
}

func getObject(q querier, table string, id int64) (object, error) {
	found, err := objects(q, table, id)
	if err == nil && len(found) == 0 {
		err = errNotFound
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// copyOut makes a plain, consistent copy of the database in a new folder, which is the caller's to remove.
func (s *store) copyOut() (folder, path string, err error) {
	folder, err = os.MkdirTemp(s.folder, "state-")
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(folder, "state.db")
	err = withDatabase(path, func(copy *sql.DB) error {
		if err := backup(copy, s.readers); err != nil {
			return err
		}
		// The copy says WAL, as its source does: a state in a single file must not.
		_, err := copy.Exec("PRAGMA journal_mode = DELETE")
		return err
	})
	if err != nil {
		os.RemoveAll(folder)
	}
	return
}

// replaceBy makes the content of this file, stamped as applied by this log, the database's in one transaction.
func (s *store) replaceBy(path, incarnation string) error {
	return withDatabase(path, func(source *sql.DB) error {
		err := inTransaction(source, func(tx *sql.Tx) error { return setApplied(tx, incarnation, 0) })
		if err != nil {
			return err
		}
		return backup(s.writer, source)
	})
}

// checkState says what is wrong with a state that someone wants restored.
func (s *store) checkState(path string) error {
	return withDatabase(path, func(state *sql.DB) error {
		var verdict string
		if err := state.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			return fmt.Errorf("not a sound SQLite database: %s%v", verdict, err)
		}
		var theirs, ours int
		if err := state.QueryRow("PRAGMA page_size").Scan(&theirs); err != nil {
			return err
		}
		if err := s.readers.QueryRow("PRAGMA page_size").Scan(&ours); err != nil {
			return err
		}
		if theirs != ours {
			return fmt.Errorf("page size %d, wanted %d: a live database in WAL mode cannot change it", theirs, ours)
		}
		for _, table := range tables {
			if _, err := objects(state, table); err != nil {
				return err
			}
		}
		return nil
	})
}

func withDatabase(path string, use func(*sql.DB) error) error {
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_busy_timeout=5000")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	err = use(db)
	if closed := db.Close(); err == nil {
		err = closed
	}
	return err
}

// backup makes dest's content that of source, in one transaction that readers of dest see as a whole or not at all.
func backup(dest, source *sql.DB) error {
	return rawConn(dest, func(to *sqlite3.SQLiteConn) error {
		return rawConn(source, func(from *sqlite3.SQLiteConn) error {
			run, err := to.Backup("main", from, "main")
			if err != nil {
				return err
			}
			deadline := time.Now().Add(busyFor)
			for {
				done, err := run.Step(-1)
				if done || err != nil {
					if closed := run.Close(); err == nil {
						err = closed
					}
					return err
				}
				if time.Now().After(deadline) { // Step is silent about a lock it did not get
					run.Close()
					return fmt.Errorf("database still locked after %s", busyFor)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	})
}

func rawConn(db *sql.DB, use func(*sqlite3.SQLiteConn) error) error {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(driver interface{}) error { return use(driver.(*sqlite3.SQLiteConn)) })
}
