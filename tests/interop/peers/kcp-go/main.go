// kcp-peer speaks kcp-go, for tests and measurements against it.
//
// A dialler begins with a request of 24 bytes, its numbers little-endian:
//
//	 0  "kcppeer1"
//	 8  u: the dialler sends; d: it receives; b: both at once
//	 9  three zero bytes
//	12  32 bits: for how many milliseconds a sender sends, where no bytes are asked for
//	16  64 bits: how many bytes there are in each direction; 0: as many as there are in that time
//
// KCP has no end, so a receiver that has all of them answers with 8 bytes: how many bytes were as
// they should be. Where data goes both ways, that is behind the receiver's own data. Of a sender
// whose time is over, nothing is answered: it is done once nothing comes for a while.
//
// Each process prints a line of JSON for each direction of each session, with its own processor time
// and kcp-go's counters, which are those of the whole process. Goodput is the receiver's, from its
// first read to its last, and null where there is but one. A process that dials exits with 1 if a
// byte was another than it should be.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"
	"time"

	"github.com/xtaci/kcp-go"
)

type settings struct {
	nodelay, interval, resend, nc int
	sndwnd, rcvwnd, mtu           int
	data, parity, sockbuf, block  int
	stream, verify                bool
	ackNoDelay, writeDelay        bool
	seconds                       float64
	limit                         time.Duration
	addr, direction               string
	bytes                         uint64
}

type result struct {
	Direction string    `json:"direction"`
	Sent      uint64    `json:"sent"`
	Received  uint64    `json:"received"`
	Verified  uint64    `json:"verified"`
	Seconds   float64   `json:"seconds"`
	Goodput   *float64  `json:"goodput_bps"`
	CPU       float64   `json:"cpu_seconds"`
	Snmp      *kcp.Snmp `json:"snmp"`
}

var magic = []byte("kcppeer1")

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kcp-peer:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) < 2 {
		return errors.New("say serve or dial")
	}
	var s settings
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.IntVar(&s.nodelay, "nodelay", 1, "KCP's first number")
	flags.IntVar(&s.interval, "interval", 10, "KCP's second number, in milliseconds")
	flags.IntVar(&s.resend, "resend", 2, "KCP's third number")
	flags.IntVar(&s.nc, "nc", 1, "KCP's fourth number")
	flags.IntVar(&s.sndwnd, "sndwnd", 1024, "send window in segments")
	flags.IntVar(&s.rcvwnd, "rcvwnd", 1024, "receive window in segments")
	flags.IntVar(&s.mtu, "mtu", 1400, "bytes of the longest datagram")
	flags.IntVar(&s.data, "data", 0, "datagrams of data in a group")
	flags.IntVar(&s.parity, "parity", 0, "datagrams of parity in a group")
	flags.IntVar(&s.sockbuf, "sockbuf", 4<<20, "bytes of each socket buffer")
	flags.IntVar(&s.block, "block", 64<<10, "bytes of a write and of a read")
	flags.BoolVar(&s.stream, "stream", true, "fill segments whatever the writes are")
	flags.BoolVar(&s.ackNoDelay, "ackNoDelay", false, "acknowledge each datagram at once")
	flags.BoolVar(&s.writeDelay, "writeDelay", false, "send what is written at the next interval")
	flags.BoolVar(&s.verify, "verify", true, "look at each byte")
	flags.Float64Var(&s.seconds, "t", 0, "dialling: send for so many seconds, and not so many bytes")
	flags.DurationVar(&s.limit, "limit", 30*time.Second, "give a session up after this")
	flags.StringVar(&s.addr, "addr", "127.0.0.1:0", "serving: where to listen")
	flags.StringVar(&s.direction, "direction", "u", "dialling: u to send, d to receive, b for both")
	flags.Uint64Var(&s.bytes, "bytes", 1<<20, "dialling: how many bytes")
	flags.Parse(os.Args[2:])
	if err := s.check(); err != nil {
		return err
	}
	switch os.Args[1] {
	case "serve":
		return serve(s)
	case "dial":
		return dial(s, flags.Arg(0))
	}
	return fmt.Errorf("%q is neither serve nor dial", os.Args[1])
}

// check refuses what kcp-go would replace by something else without a word.
func (s settings) check() error {
	for _, option := range []struct {
		name               string
		value, least, most int
	}{
		{"interval", s.interval, 10, 5000},
		{"sndwnd", s.sndwnd, 1, math.MaxUint16},
		{"rcvwnd", s.rcvwnd, 1, math.MaxUint16},
		{"mtu", s.mtu, 50, 1500},
		{"block", s.block, 1, 1 << 30},
		{"data", s.data, 0, 255},
		{"parity", s.parity, 0, 256 - s.data},
	} {
		if option.value < option.least || option.value > option.most {
			return fmt.Errorf("-%s is %d; say %d to %d", option.name, option.value, option.least, option.most)
		}
	}
	if (s.data == 0) != (s.parity == 0) {
		return fmt.Errorf("-data is %d and -parity %d; say both or neither", s.data, s.parity)
	}
	if s.direction != "u" && s.direction != "d" && s.direction != "b" {
		return fmt.Errorf("-direction is %q; say u, d or b", s.direction)
	}
	if s.seconds < 0 || s.seconds >= s.limit.Seconds() {
		return fmt.Errorf("-t is %v; say less than -limit, which is %v", s.seconds, s.limit)
	}
	return nil
}

func serve(s settings) error {
	listener, err := kcp.ListenWithOptions(s.addr, nil, s.data, s.parity)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", s.addr, err)
	}
	listener.SetReadBuffer(s.sockbuf)
	listener.SetWriteBuffer(s.sockbuf)
	print(map[string]string{"listening": listener.Addr().String()})
	for {
		session, err := listener.AcceptKCP()
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		go func() {
			if err := answer(s, session); err != nil {
				fmt.Fprintln(os.Stderr, "kcp-peer:", err)
			}
		}()
	}
}

func answer(s settings, session *kcp.UDPSession) error {
	s.apply(session)
	// What the peer sends again, for want of an acknowledgement, is to find the session and not to
	// open another.
	defer time.AfterFunc(s.limit, func() { session.Close() })
	request := make([]byte, 24)
	if _, err := io.ReadFull(session, request); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	if string(request[:8]) != string(magic) {
		return fmt.Errorf("the request begins with %q", request[:8])
	}
	s.seconds = float64(binary.LittleEndian.Uint32(request[12:])) / 1e3
	s.bytes = binary.LittleEndian.Uint64(request[16:])
	switch request[8] {
	case 'u':
		return s.transfer(session, false, true)
	case 'd':
		return s.transfer(session, true, false)
	case 'b':
		return s.transfer(session, true, true)
	}
	return fmt.Errorf("the request has direction %q", request[8])
}

func dial(s settings, addr string) error {
	if s.seconds > 0 {
		s.bytes = 0
	} else if s.bytes == 0 {
		return errors.New("-bytes is 0; say how many there are, or for how long with -t")
	}
	session, err := kcp.DialWithOptions(addr, nil, s.data, s.parity)
	if err != nil {
		return fmt.Errorf("dialling %s: %w", addr, err)
	}
	// Sends the acknowledgements that are due.
	defer session.Close()
	s.apply(session)
	session.SetReadBuffer(s.sockbuf)
	session.SetWriteBuffer(s.sockbuf)
	request := append(append([]byte{}, magic...), make([]byte, 16)...)
	request[8] = s.direction[0]
	binary.LittleEndian.PutUint32(request[12:], uint32(math.Ceil(s.seconds*1e3)))
	binary.LittleEndian.PutUint64(request[16:], s.bytes)
	if _, err := session.Write(request); err != nil {
		return fmt.Errorf("sending the request: %w", err)
	}
	return s.transfer(session, s.direction != "d", s.direction != "u")
}

func (s settings) apply(session *kcp.UDPSession) {
	session.SetStreamMode(s.stream)
	session.SetNoDelay(s.nodelay, s.interval, s.resend, s.nc)
	session.SetWindowSize(s.sndwnd, s.rcvwnd)
	session.SetMtu(s.mtu)
	session.SetACKNoDelay(s.ackNoDelay)
	session.SetWriteDelay(s.writeDelay)
	session.SetDeadline(time.Now().Add(s.limit))
}

func (r result) print(took time.Duration) {
	r.Seconds = took.Seconds()
	if r.Received > 0 && took > 0 {
		goodput := float64(r.Received) * 8 / r.Seconds
		r.Goodput = &goodput
	}
	r.CPU = cpu()
	r.Snmp = kcp.DefaultSnmp.Copy()
	print(r)
}

func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func print(value interface{}) {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(line, '\n'))
}
