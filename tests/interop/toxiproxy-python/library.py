"""toxiproxy-python against `switchboard faults`, with traffic from the client's side.

    library.py API ECHO CHECK      (ADDRESS:PORT of the API, of an echo, and the name of a function below)

Each check has a proxy of its own, in front of the echo, and deletes it. What is to be late may not be early; how late it may
be is generous: other programs share the machine.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time

from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

LIMIT_SECONDS = 10
LATE_SECONDS = 0.5
# Every kind of toxiproxy, with all of its attributes.
KINDS = {
    "latency": {"latency": 20, "jitter": 5},
    "bandwidth": {"rate": 1000},
    "slow_close": {"delay": 10},
    "timeout": {"timeout": 20},
    "reset_peer": {"timeout": 30},
    "slicer": {"average_size": 100, "size_variation": 10, "delay": 5},
    "limit_data": {"bytes": 4000},
    "noop": {},
}
# Those of our own that a stream of a session has.
OWN_KINDS = {
    "stall": {"bytes": 100, "duration": 20},
    "cut": {"bytes": 100, "time": 0, "reset": 0},
    "corrupt": {"offset": 3, "every": 0, "bits": 1},
    "hiccup": {"percent": 10, "pause": 20},
    "window": {"bytes": 4096},
    "slow_open": {"delay": 10, "jitter": 0},
    "refuse": {},
}
HOST, PORT = sys.argv[1].rsplit(":", 1)
ECHO = sys.argv[2]
SERVER = Toxiproxy()
SERVER.update_api_consumer(HOST, int(PORT))


@contextlib.contextmanager
def proxied(*toxics, upstream=ECHO):
    """A proxy in front of the echo, with these toxics (type, stream, attributes)."""
    proxy = SERVER.create(upstream=upstream, name=f"python-{os.getpid()}")
    try:
        for kind, stream, attributes in toxics:
            proxy.add_toxic(type=kind, stream=stream, attributes=attributes)
        yield proxy
    finally:
        SERVER.destroy(proxy)


def connect(proxy):
    host, port = proxy.listen.rsplit(":", 1)
    client = socket.create_connection((host, int(port)), LIMIT_SECONDS)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive(client, size):
    """That number of bytes, or fewer where the stream ends before."""
    data = b""
    while len(data) < size and (piece := client.recv(size - len(data))):
        data += piece
    return data


def ends(client):
    """By FIN, or by RST where bytes of the client lay unread."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def echoed(client, data=b"ping"):
    client.sendall(data)
    assert receive(client, len(data)) == data


@contextlib.contextmanager
def takes(seconds, late=LATE_SECONDS):
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    print(f"{took * 1000:.1f} ms for {seconds * 1000:.0f} ms")
    assert seconds <= took < seconds + late, took


@contextlib.contextmanager
def raises(kind):
    try:
        yield
    except kind as error:
        print(kind.__name__, error)
        return
    raise AssertionError(f"no {kind.__name__}")


def refused(proxy):
    with raises(ConnectionRefusedError):
        connect(proxy)


def proxies():
    with proxied() as proxy:
        assert proxy.enabled is True and proxy.upstream == ECHO and proxy.listen.startswith("127.0.0.1:")
        with connect(proxy) as client:
            echoed(client, os.urandom(1 << 20))
        listed = SERVER.proxies()[proxy.name]
        assert (listed.listen, listed.upstream, listed.enabled) == (proxy.listen, ECHO, True)
        assert SERVER.get_proxy(proxy.name).listen == proxy.listen
        port = int(proxy.listen.rsplit(":", 1)[1])
        client = connect(proxy)
        echoed(client)
    # Its sessions have ended before the answer.
    client.setblocking(False)
    assert ends(client)
    assert SERVER.get_proxy(proxy.name) is None
    refused(proxy)
    off = SERVER.create(upstream=ECHO, name="off", listen=f"localhost:{port}", enabled=False)
    assert (off.listen, off.enabled) == (f"localhost:{port}", False)
    off.enable()
    assert SERVER.get_proxy("off").listen == f"127.0.0.1:{port}"
    assert off.destroy() is True


def populate():
    entries = [{"name": "one", "upstream": ECHO, "listen": f"127.0.0.1:{port}"} for port in ports(1)]
    entries += [{"name": "two", "upstream": ECHO, "listen": f"127.0.0.1:{port}", "enabled": False} for port in ports(1)]
    assert [proxy.name for proxy in SERVER.populate(entries)] == ["one", "two"]
    assert SERVER.populate(entries) == [], "equal ones stay"
    entries[0]["upstream"] = "127.0.0.1:9"
    assert [proxy.upstream for proxy in SERVER.populate(entries)] == ["127.0.0.1:9"]
    assert {name: proxy.enabled for name, proxy in SERVER.proxies().items() if name in ("one", "two")} == {"one": True, "two": False}
    for name in ("one", "two"):
        SERVER.destroy(SERVER.get_proxy(name))


def ports(count):
    """Free ones: bound together, and let go."""
    with contextlib.ExitStack() as stack:
        bound = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in bound]


def toxics():
    with proxied() as proxy:
        for kind, attributes in KINDS.items():
            for stream in ("upstream", "downstream"):
                proxy.add_toxic(type=kind, stream=stream, attributes=attributes, toxicity=0.2)
        listed = proxy.toxics()
        assert list(listed) == [f"{kind}_{stream}" for stream in ("upstream", "downstream") for kind in KINDS], list(listed)
        for name, toxic in listed.items():
            assert toxic.name == name and toxic.attributes == KINDS[toxic.type], vars(toxic)
            assert toxic.toxicity == 0.2, vars(toxic)
        raw = APIConsumer.get(f"/proxies/{proxy.name}/toxics").json()
        assert all(set(toxic) == {"attributes", "name", "type", "stream", "toxicity"} for toxic in raw), raw
        assert json.dumps(raw[0]["toxicity"]) == "0.2"
        proxy.add_toxic(type="latency", name="another")
        assert proxy.get_toxic("another").attributes == {"latency": 0, "jitter": 0}
        assert proxy.get_toxic("another").toxicity == 1
        for name in [*listed, "another"]:
            assert proxy.destroy_toxic(name) is True
        assert proxy.toxics() == {} and proxy.get_toxic("another") is None
        with connect(proxy) as client:
            echoed(client)


def own_kinds():
    with proxied() as proxy:
        for kind, attributes in OWN_KINDS.items():
            proxy.add_toxic(type=kind, attributes=attributes, toxicity=0)
        listed = proxy.toxics()
        assert set(listed) == {f"{kind}_downstream" for kind in OWN_KINDS}, list(listed)
        for toxic in listed.values():
            assert toxic.stream == "downstream" and toxic.toxicity == 0, vars(toxic)
            assert all(type(value) is int for value in toxic.attributes.values()), vars(toxic)
            assert OWN_KINDS[toxic.type].items() <= toxic.attributes.items(), vars(toxic)
        for kind in ("packet_loss", "reorder", "duplicate"):
            with raises(InvalidToxic):
                proxy.add_toxic(type=kind)
        with connect(proxy) as client:
            echoed(client)


def errors():
    with proxied(("latency", "downstream", {})) as proxy:
        with raises(ProxyExists):
            SERVER.create(upstream=ECHO, name=proxy.name)
        with raises(ProxyExists):  # The server's own answer: 409.
            APIConsumer.post("/proxies", json={"name": proxy.name, "upstream": ECHO})
        with raises(ProxyExists):  # A toxic's name is taken: 409.
            proxy.add_toxic(type="noop", name="latency_downstream")
        with raises(InvalidToxic):
            proxy.add_toxic(type="no such kind")
        with raises(InvalidToxic):
            proxy.add_toxic(type="latency", stream="sideways")
        with raises(InvalidToxic):
            proxy.add_toxic(type="latency", name="x", attributes={"latency": "much"})
        with raises(NotFound):
            proxy.destroy_toxic("nothing")
        with raises(InvalidToxic):
            APIConsumer.post("/proxies", json={"name": "", "upstream": ECHO})
    for absent in (proxy.destroy, proxy.disable, proxy.toxics):
        with raises(NotFound):
            absent()


def latency():
    for toxics, seconds in [
        ([("latency", "downstream", {"latency": 200})], 0.2),
        ([("latency", "upstream", {"latency": 100})], 0.1),
        ([("latency", "downstream", {"latency": 200}), ("latency", "upstream", {"latency": 100})], 0.3),
    ]:
        with proxied(*toxics) as proxy, connect(proxy) as client:
            with takes(seconds):
                echoed(client)
            # It delays and does not narrow.
            data = os.urandom(1 << 20)
            with takes(seconds, 1):
                sender = threading.Thread(target=client.sendall, args=[data])
                sender.start()
                assert receive(client, len(data)) == data
                sender.join()
    with proxied(("latency", "downstream", {"latency": 200, "jitter": 100})) as proxy, connect(proxy) as client:
        for _ in range(4):
            with takes(0.1, 0.2 + LATE_SECONDS):
                echoed(client)


def live():
    """Toxics come to a session that is there, and go; what waits is passed on."""
    with proxied() as proxy, connect(proxy) as client:
        echoed(client)
        proxy.add_toxic(type="latency", name="slow", attributes={"latency": 200})
        with takes(0.2):
            echoed(client)
        APIConsumer.post(f"/proxies/{proxy.name}/toxics/slow", json={"attributes": {"latency": 5000}})
        assert proxy.get_toxic("slow").attributes == {"latency": 5000, "jitter": 0}
        client.sendall(b"waits")
        time.sleep(0.1)
        with takes(0, LATE_SECONDS):
            proxy.destroy_toxic("slow")
            assert receive(client, 5) == b"waits"
        with takes(0):
            echoed(client)
        for _ in range(20):
            proxy.add_toxic(type="noop")
            echoed(client)
            proxy.destroy_toxic("noop_downstream")
            echoed(client)


def bandwidth():
    with proxied(("bandwidth", "downstream", {"rate": 100})) as proxy, connect(proxy) as client:
        data = os.urandom(100_000)
        client.sendall(data)
        # A burst of 10 ms may come at once.
        with takes(0.95):
            assert receive(client, len(data)) == data
    with proxied(("bandwidth", "upstream", {"rate": 0})) as proxy, connect(proxy) as client:
        client.sendall(b"held")
        client.settimeout(0.3)
        with raises(TimeoutError):
            client.recv(4)
        client.settimeout(LIMIT_SECONDS)
        proxy.destroy_toxic("bandwidth_upstream")
        assert receive(client, 4) == b"held"


def timeout():
    with proxied(("timeout", "downstream", {"timeout": 200})) as proxy, connect(proxy) as client:
        with takes(0.2):
            client.sendall(b"swallowed")
            assert receive(client, 1) == b""
    with proxied(("timeout", "downstream", {"timeout": 0})) as proxy, connect(proxy) as client:
        client.sendall(b"swallowed")
        client.settimeout(0.3)
        with raises(TimeoutError):
            client.recv(1)
        client.settimeout(LIMIT_SECONDS)
        proxy.destroy_toxic("timeout_downstream")
        assert receive(client, 1) == b"", "bytes are missing: removing it ends the session"


def limit_data():
    for sizes in ([5000], [900, 1000], [500, 500], [250] * 5):
        with proxied(("limit_data", "downstream", {"bytes": 1000})) as proxy, connect(proxy) as client:
            data = os.urandom(sum(sizes))
            begin = 0
            for size in sizes:
                client.sendall(data[begin : begin + size])
                begin += size
                time.sleep(0.01)
            assert receive(client, 5000) == data[:1000], sizes
        # What the server gets. The session ends, so the client does not see it come back.
        with socket.create_server(("127.0.0.1", 0)) as server:
            upstream = "127.0.0.1:%d" % server.getsockname()[1]
            with proxied(("limit_data", "upstream", {"bytes": 1000}), upstream=upstream) as proxy, connect(proxy) as client:
                far, _ = server.accept()
                far.settimeout(LIMIT_SECONDS)
                with far:
                    client.sendall(data)
                    assert receive(far, 5000) == data[:1000], sizes
                    assert ends(client)


def reset_peer():
    for stream in ("upstream", "downstream"):
        for wait in (0, 200):
            with proxied(("reset_peer", stream, {"timeout": wait})) as proxy, connect(proxy) as client:
                with takes(wait / 1000):
                    client.sendall(b"x")
                    with raises(ConnectionResetError):
                        client.recv(1)
    # A session that is there when it comes.
    with proxied() as proxy, connect(proxy) as client:
        echoed(client)
        proxy.add_toxic(type="reset_peer", attributes={"timeout": 0})
        client.sendall(b"x")
        with raises(ConnectionResetError):
            client.recv(1)
    # What it does not hit ends as ever.
    with proxied() as proxy:
        proxy.add_toxic(type="reset_peer", toxicity=0, attributes={"timeout": 0})
        with connect(proxy) as client:
            echoed(client)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""


def slow_close():
    with proxied(("slow_close", "downstream", {"delay": 300})) as proxy, connect(proxy) as client:
        with takes(0, 0.25):
            echoed(client)
        with takes(0.3):
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""


def slicer():
    attributes = {"average_size": 64, "size_variation": 32, "delay": 2000}
    with proxied(("slicer", "downstream", attributes)) as proxy, connect(proxy) as client:
        data, got, reads = os.urandom(6400), b"", 0
        # 67 slices at least, each followed by 2 ms.
        with takes(0.13, 3):
            client.sendall(data)
            while len(got) < len(data):
                got += client.recv(1 << 16)
                reads += 1
        print(reads, "reads")
        assert got == data and reads >= 25
    with proxied(("slicer", "downstream", {"average_size": 0})) as proxy, connect(proxy) as client:
        echoed(client, os.urandom(100_000))


def half_close():
    """The client ends its stream and still gets all that is on its way, through every kind that passes bytes on."""
    passing = ["latency", "bandwidth", "slow_close", "slicer", "noop"]
    for stream in ("upstream", "downstream"):
        with proxied(*((kind, stream, KINDS[kind]) for kind in passing)) as proxy, connect(proxy) as client:
            data = os.urandom(50_000)
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            assert receive(client, len(data) + 1) == data, stream


def down():
    with proxied(("latency", "downstream", {"latency": 100})) as proxy:
        before = connect(proxy)
        echoed(before)
        with proxy.down():
            assert SERVER.get_proxy(proxy.name).enabled is False
            refused(proxy)
            assert before.recv(1) == b"", "the session that was there ends"
        assert SERVER.get_proxy(proxy.name).listen == proxy.listen
        with connect(proxy) as client, takes(0.1):
            echoed(client)
        proxy.disable()
        proxy.disable()
        refused(proxy)
        proxy.enable()
        connect(proxy).close()


def reset():
    with proxied(("latency", "downstream", {"latency": 5000})) as proxy, connect(proxy) as client:
        off = SERVER.create(upstream=ECHO, name="off", enabled=False)
        assert SERVER.reset() is True
        assert proxy.toxics() == {} and SERVER.get_proxy("off").enabled is True
        echoed(client)
        off.destroy()


def version():
    assert SERVER.running() is True
    assert json.loads(SERVER.version())["version"].startswith("2."), SERVER.version()


globals()[sys.argv[3]]()
