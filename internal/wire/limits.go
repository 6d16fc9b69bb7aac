package wire

// Limits bound what decoding a frame may cost. The zero value is the default.
type Limits struct {
	// MaxBytes is the largest size of a frame in bytes. 0 is the default: 1 MiB
	// for a client's frame; no limit for a server's, because states may be large
	// and the reader of the connection bounds messages. -1 is no limit.
	MaxBytes int
	// MaxDepth is how many levels of objects and arrays a frame may have, its own
	// object included. 0 is the default of 128. -1, like any value above 10000,
	// leaves only the parser's limit of 10000.
	MaxDepth int
}

const (
	defaultClientBytes = 1 << 20
	defaultDepth       = 128
	parserDepth        = 10000
	unlimited          = -1
)

func (l Limits) bytes(byDefault int) int {
	switch {
	case l.MaxBytes == 0:
		return byDefault
	case l.MaxBytes < 0:
		return unlimited
	default:
		return l.MaxBytes
	}
}

func (l Limits) depth() int {
	switch {
	case l.MaxDepth == 0:
		return defaultDepth
	case l.MaxDepth < 0 || l.MaxDepth > parserDepth:
		return parserDepth
	default:
		return l.MaxDepth
	}
}
