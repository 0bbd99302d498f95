// A server that answers with what it is sent, for comparing load tools.
//
// It prints its address, and one line when it ends on SIGTERM: calls served, and the processor
// time that they took, as JSON. With -waits FILE, a file with a number of nanoseconds a line, the
// n-th call waits for as long as the n-th line says, and the first line comes after the last.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type echo struct {
	waits  []time.Duration
	served atomic.Int64
}

func (e *echo) say(_ context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
	place := e.served.Add(1) - 1
	if len(e.waits) > 0 {
		time.Sleep(e.waits[place%int64(len(e.waits))])
	}
	return in, nil
}

func handle(server any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.BytesValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	return server.(*echo).say(ctx, in)
}

var description = grpc.ServiceDesc{
	ServiceName: "tailrace.loadtest.Echo",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Say", Handler: handle}},
	Metadata:    "echo.proto",
}

func readWaits(path string) ([]time.Duration, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var waits []time.Duration
	for lines := bufio.NewScanner(file); lines.Scan(); {
		nanoseconds, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(waits)+1, err)
		}
		waits = append(waits, time.Duration(nanoseconds))
	}
	return waits, nil
}

func processorSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func main() {
	path := flag.String("waits", "", "file with nanoseconds to wait, a line per call")
	flag.Parse()
	service := new(echo)
	if *path != "" {
		waits, err := readWaits(*path)
		if err != nil {
			log.Fatal(err)
		}
		service.waits = waits
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	server.RegisterService(&description, service)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-ended
		server.Stop()
	}()
	fmt.Println(listener.Addr())
	if err := server.Serve(listener); err != nil {
		log.Fatal(err)
	}
	usage := map[string]any{"calls": service.served.Load(), "processor_seconds": processorSeconds()}
	if err := json.NewEncoder(os.Stdout).Encode(usage); err != nil {
		log.Fatal(err)
	}
}
