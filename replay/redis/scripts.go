package redis

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
)

// What is done to a history is done by these scripts, each in one atomic step.
var (
	//go:embed scripts/history.lua
	historySource string
	//go:embed scripts/append.lua
	appendSource string
	//go:embed scripts/load.lua
	loadSource string
	//go:embed scripts/read.lua
	readSource string
	//go:embed scripts/find.lua
	findSource string
)

var (
	appendScript = newScript(appendSource)
	loadScript   = newScript(loadSource)
	readScript   = newScript(readSource)
	findScript   = newScript(findSource)
)

// script is a script and the name by which a server knows it once it has been
// sent.
type script struct {
	source string
	hash   string
}

func newScript(source string) *script {
	source = historySource + source
	sum := sha1.Sum([]byte(source))
	return &script{source: source, hash: hex.EncodeToString(sum[:])}
}

// call is a script with its keys and arguments.
type call struct {
	script *script
	keys   *keys
	args   []any
	size   int // in bytes, if it may be large
	// server is set by Store.eval: the one that the keys belong to, as far as is
	// known.
	server *server
}

// byHash and bySource are the call as commands. A server that does not know the
// script is sent its source.
func (c *call) byHash() []any   { return c.command("evalsha", c.script.hash) }
func (c *call) bySource() []any { return c.command("eval", c.script.source) }

func (c *call) command(name, script string) []any {
	names := c.keys.names()
	command := make([]any, 0, 3+len(names)+len(c.args))
	command = append(command, name, script, len(names))
	for _, name := range names {
		command = append(command, name)
	}
	return append(command, c.args...)
}
