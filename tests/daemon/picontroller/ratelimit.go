// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limiter gives each address so many requests a minute, and so many at once. Only 127.0.0.1 and ::1 are free: the rest of
// 127/8 is not.
type limiter struct {
	perMinute, burst float64
	clock            func() time.Time
	mutex            sync.Mutex
	seen             map[string]*bucket
}

type bucket struct {
	left float64
	at   time.Time
}

func newLimiter(perMinute, burst int) *limiter {
	return &limiter{perMinute: float64(perMinute), burst: float64(burst), clock: time.Now, seen: map[string]*bucket{}}
}

func (l *limiter) allow(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if l.perMinute == 0 || err != nil || host == "127.0.0.1" || host == "::1" {
		return true
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := l.clock()
	b := l.seen[host]
	if b == nil {
		b = &bucket{l.burst, now}
		l.seen[host] = b
	}
	b.left, b.at = min(l.burst, b.left+now.Sub(b.at).Minutes()*l.perMinute), now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// refuse says what the published daemon says: no Retry-After, and a minute that is far more than it takes.
func (l *limiter) refuse(w http.ResponseWriter) {
	w.Header().Set("X-RateLimit-Limit", strconv.Itoa(int(l.perMinute)))
	w.Header().Set("X-RateLimit-Remaining", "0")
	answer(w, http.StatusTooManyRequests, map[string]interface{}{
		"error": "Rate Limit Exceeded", "message": "Too many requests, please slow down", "retry_after": 60,
	})
}
