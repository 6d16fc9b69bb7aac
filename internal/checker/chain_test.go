package checker_test

import (
	"crypto/sha256"
	"encoding/json"

	"github.com/safe-go/safe/sharedata"
)

// seal chains an entry to the one before it, by the rule that the
// documentation of sharedata.Entry gives.
func seal(e sharedata.Entry, previous sharedata.Hash) sharedata.Entry {
	e.Previous, e.Hash = previous, sharedata.Hash{}
	record, err := e.MarshalJSON() // json.Marshal would compact the proposed data
	if err != nil {
		panic(err)
	}
	record = record[:len(record)-len(`,"hash":""}`)-2*len(e.Hash)]
	e.Hash = sha256.Sum256(record)
	return e
}

// reseal repairs the chain after its entries from the index on were changed.
func reseal(entries []sharedata.Entry, from int) {
	for i := from; i < len(entries); i++ {
		previous := entries[i].Previous
		if i > 0 {
			previous = entries[i-1].Hash
		}
		entries[i] = seal(entries[i], previous)
	}
}

func hashOf(state json.RawMessage) sharedata.Hash { return sha256.Sum256(state) }
