package wire

// Limits bound what a frame may cost before and while it is decoded. The zero
// value is good.
type Limits struct {
	// MaxBytes is the size of a frame in bytes. 0 is the default: 1 MiB for a
	// client's frame; no limit for a server's, whose states may be large and
	// whose reader bounds a message before it gets here. -1 is no limit.
	MaxBytes int
	// MaxDepth is how deep objects and arrays may nest, the frame's own object
	// included. 0 is the default, 128; -1 switches the limit off, which leaves
	// that of the parser, 10000, as does any greater value.
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
