package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/coder/websocket"
	"github.com/dchest/siphash"
	"github.com/go-json-experiment/json"
)

// firstFrame is the first message of a client: who it is, and the channel that it joins.
type firstFrame struct {
	UID     string `json:"uid"`
	Channel string `json:"channel"`
	Auth    string `json:"auth,omitempty"`
}

// maxName is the longest uid or channel in bytes, and maxFirstFrame the longest first
// frame: each byte of the names may be escaped.
const (
	maxName       = 256
	maxFirstFrame = 4 << 10
)

// parseFirstFrame decodes a first frame. Names of members are compared exactly, and
// members that are not documented are ignored.
func parseFirstFrame(kind websocket.MessageType, text []byte) (f firstFrame, err error) {
	if err := json.Unmarshal(text, &f); err != nil || kind != websocket.MessageText {
		return f, refuse(websocket.StatusPolicyViolation, `the first frame must be the text {"uid":"…","channel":"…"}`)
	}
	return f, cmp.Or(checkName("uid", f.UID), checkName("channel", f.Channel))
}

func checkName(member, name string) error {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl) {
		return refuse(websocket.StatusPolicyViolation, fmt.Sprintf("%s must have 1 to %d bytes and no control characters", member, maxName))
	}
	return nil
}

// authHash is the auth, in hexadecimal, that a client sends to a server with a key, as the
// clients in use compute it: the SipHash-2-4, with a zero key, of uid, channel and the
// server's key.
func authHash(uid, channel, key string) uint64 {
	return siphash.Hash(0, 0, []byte(uid+channel+key))
}

// authorized reports whether the client may join.
func (f *firstFrame) authorized(key string) bool {
	auth, err := strconv.ParseUint(f.Auth, 16, 64)
	return key == "" || err == nil && auth == authHash(f.UID, f.Channel, key)
}
