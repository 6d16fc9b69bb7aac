package wire_test

import (
	"errors"
	"fmt"

	"github.com/safe-go/safe/internal/wire"
)

func Example() {
	frame := []byte(`{"v":1,"type":"propose","shareDataId":"counter","functionId":"add","proposedData":{"by":1},"correlationId":"c-1"}`)
	message, err := wire.DecodeClient(frame, wire.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := message.(type) {
	case *wire.Propose:
		fmt.Printf("run %s on %s with %s\n", m.FunctionID, m.ShareDataID, m.ProposedData)
		answer := wire.ProposalResult{CorrelationID: m.CorrelationID, Accepted: true, TransactionID: "1a2b3c-2"}
		fmt.Printf("%s\n", answer.AppendTo(nil))
	}

	_, err = wire.DecodeClient([]byte(`{"v":1,"type":"propose","correlationId":"c-2","shareDataId":7}`), wire.Limits{})
	var failure *wire.DecodeError
	if errors.As(err, &failure) {
		fmt.Println(failure)
		fmt.Println(errors.Is(err, wire.ErrField), failure.CorrelationID)
	}
	// Output:
	// run add on counter with {"by":1}
	// {"v":1,"type":"proposal-result","correlationId":"c-1","accepted":true,"transactionId":"1a2b3c-2"}
	// invalid field at /shareDataId: must be a string, not a number (byte 60)
	// true c-2
}
