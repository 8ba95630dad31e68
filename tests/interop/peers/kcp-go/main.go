// kcp-peer speaks kcp-go, for tests and measurements against it.
//
// A dialler begins with a request of 24 bytes: "kcppeer1", the direction (u: the dialler sends, d:
// it receives), seven zero bytes, and how many bytes there will be, as a little-endian number of 64
// bits; 0 is as many as there are until the sender's time is over, which its -t says, a server's
// for downloads. KCP has no end, so a receiver that has everything answers with 8 bytes: how many
// bytes were as they should be. Of a sender whose time is over, nothing is answered.
//
// Each process prints a line of JSON for each session, with its own processor time and kcp-go's
// counters, which are those of the whole process. Goodput is the receiver's, from its first read to
// its last, and null where there is but one. A process that dials exits with 1 if a byte was
// another than it should be.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
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
	flags.Float64Var(&s.seconds, "t", 0, "send for so many seconds, where no bytes are asked for")
	flags.DurationVar(&s.limit, "limit", 30*time.Second, "give up after this")
	flags.StringVar(&s.addr, "addr", "127.0.0.1:0", "where to listen")
	flags.StringVar(&s.direction, "direction", "u", "u to send, d to receive")
	flags.Uint64Var(&s.bytes, "bytes", 1<<20, "how many bytes")
	flags.Parse(os.Args[2:])
	if s.direction != "u" && s.direction != "d" {
		return fmt.Errorf("-direction is %q; say u or d", s.direction)
	}
	// kcp-go would go on with the length it had.
	if s.mtu < 50 || s.mtu > 1500 {
		return fmt.Errorf("-mtu is %d; kcp-go takes 50 to 1500", s.mtu)
	}
	if s.block < 1 {
		return fmt.Errorf("-block is %d; a write takes one byte at least", s.block)
	}
	switch os.Args[1] {
	case "serve":
		return serve(s)
	case "dial":
		return dial(s, flags.Arg(0))
	}
	return fmt.Errorf("%q is neither serve nor dial", os.Args[1])
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
	bytes := binary.LittleEndian.Uint64(request[16:])
	switch request[8] {
	case 'u':
		return s.receive(session, bytes)
	case 'd':
		return s.send(session, bytes)
	}
	return fmt.Errorf("the request has direction %q", request[8])
}

func dial(s settings, addr string) error {
	session, err := kcp.DialWithOptions(addr, nil, s.data, s.parity)
	if err != nil {
		return fmt.Errorf("dialling %s: %w", addr, err)
	}
	// Sends the acknowledgements that are due.
	defer session.Close()
	s.apply(session)
	session.SetReadBuffer(s.sockbuf)
	session.SetWriteBuffer(s.sockbuf)
	if s.seconds > 0 {
		s.bytes = 0
	}
	request := append(append([]byte{}, magic...), make([]byte, 16)...)
	request[8] = s.direction[0]
	binary.LittleEndian.PutUint64(request[16:], s.bytes)
	if _, err := session.Write(request); err != nil {
		return fmt.Errorf("sending the request: %w", err)
	}
	if s.direction == "u" {
		return s.send(session, s.bytes)
	}
	return s.receive(session, s.bytes)
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

func (s settings) send(session *kcp.UDPSession, bytes uint64) error {
	if bytes == 0 && s.seconds <= 0 {
		return errors.New("no number of bytes to send, and no time; say -t at the sender")
	}
	began := time.Now()
	until := began.Add(time.Duration(s.seconds * float64(time.Second)))
	block := make([]byte, s.block)
	if !s.verify {
		pattern(0, block)
	}
	var sent uint64
	for bytes == 0 && time.Now().Before(until) || sent < bytes {
		piece := block
		if left := bytes - sent; bytes > 0 && left < uint64(len(piece)) {
			piece = piece[:left]
		}
		if s.verify {
			pattern(sent, piece)
		}
		n, err := session.Write(piece)
		sent += uint64(n)
		if err != nil {
			return fmt.Errorf("sending byte %d: %w", sent, err)
		}
	}
	took := time.Since(began)
	var verified uint64
	if bytes > 0 {
		confirmation := make([]byte, 8)
		if _, err := io.ReadFull(session, confirmation); err != nil {
			return fmt.Errorf("waiting for the confirmation: %w", err)
		}
		verified = binary.LittleEndian.Uint64(confirmation)
	}
	s.report(result{Direction: "sent", Sent: sent, Verified: verified}, took)
	if bytes > 0 && s.verify && verified != sent {
		return fmt.Errorf("of %d bytes sent, the receiver found %d as they should be", sent, verified)
	}
	return nil
}

func (s settings) receive(session *kcp.UDPSession, bytes uint64) error {
	block := make([]byte, s.block)
	expected := make([]byte, s.block)
	end := time.Now().Add(s.limit)
	var began, last time.Time
	var received, verified uint64
	for bytes == 0 || received < bytes {
		if bytes == 0 && received > 0 && time.Now().Add(quiet).Before(end) {
			session.SetReadDeadline(time.Now().Add(quiet))
		}
		n, err := session.Read(block)
		if err != nil {
			// Nothing has come for a while: the only error that there is but for broken data.
			if bytes == 0 && received > 0 {
				break
			}
			return fmt.Errorf("receiving byte %d: %w", received, err)
		}
		last = time.Now()
		if began.IsZero() {
			began = last
		}
		if s.verify {
			pattern(received, expected[:n])
			for at := range expected[:n] {
				if expected[at] == block[at] {
					verified++
				}
			}
		}
		received += uint64(n)
	}
	if bytes > 0 {
		if err := s.confirm(session, verified); err != nil {
			return fmt.Errorf("confirming: %w", err)
		}
	}
	s.report(result{Direction: "received", Received: received, Verified: verified}, last.Sub(began))
	if s.verify && verified != received {
		return fmt.Errorf("of %d bytes received, %d are as they should be", received, verified)
	}
	return nil
}

// confirm returns once the confirmation is acknowledged: closing would drop it before.
func (s settings) confirm(session *kcp.UDPSession, verified uint64) error {
	confirmation := make([]byte, 8)
	binary.LittleEndian.PutUint64(confirmation, verified)
	// With room for one segment, a write of nothing waits for the one before it.
	session.SetWindowSize(1, s.rcvwnd)
	if _, err := session.Write(confirmation); err != nil {
		return err
	}
	session.SetWriteDeadline(time.Now().Add(linger))
	// The peer may have been gone, with all it wanted, before it acknowledged.
	session.Write(nil)
	return nil
}

func (s settings) report(r result, took time.Duration) {
	r.Seconds = took.Seconds()
	if r.Received > 0 && took > 0 {
		goodput := float64(r.Received) * 8 / r.Seconds
		r.Goodput = &goodput
	}
	r.CPU = cpu()
	r.Snmp = kcp.DefaultSnmp.Copy()
	print(r)
}

// pattern fills block with the bytes that belong at this place of the stream: each group of eight
// is its number, scrambled.
func pattern(at uint64, block []byte) {
	var word [8]byte
	for i := range block {
		place := at + uint64(i)
		if i == 0 || place%8 == 0 {
			x := (place/8 + 1) * 0x9e3779b97f4a7c15
			binary.LittleEndian.PutUint64(word[:], x^x>>29)
		}
		block[i] = word[place%8]
	}
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

// How long nothing comes before a sender whose time is over counts as done.
const quiet = 400 * time.Millisecond

// How long a confirmation may take to be acknowledged.
const linger = 2 * time.Second
