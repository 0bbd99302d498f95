// A server that answers with what it is sent, for comparing load tools.
//
// It prints its address, and one line when it ends on SIGTERM: calls that reached it, messages
// read, and the processor time that they took, as JSON. With -waits FILE, a file with a number of
// nanoseconds a line, the n-th call waits for as long as the n-th line says, and the first line comes
// after the last.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
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

// So often Repeat answers.
const answers = 5

type echo struct {
	waits  []time.Duration
	served atomic.Int64
	// Messages that were received.
	messages atomic.Int64
}

// Counts a call, and returns how long it has to wait.
func (e *echo) begin() time.Duration {
	place := e.served.Add(1) - 1
	if len(e.waits) == 0 {
		return 0
	}
	return e.waits[place%int64(len(e.waits))]
}

// Waits, unless the caller gives up before.
func pause(ctx context.Context, wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func say(server any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.BytesValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	e := server.(*echo)
	e.messages.Add(1)
	return in, pause(ctx, e.begin())
}

// Reads what the caller sends until it closes its side, and hands on each message.
func (e *echo) readAll(stream grpc.ServerStream, handle func(*wrapperspb.BytesValue) error) error {
	for {
		in := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		e.messages.Add(1)
		if err := handle(in); err != nil {
			return err
		}
	}
}

func collect(server any, stream grpc.ServerStream) error {
	e := server.(*echo)
	wait := e.begin()
	last := new(wrapperspb.BytesValue)
	err := e.readAll(stream, func(in *wrapperspb.BytesValue) error {
		last = in
		return nil
	})
	if err != nil {
		return err
	}
	if err := pause(stream.Context(), wait); err != nil {
		return err
	}
	return stream.SendMsg(last)
}

func repeat(server any, stream grpc.ServerStream) error {
	e := server.(*echo)
	wait := e.begin()
	in := new(wrapperspb.BytesValue)
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	e.messages.Add(1)
	if err := stream.SendMsg(in); err != nil {
		return err
	}
	if err := pause(stream.Context(), wait); err != nil {
		return err
	}
	for range answers - 1 {
		if err := stream.SendMsg(in); err != nil {
			return err
		}
	}
	return nil
}

func follow(server any, stream grpc.ServerStream) error {
	e := server.(*echo)
	wait := e.begin()
	in := new(wrapperspb.BytesValue)
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	e.messages.Add(1)
	for {
		if err := stream.SendMsg(in); err != nil {
			return err
		}
		if err := pause(stream.Context(), wait/2); err != nil {
			return err
		}
	}
}

func chat(server any, stream grpc.ServerStream) error {
	e := server.(*echo)
	wait := e.begin()
	if err := e.readAll(stream, func(in *wrapperspb.BytesValue) error { return stream.SendMsg(in) }); err != nil {
		return err
	}
	return pause(stream.Context(), wait)
}

var description = grpc.ServiceDesc{
	ServiceName: "tailrace.loadtest.Echo",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Say", Handler: say}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Collect", Handler: collect, ClientStreams: true},
		{StreamName: "Repeat", Handler: repeat, ServerStreams: true},
		{StreamName: "Follow", Handler: follow, ServerStreams: true},
		{StreamName: "Chat", Handler: chat, ClientStreams: true, ServerStreams: true},
	},
	Metadata: "echo.proto",
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
	usage := map[string]any{
		"calls":             service.served.Load(),
		"messages":          service.messages.Load(),
		"processor_seconds": processorSeconds(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(usage); err != nil {
		log.Fatal(err)
	}
}
