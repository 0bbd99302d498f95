// Command checks runs BuildKit's own Dockerfile checks (as `docker build --check` does) without a
// container engine: checks FILE... prints what they find, and ends with status 1 if that is
// anything. Base images are taken to be empty, as none is fetched.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// emptyImages says of every image that it is for Linux and has nothing set.
type emptyImages struct{}

func (emptyImages) ResolveImageConfig(
	_ context.Context, ref string, _ sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	config := []byte(`{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/bin"]}}`)
	return ref, digest.FromBytes(config), config, nil
}

func check(path string) (clean bool, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	caps := pb.Caps.CapSet(pb.Caps.All())
	source := llb.NewSourceMap(nil, path, "Dockerfile", content)
	source.Definition = &llb.Definition{}
	options := dockerfile2llb.ConvertOpt{
		MetaResolver: emptyImages{},
		SourceMap:    source,
		LLBCaps:      &caps,
	}
	results, err := dockerfile2llb.DockerfileLint(context.Background(), content, options)
	if err != nil {
		return false, err
	}
	if err := results.PrintTo(os.Stdout, nil); err != nil {
		return false, err
	}
	results.PrintErrorTo(os.Stdout, nil)
	return results.Error == nil && len(results.Warnings) == 0, nil
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: checks FILE...")
		os.Exit(2)
	}
	status := 0
	for _, path := range os.Args[1:] {
		clean, err := check(path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
		}
		if !clean {
			status = 1
		}
	}
	os.Exit(status)
}
