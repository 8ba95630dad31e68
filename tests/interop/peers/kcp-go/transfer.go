package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/xtaci/kcp-go"
)

// part is what one end has done in one direction.
type part struct {
	bytes, verified uint64
	took            time.Duration
}

// transfer does this end's part of what was asked for, and prints what came of it.
func (s settings) transfer(session *kcp.UDPSession, sends, receives bool) error {
	var out, in part
	sending := make(chan error, 1)
	go func() {
		var err error
		if sends {
			out, err = s.send(session)
		}
		sending <- err
	}()
	var err error
	if receives {
		in, err = s.receive(session)
	}
	// A session's deadline ends this if the peer does not.
	if failed := <-sending; err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	if s.bytes > 0 {
		if out.verified, err = s.confirm(session, sends, receives, in.verified); err != nil {
			return err
		}
	}
	if sends {
		result{Direction: "sent", Sent: out.bytes, Verified: out.verified}.print(out.took)
	}
	if receives {
		result{Direction: "received", Received: in.bytes, Verified: in.verified}.print(in.took)
	}
	if !s.verify {
		return nil
	}
	if s.bytes > 0 && out.verified != out.bytes {
		return fmt.Errorf("of %d bytes sent, the receiver found %d as they should be", out.bytes, out.verified)
	}
	if in.verified != in.bytes {
		return fmt.Errorf("of %d bytes received, %d are as they should be", in.bytes, in.verified)
	}
	return nil
}

func (s settings) send(session *kcp.UDPSession) (part, error) {
	var done part
	if s.bytes == 0 && s.seconds == 0 {
		return done, errors.New("the request has neither bytes nor a time to send for")
	}
	began := time.Now()
	until := began.Add(time.Duration(s.seconds * float64(time.Second)))
	block := make([]byte, s.block)
	if !s.verify {
		pattern(0, block)
	}
	for s.bytes == 0 && time.Now().Before(until) || done.bytes < s.bytes {
		piece := s.next(block, done.bytes)
		if s.verify {
			pattern(done.bytes, piece)
		}
		n, err := session.Write(piece)
		done.bytes += uint64(n)
		if err != nil {
			return done, fmt.Errorf("sending byte %d: %w", done.bytes, err)
		}
	}
	done.took = time.Since(began)
	return done, nil
}

func (s settings) receive(session *kcp.UDPSession) (part, error) {
	var done part
	block := make([]byte, s.block)
	expected := make([]byte, s.block)
	end := time.Now().Add(s.limit)
	var began time.Time
	for s.bytes == 0 || done.bytes < s.bytes {
		if s.bytes == 0 && done.bytes > 0 && time.Now().Add(quiet).Before(end) {
			session.SetReadDeadline(time.Now().Add(quiet))
		}
		n, err := session.Read(s.next(block, done.bytes))
		if err != nil {
			// Nothing has come for a while: the only error that there is but for broken data.
			if s.bytes == 0 && done.bytes > 0 {
				break
			}
			return done, fmt.Errorf("receiving byte %d: %w", done.bytes, err)
		}
		if began.IsZero() {
			began = time.Now()
		}
		done.took = time.Since(began)
		if s.verify {
			pattern(done.bytes, expected[:n])
			for at := range expected[:n] {
				if expected[at] == block[at] {
					done.verified++
				}
			}
		}
		done.bytes += uint64(n)
	}
	return done, nil
}

// next returns as much of block as belongs to the data after so many bytes; a confirmation may
// follow.
func (s settings) next(block []byte, done uint64) []byte {
	if left := s.bytes - done; s.bytes > 0 && left < uint64(len(block)) {
		return block[:left]
	}
	return block
}

// confirm tells what was received, and returns what the peer tells of what was sent. Closing would
// drop what is not acknowledged, so that it waits for this.
func (s settings) confirm(session *kcp.UDPSession, sends, receives bool, verified uint64) (uint64, error) {
	confirmation := make([]byte, 8)
	if receives {
		binary.LittleEndian.PutUint64(confirmation, verified)
		if _, err := session.Write(confirmation); err != nil {
			return 0, fmt.Errorf("confirming: %w", err)
		}
	}
	var confirmed uint64
	if sends {
		if _, err := io.ReadFull(session, confirmation); err != nil {
			return 0, fmt.Errorf("waiting for the confirmation: %w", err)
		}
		confirmed = binary.LittleEndian.Uint64(confirmation)
	}
	if receives {
		// With room for one segment, a write of nothing waits for all before it.
		session.SetWindowSize(1, s.rcvwnd)
		session.SetWriteDeadline(time.Now().Add(linger))
		// The peer may have been gone, with all it wanted, before it acknowledged.
		session.Write(nil)
	}
	return confirmed, nil
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

// How long nothing comes before a sender whose time is over counts as done.
const quiet = 400 * time.Millisecond

// How long a confirmation may take to be acknowledged.
const linger = 2 * time.Second
