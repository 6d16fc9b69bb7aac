package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

const (
	maxNameBytes     = 256          // of usernames, and of names of events
	maxPasswordBytes = 72           // which is as much as bcrypt hashes
	maxTimestamp     = 253402300799 // the end of the year 9999
)

// decode decodes a body. This and the functions below fail with a *requestError.
func decode(body []byte, value any) error {
	if err := json.Unmarshal(body, value); err != nil {
		return badRequest("the body is not what is expected: " + err.Error())
	}
	return nil
}

// parseEvent decodes the body of POST /insert. What it says of an id, a user, and whether
// the event is published or cancelled is ignored.
func parseEvent(body []byte) (event, error) {
	var in struct {
		Event        string          `json:"event"`
		CollectionID string          `json:"collection_id"`
		Timestamp    *int64          `json:"timestamp"`
		Data         json.RawMessage `json:"data"`
	}
	err := decode(body, &in)
	in.CollectionID = strings.ToLower(in.CollectionID)
	switch {
	case err != nil:
	case in.Event == "" || len(in.Event) > maxNameBytes || strings.ContainsAny(in.Event, "\r\n\x00"):
		err = badRequest(fmt.Sprintf("event must be a text of 1 to %d bytes in one line", maxNameBytes))
	case !isUUID(in.CollectionID):
		err = badRequest("collection_id must be a uuid")
	case in.Timestamp == nil || *in.Timestamp > maxTimestamp:
		err = badRequest("timestamp must be a whole number of seconds since 1970, up to the year 9999")
	case in.Data == nil:
		err = badRequest("data is missing: it may be any JSON")
	}
	if err != nil {
		return event{}, err
	}
	return event{Event: in.Event, CollectionID: in.CollectionID, Timestamp: *in.Timestamp, Data: in.Data}, nil
}

// credentials are the body of POST /login, and with a collection that of POST /users.
type credentials struct {
	Username     string `json:"username"`
	Password     string `json:"password"`
	CollectionID string `json:"collection_id"`
}

// parseLogin decodes the body of POST /login.
func parseLogin(body []byte) (c credentials, err error) {
	switch err := decode(body, &c); {
	case err != nil:
		return c, err
	case c.Username == "" || len(c.Username) > maxNameBytes || strings.ContainsFunc(c.Username, unicode.IsControl):
		return c, badRequest(fmt.Sprintf("username must be a text of 1 to %d bytes without control characters", maxNameBytes))
	case c.Password == "" || len(c.Password) > maxPasswordBytes:
		return c, badRequest(fmt.Sprintf("password must be a text of 1 to %d bytes", maxPasswordBytes))
	}
	return c, nil
}

// parseUser decodes the body of POST /users.
func parseUser(body []byte) (credentials, error) {
	c, err := parseLogin(body)
	if c.CollectionID = strings.ToLower(c.CollectionID); err == nil && !isUUID(c.CollectionID) {
		err = badRequest("collection_id must be a uuid")
	}
	return c, err
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func isUUID(text string) bool { return uuidPattern.MatchString(text) }

// newUUID returns a random UUID (RFC 9562 section 5.4).
func newUUID() string {
	var u [16]byte
	rand.Read(u[:]) // does not fail
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
