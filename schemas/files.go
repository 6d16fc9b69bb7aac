package schemas

import (
	"embed"
	"io/fs"
)

// BaseURL is the beginning of every document's "$id". The file name follows, as
// in https://github.com/safe-go/safe/schemas/v1/propose.json.
const BaseURL = "https://github.com/safe-go/safe/schemas/"

//go:embed v1/*.json
var files embed.FS

// FS returns the documents as a read-only file system:
//
//	v1/client-message.json   any frame from a client to a server
//	v1/server-message.json   any frame from a server to a client
//	v1/<type>.json           the frames of one type, such as v1/propose.json
func FS() fs.FS { return files }
