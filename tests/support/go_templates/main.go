// Fills the templates of cases.json with Go's text/template and sprig, and writes the file anew.
//
// cases.json has pairs: a template, and what comes of it, or null where it is an error. To add one,
// write it with null, then run here:
//
//	go mod init templates && go get github.com/Masterminds/sprig/v3@v3.2.3 && go run . cases.json
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

type callData struct {
	WorkerID          string
	RequestNumber     int64
	MethodName        string
	IsClientStreaming bool
}

func filled(text string) (out *string) {
	defer func() { _ = recover() }()
	read, err := template.New("").Funcs(template.FuncMap(sprig.FuncMap())).Parse(text)
	if err != nil {
		return nil
	}
	var written bytes.Buffer
	if err := read.Execute(&written, &callData{"g0c0", 7, "Echo", false}); err != nil {
		return nil
	}
	text = written.String()
	return &text
}

func main() {
	var cases [][2]*string
	raw, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		panic(err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for place, one := range cases {
		fmt.Fprint(&out, map[bool]string{true: "[\n", false: ","}[place == 0])
		if err := encoder.Encode([2]*string{one[0], filled(*one[0])}); err != nil {
			panic(err)
		}
	}
	fmt.Fprintln(&out, "]")
	if err := os.WriteFile(os.Args[1], out.Bytes(), 0o644); err != nil {
		panic(err)
	}
}
