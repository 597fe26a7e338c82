// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const loginPath = "/api/v1/auth/login"

// logins gives out tokens (JWT, HS256) signed with a key that each process makes anew: one of another node, or of before a
// restart, is worth nothing here.
type logins struct {
	user, password string
	lifetime       time.Duration
	key            []byte
}

func newLogins(user, password string, lifetime time.Duration) (*logins, error) {
	key := make([]byte, 32)
	_, err := rand.Read(key)
	return &logins{user, password, lifetime, key}, err
}

func (l *logins) answer(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if r.Method != http.MethodPost {
		refuse(w, http.StatusMethodNotAllowed, "Method not allowed")
		return
	}
	if !readJSON(w, r, &body) {
		return
	}
	if body.Username != l.user || subtle.ConstantTimeCompare([]byte(body.Password), []byte(l.password)) != 1 {
		answer(w, http.StatusUnauthorized, map[string]string{"error": "Unauthorized", "message": "Invalid credentials"})
		return
	}
	answer(w, http.StatusOK, map[string]interface{}{
		"access_token": l.issue(time.Now()), "refresh_token": l.issue(time.Now()),
		"token_type": "Bearer", "expires_in": int(l.lifetime.Seconds()),
	})
}

func (l *logins) issue(now time.Time) string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"user_id":"1","token_type":"access","iat":%d,"exp":%d}`, now.Unix(), now.Add(l.lifetime).UnixMilli())
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(claims))
	return text + "." + encode(l.sign(text))
}

func (l *logins) sign(text string) []byte {
	mac := hmac.New(sha256.New, l.key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// valid says whether this process gave out the token, and not too long ago.
func (l *logins) valid(token string, now time.Time) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !hmac.Equal(signature, l.sign(parts[0]+"."+parts[1])) {
		return false
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	var found struct {
		Expires int64 `json:"exp"`
	}
	return err == nil && json.Unmarshal(claims, &found) == nil && now.UnixMilli() < found.Expires
}
