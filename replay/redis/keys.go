package redis

import (
	"strconv"
	"strings"
)

// keys are the Redis keys and the channel of one history. They share the hash
// tag {id}, so that all are in one slot of a cluster.
type keys struct {
	head   string // hash: position, snapshot, meta and what is counted
	stream string // stream: the entries, whose ids are their cursors
	index  string // hash: idempotency key -> cursor
	// tombstone is a hash: where the last removed history ended.
	tombstone string
	channel   string // batches are announced here
}

const headSuffix = ":h"

// naming says how the keys of a store are named.
type naming struct {
	prefix string
	// database is that of the client. Channels, unlike keys, are shared by all
	// databases of a server, so its number is part of their names.
	database int
}

func (n naming) keys(id string) keys {
	tag := n.prefix + "{" + escape(id) + "}"
	return keys{
		head:      tag + headSuffix,
		stream:    tag + ":s",
		index:     tag + ":k",
		tombstone: tag + ":e",
		channel:   tag + ":a:" + strconv.Itoa(n.database),
	}
}

// names are the keys in the order in which the scripts take them.
func (k *keys) names() [4]string { return [4]string{k.head, k.stream, k.index, k.tombstone} }

// pattern matches the heads of all histories, for SCAN.
func (n naming) pattern() string {
	return globs.Replace(n.prefix) + "{*}" + headSuffix
}

// id is the id whose head the key is.
func (n naming) id(head string) (id string, ok bool) {
	tag, ok := strings.CutPrefix(head, n.prefix+"{")
	if !ok {
		return "", false
	}
	tag, ok = strings.CutSuffix(tag, "}"+headSuffix)
	if !ok {
		return "", false
	}
	return unescape(tag)
}

// emptyTag is what an empty id is written as: Redis takes an empty hash tag for
// none.
const emptyTag = "%"

var (
	escapes   = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")
	unescapes = strings.NewReplacer("%25", "%", "%7B", "{", "%7D", "}")
	globs     = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`)
)

// escape writes an id so that it may be in a hash tag. Braces of its own would begin
// or end the tag.
func escape(id string) string {
	if id == "" {
		return emptyTag
	}
	return escapes.Replace(id)
}

// unescape is the inverse of escape, and fails for anything else.
func unescape(tag string) (id string, ok bool) {
	if tag == emptyTag {
		return "", true
	}
	id = unescapes.Replace(tag)
	return id, id != "" && escape(id) == tag
}
