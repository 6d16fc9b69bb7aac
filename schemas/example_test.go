package schemas_test

import (
	"fmt"
	"io/fs"
	"log"

	"github.com/safe-go/safe/schemas"
)

func Example() {
	validator, err := schemas.New()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(validator.ExplainClient([]byte(`{"v":1,"type":"ping","correlationId":"c-1"}`)))
	fmt.Println(validator.ExplainClient([]byte(`{"v":1,"type":"ping","correlationId":1}`)))
	fmt.Println(validator.ExplainClient([]byte(`{"v":1,"type":"propose","shareDataId":"counter"}`)))
	// Output:
	// <nil>
	// ping frame: /correlationId must be a string, not a number
	// propose frame: /correlationId is missing; /functionId is missing; /proposedData is missing
}

func ExampleFS() {
	names, err := fs.Glob(schemas.FS(), "v1/*-message.json")
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range names {
		fmt.Println(schemas.BaseURL + name)
	}
	// Output:
	// https://github.com/safe-go/safe/schemas/v1/client-message.json
	// https://github.com/safe-go/safe/schemas/v1/server-message.json
}
