#!/usr/bin/env python3
"""The close matrix: the same conversations, held directly and through a relay, must look the same to both ends.

    matrix.py UPSTREAM_PORT RELAY_PORT      (on 127.0.0.1; the relay connects to UPSTREAM_PORT, where this program listens)

Each row is one way in which a conversation comes to its end. A cell is what one end saw: the bytes it read (how many, and
their hash) and how its stream ended: FIN, RST, or `stuck` where nothing came within the limit. The exit code is 1 where
a cell through the relay differs from the direct one, but for the exceptions named at the end of this file.
"""

import hashlib
import random
import socket
import struct
import sys
import termios
import threading
import time
from fcntl import ioctl

LIMIT_SECONDS = 10  # for each wait; far more than any takes
PAUSE_SECONDS = 1.0  # of those ends that take their time
KIB, MIB = 1 << 10, 1 << 20
PIECES = random.Random(7).randbytes(16 * MIB)  # what is sent; any two conversations send the same


class End:
    """One end of a conversation, and what it saw."""

    def __init__(self, sock):
        self.sock, self.count, self.hash, self.ending, self.refused = sock, 0, hashlib.sha256(), "", ""
        sock.settimeout(LIMIT_SECONDS)

    def read(self, most=sys.maxsize):
        """Reads `most` bytes, or until the stream ends."""
        while most > 0:
            try:
                piece = self.sock.recv(min(most, 64 * KIB))
            except TimeoutError:
                self.ending = "stuck"
                return
            except ConnectionError:
                self.ending = "RST"
                return
            if not piece:
                self.ending = "FIN"
                return
            self.count += len(piece)
            self.hash.update(piece)
            most -= len(piece)

    def write(self, data):
        """Writes all, or until the other end aborts."""
        try:
            self.sock.sendall(data)
        except TimeoutError:
            self.refused = "writing stuck"
        except ConnectionError:
            self.refused = "writing: RST"

    def write_on(self):
        """Writes until the other end aborts."""
        until = time.monotonic() + LIMIT_SECONDS
        while not self.refused:
            self.write(PIECES[: 64 * KIB])
            if time.monotonic() > until:
                self.refused = "writing goes on"

    def urgent(self):
        self.sock.send(b"!", socket.MSG_OOB)

    def fin(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.refused = "FIN: reset before"

    def sent(self):
        """Waits until the other side's kernel has all that was written."""
        until = time.monotonic() + LIMIT_SECONDS
        while struct.unpack("i", ioctl(self.sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0] > 0 and time.monotonic() < until:
            time.sleep(0.001)

    def reset(self):
        """Aborts, once the other side's kernel has all that was written."""
        self.sent()
        self.cut()

    def cut(self):
        """Aborts at once, whatever is on its way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def one_abort(self):
        """For an end that reads and writes at once: either may be the one to be told of the abort."""
        if "RST" in self.refused:
            self.ending, self.refused = "RST", ""

    def saw(self):
        said = [f"{self.count} bytes {self.hash.hexdigest()[:6]}" if self.count else "no byte", self.ending, self.refused]
        return ", ".join(filter(None, said))


class Talk:
    """One conversation: a client that connects to `port`, and the upstream that is listened for."""

    def __init__(self, port, listener, receive_buffer=None):
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(LIMIT_SECONDS)
        sock.connect(("127.0.0.1", port))
        self.client, self.listener, self.upstream = End(sock), listener, None

    def accept(self):
        self.upstream = End(self.listener.accept()[0])
        return self.client, self.upstream

    def done(self):
        for end in (self.client, self.upstream):
            if end:
                end.close()


class during:
    """Runs a function beside the block, and waits for both."""

    def __init__(self, function, *arguments):
        self.thread = threading.Thread(target=function, args=arguments)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.thread.join()


ROWS = []


def row(name, **options):
    return lambda function: ROWS.append((name, function, options))


@row("both say all they have, then FIN")
def both(talk):
    c, s = talk.accept()
    with during(c.write, PIECES), during(s.write, PIECES), during(c.read, 16 * MIB):
        s.read(16 * MIB)
    c.fin(), s.fin(), c.read(), s.read()


@row("the client ends first; a late reply")
def client_first(talk):
    c, s = talk.accept()
    with during(s.read):
        c.write(PIECES[:MIB]), c.fin()
    time.sleep(PAUSE_SECONDS)
    with during(c.read):
        s.write(PIECES[:MIB]), s.close()


@row("the request and its FIN before the upstream accepts")
def all_at_once(talk):
    talk.client.write(PIECES[: 64 * KIB]), talk.client.fin()
    c, s = talk.accept()
    s.read()
    with during(c.read):
        s.write(PIECES[:MIB]), s.close()


@row("the upstream ends first; the upload goes on")
def upstream_first(talk):
    c, s = talk.accept()
    s.write(b"hello"), s.fin(), c.read()
    time.sleep(PAUSE_SECONDS)
    with during(s.read):
        c.write(PIECES[:MIB]), c.close()


@row("the upstream speaks first")
def banner(talk):
    c, s = talk.accept()
    s.write(b"220 ready\r\n"), c.read(11)
    c.write(b"QUIT\r\n"), s.read(6)
    s.write(b"221 bye\r\n"), s.close(), c.read(), c.close()


@row("both close at once")
def simultaneous(talk):
    c, s = talk.accept()
    c.write(PIECES[: 64 * KIB]), s.write(PIECES[:MIB // 16])
    with during(c.fin):
        s.fin()
    c.read(), s.read()


@row("connect and go")
def connect_and_go(talk):
    talk.client.close()
    _, s = talk.accept()
    s.read(), s.close()


@row("the upstream goes at once")
def accept_and_go(talk):
    c, s = talk.accept()
    s.close(), c.read()


@row("a reply to a client that has gone")
def gone(talk):
    c, s = talk.accept()
    c.write(b"request"), c.close(), s.read()
    s.write_on()


@row("8 MiB, closed at once, to a slow reader", receive_buffer=4 * KIB)
def slow_reader(talk):
    c, s = talk.accept()
    with during(lambda: (s.write(PIECES[: 8 * MIB]), s.close())):
        time.sleep(PAUSE_SECONDS)
        c.read()


@row("upstream RST before any byte")
def reset_before(talk):
    c, s = talk.accept()
    s.reset(), c.read()


@row("upstream RST instead of a reply")
def reset_reply(talk):
    c, s = talk.accept()
    c.write(b"request"), s.read(7), s.reset(), c.read()


@row("upstream RST in mid-reply")
def reset_mid(talk):
    c, s = talk.accept()
    c.write(b"request"), s.read(7)
    with during(c.read, 256 * KIB):
        s.write(PIECES[: 256 * KIB])
    s.reset(), c.read()


@row("upstream RST after the whole exchange")
def reset_after(talk):
    c, s = talk.accept()
    c.write(b"request"), c.fin(), s.read()
    with during(c.read):
        s.write(PIECES[: 256 * KIB]), s.reset()


@row("upstream RST to a client that half-closed")
def reset_half_closed(talk):
    c, s = talk.accept()
    c.fin(), s.read(), s.reset(), c.read()


@row("upstream RST while the client pauses", receive_buffer=4 * KIB)
def reset_paused(talk):
    c, s = talk.accept()
    with during(lambda: (s.write(PIECES[: 512 * KIB]), s.reset())):
        time.sleep(PAUSE_SECONDS)
        c.read()


@row("client RST before any byte")
def client_reset_before(talk):
    c, s = talk.accept()
    c.reset(), s.read()


@row("client RST in mid-upload")
def client_reset_mid(talk):
    c, s = talk.accept()
    with during(s.read, 256 * KIB):
        c.write(PIECES[: 256 * KIB])
    c.reset(), s.read()


@row("client RST while the upstream pauses")
def client_reset_paused(talk):
    c, s = talk.accept()
    c.write(PIECES[: 64 * KIB]), c.reset()
    time.sleep(PAUSE_SECONDS)
    s.read()


@row("client RST after the upstream's end")
def client_reset_after(talk):
    c, s = talk.accept()
    s.fin(), c.read()
    with during(s.read):
        c.write(PIECES[: 64 * KIB]), c.reset()


@row("client RST during an endless reply")
def client_reset_reply(talk):
    c, s = talk.accept()
    with during(s.write_on):
        c.read(64 * KIB), c.cut()


@row("the client closes with a reply unread")
def unread(talk):
    c, s = talk.accept()
    s.write(PIECES[: 64 * KIB])
    c.sock.recv(64 * KIB, socket.MSG_PEEK | socket.MSG_WAITALL)
    c.close(), s.read()


@row("an early reply to an endless upload, then close")
def early_close(talk):
    c, s = talk.accept()
    with during(c.write_on):
        s.read(64 * KIB), s.write(PIECES[: 64 * KIB]), s.close()
        c.read()
    c.one_abort()


@row("an early reply and FIN, and only then close")
def early_fin(talk):
    c, s = talk.accept()
    with during(c.write_on):
        s.read(64 * KIB), s.write(PIECES[: 64 * KIB]), s.fin()
        c.read(), s.close()


@row("an urgent byte in an upload")
def urgent_upload(talk):
    c, s = talk.accept()
    with during(s.read):
        c.write(PIECES[:MIB]), c.urgent(), c.write(PIECES[MIB : 2 * MIB]), c.fin()
    s.close(), c.read()


@row("an urgent byte in a reply, and a pause after it")
def urgent_reply(talk):
    c, s = talk.accept()
    with during(c.read):
        s.write(PIECES[:MIB]), s.urgent()
        time.sleep(PAUSE_SECONDS)
        s.write(PIECES[MIB : 2 * MIB]), s.close()


def refused(port, listener):
    """No program listens at the upstream's port."""
    try:
        client = Talk(port, listener).client
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:  # The connection was made, and aborted before this program looked at it.
        return "no byte, RST"
    client.read(), client.close()
    return client.saw()


def cut_at_random(port, listener, upload):
    """A hundred transfers, each cut at a random moment: how many looked short and yet complete."""
    chance, dressed_up, broken = random.Random(11), 0, 0
    for _ in range(100):
        talk = Talk(port, listener)
        reader, writer = talk.accept() if not upload else reversed(talk.accept())
        size, wait = chance.randrange(1, 2 * MIB), chance.random() * 0.003
        with during(reader.read):
            writer.write(PIECES[:size]), time.sleep(wait), writer.cut()
        dressed_up += reader.ending != "RST"
        broken += reader.hash.digest() != hashlib.sha256(PIECES[: reader.count]).digest()
        talk.done()
    return f"{dressed_up} of 100 without RST, {broken} with wrong bytes"


def listen(port):
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    listener.settimeout(LIMIT_SECONDS)
    return listener


def hold(function, options, port, listener):
    """One conversation; what the client and the upstream saw."""
    talk = Talk(port, listener, **options)
    try:
        function(talk)
    except OSError as error:  # The upstream was never reached, or the connection is in a state that it cannot be in.
        return f"{talk.client.saw()}, {error}", talk.upstream.saw() if talk.upstream else "never reached"
    finally:
        talk.done()
    return talk.client.saw(), talk.upstream.saw()


# Through any relay these differ: the relay has taken the connection before it knows that it cannot be made, so the client
# is told by the only abort there is left.
EXCEPTIONS = {("refused", "client"): ("refused", "no byte, RST")}


def main(upstream_port, relay_port):
    rows = []
    listener = listen(upstream_port)
    for name, function, options in ROWS:
        direct = hold(function, options, upstream_port, listener)
        through = hold(function, options, relay_port, listener)
        rows += [(name, end, d, t) for end, d, t in zip(("client", "upstream"), direct, through)]
    for name, upload in ("downloads cut at random", False), ("uploads cut at random", True):
        ports = upstream_port, relay_port
        rows.append((name, "reader", *(cut_at_random(port, listener, upload) for port in ports)))
    listener.close()
    rows.append(("refused", "client", refused(upstream_port, None), refused(relay_port, None)))

    width = max(len(row[0]) for row in rows)
    columns = [max(len(row[i]) for row in rows) for i in (2, 3)]
    print(f"{'':{width}}  {'end':8}  {'directly':{columns[0]}}  through the relay")
    wrong, last = 0, None
    for name, end, direct, through in rows:
        expected = EXCEPTIONS.get((name, end))
        right = (direct, through) == expected if expected else direct == through
        note = "" if right and not expected else "the exception" if right else "DIFFERS"
        print(f"{name if name != last else '':{width}}  {end:8}  {direct:{columns[0]}}  {through:{columns[1]}}  {note}".rstrip())
        wrong, last = wrong + (not right), name
    print(f"{len(rows)} cells, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
