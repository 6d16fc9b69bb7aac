package audit

import (
	"bufio"
	"context"
	"io"
	"time"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
)

// ExportOptions configures Export. Nil or the zero value is good.
type ExportOptions struct {
	// After is the position after which the export begins. Default: it begins with the
	// oldest entry that the store keeps.
	After replay.Cursor
	// Signer, if set, signs a checkpoint of the last entry, as the last line of the
	// export. It reveals missing entries at the end. Default: no checkpoint.
	Signer *Signer
}

// Export writes the history of a ShareData as JSON Lines: one entry in each line, as
// the bytes of which its hash is computed, followed by the hash. It returns what it
// wrote. Entries appended during the export may be missing.
//
// It fails like Manager.History and with the errors of the writer; the export is not
// complete then. Where the history is broken, all of it is written, but no checkpoint,
// and the error is the *sharedata.ChainError.
func Export(ctx context.Context, w io.Writer, manager *sharedata.Manager, id string, options *ExportOptions) (sharedata.Chain, error) {
	var o ExportOptions
	if options != nil {
		o = *options
	}
	out := bufio.NewWriterSize(w, 64<<10)
	var failed error // of the history or the writer
	chain, err := sharedata.Verify(func(yield func(sharedata.Entry, error) bool) {
		unbroken := true
		for e, err := range manager.History(ctx, id, o.After) {
			if err == nil {
				err = writeEntry(out, e)
			}
			if failed = err; failed != nil {
				return
			}
			unbroken = unbroken && yield(e, nil)
		}
	})
	if failed != nil {
		return chain, failed
	}
	if err == nil && o.Signer != nil && !chain.Last.IsZero() {
		err = writeCheckpoint(out, o.Signer, chain)
	}
	if flushed := out.Flush(); flushed != nil {
		return chain, flushed
	}
	return chain, err
}

// writeEntry writes the line of an entry.
func writeEntry(w *bufio.Writer, e sharedata.Entry) error {
	text, err := e.MarshalJSON()
	if err != nil {
		return err
	}
	w.Write(text)
	return w.WriteByte('\n') // a bufio.Writer keeps the first error
}

// writeCheckpoint signs the end of the chain and writes the line of the checkpoint.
func writeCheckpoint(w *bufio.Writer, signer *Signer, chain sharedata.Chain) error {
	c, err := signer.Sign(chain.ShareDataID, chain.Last, chain.Hash, time.Now())
	if err != nil {
		return err
	}
	_, err = w.Write(c.AppendLine(nil))
	return err
}

// AppendLine appends the checkpoint's line in an export, with the line feed. A checkpoint
// line may follow only the entry it is about.
func (c Checkpoint) AppendLine(dst []byte) []byte {
	dst = append(dst, checkpointPrefix...)
	dst = append(dst, c.JWS...)
	return append(dst, checkpointSuffix+"\n"...)
}
