package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/safe-go/safe/replay"
	"github.com/safe-go/safe/sharedata"
	"github.com/safe-go/safe/sharedata/audit"
)

// cashRegister is the id of the ShareData whose history is checked.
const cashRegister = "till"

// The files that the service gives to the auditor.
const (
	exportFile      = "export.jsonl"
	keysFile        = "keys.json"
	checkpointsFile = "checkpoints.txt"
)

// sale is what is proposed to the function sell.
type sale struct {
	Item  string `json:"item"`
	Price int    `json:"price"`
}

var sell = sharedata.NewFunction("sell", func(_ context.Context, total int, s sale) (int, error) {
	if s.Price <= 0 {
		return total, sharedata.RejectWith("price", "the price is not positive", s.Price)
	}
	return total + s.Price, nil
})

// service is the party that is checked.
type service struct {
	manager *sharedata.Manager
	signer  *audit.Signer
	folder  string
}

// newService starts a service with a new key, and publishes the public key.
func newService(ctx context.Context, folder string) (*service, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	key, err := jwk.FromRaw(private)
	if err != nil {
		return nil, err
	}
	signer, err := audit.NewSigner(key)
	if err != nil {
		return nil, err
	}
	keys, err := signer.PublicKeys()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(folder, keysFile), text, 0o644); err != nil {
		return nil, err
	}
	store, err := replay.NewMemory(&replay.MemoryOptions{MaxEntries: 2 * batch, MaxBytes: -1})
	if err != nil {
		return nil, err
	}
	manager, err := sharedata.NewManager(&sharedata.Options{Store: store})
	if err != nil {
		return nil, err
	}
	s := &service{manager: manager, signer: signer, folder: folder}
	_, err = manager.Create(ctx, cashRegister, 0, sell)
	return s, err
}

// workDay sells, while a checkpointer signs. It signs every minute, and at the end of
// the day. The auditor has the file to which it appends, so the service cannot change
// earlier checkpoints.
func (s *service) workDay(ctx context.Context, sales []sale) (err error) {
	file, err := os.OpenFile(filepath.Join(s.folder, checkpointsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	checkpointer, err := audit.NewCheckpointer(s.manager, &audit.CheckpointerOptions{
		Signer: s.signer,
		Sink: func(_ context.Context, c audit.Checkpoint) error {
			_, err := file.WriteString(c.JWS + "\n")
			return err
		},
	})
	if err != nil {
		return err
	}
	day, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- checkpointer.Run(day) }()
	defer func() { end(); <-ended }()
	for _, each := range sales {
		if _, err := s.manager.Propose(ctx, proposal(each)); err != nil {
			return err
		}
	}
	return nil
}

func proposal(s sale) sharedata.Proposal {
	return sharedata.Proposal{ShareDataID: cashRegister, FunctionID: "sell", Data: s, Caller: &sharedata.Caller{Subject: "ann"}}
}

// export writes the history, with a checkpoint of its end.
func (s *service) export(ctx context.Context) (err error) {
	file, err := os.Create(filepath.Join(s.folder, exportFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = audit.Export(ctx, file, s.manager, cashRegister, &audit.ExportOptions{Signer: s.signer})
	return err
}

// exportMany makes a history of n entries and exports it in parts, because the store
// keeps only the newest entries.
func (s *service) exportMany(ctx context.Context, n int) (err error) {
	file, err := os.Create(filepath.Join(s.folder, exportFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<20)
	options := &audit.ExportOptions{}
	for made := 1; made < n; { // the first entry is the creation
		part := min(batch, n-made)
		if err := s.sellMany(ctx, part); err != nil {
			return err
		}
		if made += part; made == n {
			options.Signer = s.signer
		}
		chain, err := audit.Export(ctx, out, s.manager, cashRegister, options)
		if err != nil {
			return err
		}
		options.After = chain.Last
	}
	return out.Flush()
}

// batch is how many sales exportMany proposes together.
const batch = 10_000

// sellMany proposes n sales together, so that they share commits.
func (s *service) sellMany(ctx context.Context, n int) (err error) {
	replies := make(chan error, n)
	for i := range n {
		s.manager.Submit(ctx, proposal(sale{Item: "bread", Price: 1 + i%9}), func(_ sharedata.Verdict, err error) { replies <- err })
	}
	for range n {
		err = errors.Join(err, <-replies)
	}
	return err
}
