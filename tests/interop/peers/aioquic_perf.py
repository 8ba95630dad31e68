"""aioquic speaking `perf` (draft-banks-quic-performance-00), as a server or as a client.

A line of JSON tells of each stream that is over. Errors go to stderr, with exit code 1.
"""

import argparse
import asyncio
import json
import ssl
import struct
import sys
from functools import partial

try:
    from aioquic.asyncio import QuicConnectionProtocol, connect
    from aioquic.asyncio.server import QuicServer
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import (
        ConnectionTerminated,
        HandshakeCompleted,
        StopSendingReceived,
        StreamDataReceived,
        StreamReset,
    )
except ModuleNotFoundError as error:
    sys.exit(f"{error}: name a Python that has aioquic in AIOQUIC_PYTHON; .ci/run installs one")

HEADER = struct.Struct(">Q")
UNLIMITED = 2**64 - 1
CHUNK = bytes(16 * 1024)
# Bytes of a stream that wait for acknowledgement at most: aioquic itself keeps whatever it is given.
WAITING = 256 * 1024
# Seconds without a word from the other end.
IDLE = 30


class Stream:
    """A bidirectional stream that the client has opened, at either end."""

    def __init__(self, connection, id):
        self.connection, self.id = connection, id
        # aioquic's own face tells of nothing that still waits.
        self.sender = connection._quic._get_or_create_stream_for_send(id).sender
        self.header = b""  # as it has come from the client
        self.sent = self.received = 0  # bytes after the header
        self.fin = self.reset = self.refused = False  # by the other end
        connection.streams[id] = self

    def write(self, data, fin=False):
        if not self.refused:
            self.connection._quic.send_stream_data(self.id, data, end_stream=fin)
            self.connection.transmit()

    def waiting(self):
        return self.sender._buffer_stop - self.sender._buffer_start

    async def send(self, count):
        """Sends so many bytes, unless the other end wants no more."""
        while count and not self.refused and not self.connection.ended:
            size = min(count, len(CHUNK))
            self.write(CHUNK[:size])
            count, self.sent = count - size, self.sent + size
            await self.until(lambda: self.refused or self.waiting() < WAITING)

    async def until(self, condition):
        await self.connection.until(condition)

    def tell(self, **line):
        print(json.dumps({"stream": self.id} | line), flush=True)


class Connection(QuicConnectionProtocol):
    """A connection, at either end. With `answer`, the server's: it runs with each stream."""

    def __init__(self, *args, answer=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.answer, self.streams, self.tasks = answer, {}, set()
        self.handshake = self.ended = None
        self.moved = asyncio.Event()

    async def until(self, condition):
        """Waits for the condition, or else for the end of the connection."""
        while not condition() and not self.ended:
            await self.moved.wait()

    def wake(self):
        self.moved.set()
        self.moved = asyncio.Event()

    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        self.wake()

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            self.ended = event
            self.wake()
        elif isinstance(event, HandshakeCompleted):
            self.handshake = event
        # Of what clients open, bidirectional streams alone are requests.
        elif getattr(event, "stream_id", None) is not None and event.stream_id % 4 == 0:
            self.stream_event_received(self.stream(event.stream_id), event)

    def stream_event_received(self, stream, event):
        if isinstance(event, StreamDataReceived):
            missing = HEADER.size - len(stream.header) if self.answer else 0
            stream.header += event.data[:missing]
            stream.received += len(event.data[missing:])
            stream.fin = event.end_stream
        elif isinstance(event, StreamReset):
            stream.reset = True
        elif isinstance(event, StopSendingReceived):
            stream.refused = True

    def stream(self, id):
        if id not in self.streams:
            task = asyncio.create_task(self.answer(Stream(self, id)))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return self.streams[id]


async def answer(stream):
    await stream.until(lambda: stream.fin or stream.reset)
    asked = HEADER.unpack(stream.header)[0] if len(stream.header) == HEADER.size else None
    if stream.fin and asked is not None:
        await stream.send(asked)
    stream.write(b"", fin=True)
    await stream.until(lambda: stream.sender.is_finished)
    del stream.connection.streams[stream.id]
    stream.tell(
        received=stream.received,
        sent=stream.sent,
        asked=asked,
        stopped=stream.refused,
        reset=stream.reset,
    )


async def server(args):
    configuration = QuicConfiguration(
        is_client=False, alpn_protocols=[args.alpn], idle_timeout=IDLE
    )
    configuration.load_cert_chain(args.certificate, args.private_key)
    create = partial(Connection, answer=answer)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: QuicServer(configuration=configuration, create_protocol=create),
        local_addr=("::", args.port),
    )
    print("listening", transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.Event().wait()


async def request(connection, args):
    quic = connection._quic
    stream = Stream(connection, quic.get_next_available_stream_id())
    header = HEADER.pack(UNLIMITED if args.unlimited else args.download)
    stream.write(header[: args.short], fin=args.short is not None)
    if args.reset_after is not None:
        await stream.send(args.reset_after)
        # A reset takes along what the other end has not acknowledged.
        await stream.until(lambda: stream.waiting() == 0)
        quic.reset_stream(stream.id, 0)
        connection.transmit()
    elif args.short is None:
        await stream.send(args.upload)
        stream.write(b"", fin=True)

    def is_over():
        return stream.fin or stream.reset

    await stream.until(lambda: is_over() or stream.received >= args.stop_after)
    stopped = not is_over() and not connection.ended
    if stopped:
        quic.stop_stream(stream.id, 0)
        connection.transmit()
        await stream.until(is_over)
    if not is_over():
        raise ended(connection)
    stream.tell(
        sent=stream.sent,
        received=stream.received,
        fin=stream.fin,
        stopped=stopped,
        reset=stream.reset,
    )
    misbehaves = args.short is not None or args.reset_after is not None
    if not misbehaves and not stopped and (not stream.fin or stream.received != args.download):
        by = "the end" if stream.fin else "a reset"
        raise ConnectionError(
            f"stream {stream.id}: {by} after {stream.received} of {args.download} bytes"
        )


def ended(connection):
    reason, code = connection.ended.reason_phrase, connection.ended.error_code
    return ConnectionError(f"the connection has ended: {reason or 'no reason'} (error {code:#x})")


async def client(args):
    configuration = QuicConfiguration(alpn_protocols=[args.alpn], idle_timeout=IDLE)
    configuration.load_verify_locations(args.ca)
    if args.insecure:
        configuration.verify_mode = ssl.CERT_NONE
    async with connect(
        args.host,
        args.port,
        configuration=configuration,
        create_protocol=Connection,
        wait_connected=False,
    ) as connection:
        connection.transmit()
        await connection.until(lambda: connection.handshake)
        if not connection.handshake:
            raise ended(connection)
        await asyncio.gather(*(request(connection, args) for _ in range(args.streams)))
    print(json.dumps({"handshake": True, "alpn": connection.handshake.alpn_protocol}), flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    roles = parser.add_subparsers(required=True)
    role = roles.add_parser("server")
    role.set_defaults(run=server)
    role.add_argument("--port", type=int, default=0)
    role.add_argument("--certificate", required=True, help="a file in PEM")
    role.add_argument("--private-key", required=True, help="a file in PEM")
    role.add_argument("--alpn", default="perf")
    role = roles.add_parser("client")
    role.set_defaults(run=client)
    role.add_argument("host")
    role.add_argument("port", type=int)
    trust = role.add_mutually_exclusive_group(required=True)
    trust.add_argument("--ca", help="a file in PEM")
    trust.add_argument("--insecure", action="store_true")
    role.add_argument("--upload", type=int, default=0, help="bytes on each stream")
    role.add_argument("--download", type=int, default=0, help="bytes on each stream")
    role.add_argument("--streams", type=int, default=1, help="0 opens none")
    role.add_argument("--unlimited", action="store_true", help="asks for all there is")
    role.add_argument("--stop-after", type=int, default=float("inf"), help="bytes")
    role.add_argument("--alpn", default="perf")
    role.add_argument("--reset-after", type=int, help="bytes of upload that arrive")
    role.add_argument("--short", type=int, help="bytes of the header that are sent at all")
    return parser.parse_args()


def main():
    args = arguments()
    try:
        asyncio.run(args.run(args))
    except OSError as error:
        sys.exit(f"aioquic: {error}")


main()
