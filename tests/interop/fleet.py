#!/usr/bin/env python3
"""A fleet: three instances behind haproxy, one drained and started again, one killed, one upgraded, all under load.

    fleet.py SWITCHBOARD FOLDER      (in a network namespace of its own)

`switchboard load` makes a connection a request, 1,000 a second, each with a verified echo. Beside it 60 clients at a time hold
sessions of a few seconds through haproxy, 20 such with TLS as far as the instance, and 30 directly: each sends and compares bytes
until it ends its stream, and expects the end of the other. The exit code is 1 if anything is seen but this: sessions of the
instance that is killed end by RST, all others end whole.

What an instance resets, haproxy (2.6, TCP mode) ends by FIN towards its client, whatever the server is and with every option
there is. Its log tells the two apart: SD is a session that its server reset, -- one that ended whole. So behind haproxy its log
is asked, and the clients that connect directly are asked for the RST itself. A client with TLS knows without either: what ends
without close_notify is not whole (RFC 8446 section 6.1), and haproxy cannot make one up.
"""

import asyncio
import collections
import concurrent.futures
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request

RATE, LOAD_SECONDS, LONG_SECONDS = 1000, 22, 3.0
BALANCED_CLIENTS, TLS_CLIENTS, DIRECT_CLIENTS = 60, 20, 30
DELAY_SECONDS = 2
BALANCER = "127.0.0.1"
NAMES = ["one", "two", "three"]
HOSTS = {name: f"127.0.1.{number}" for number, name in enumerate(NAMES, 1)}
SHORT, LONG, SECRET, METRICS, AGENT, STATS = 7000, 7001, 7002, 9100, 9777, "haproxy.sock"


def instance_file(name, folder):
    """Each instance has a group of its own for each listener."""
    host = HOSTS[name]
    return f"""
control = "{folder}/{name}.sock"
metrics = "{host}:{METRICS}"
agent = "{host}:{AGENT}"
log = "off"
max-sessions = 1000
drain-delay = "{DELAY_SECONDS}s"
drain-timeout = "30s"

[listener.short]
listen = "{host}:{SHORT}"
upstream = "echoes"

[listener.long]
listen = "{host}:{LONG}"
upstream = "named"

[listener.secret]
listen = "{host}:{SECRET}"
[[listener.secret.route]]
tls = "fleet"
upstream = "named"

[tls.fleet]
cert = "{folder}/fleet.pem"
key = "{folder}/fleet.key"

[upstream.echoes]
servers = ["127.0.2.1:7000", "127.0.2.2:7000"]
check = true

[upstream.named]
servers = ["127.0.3.{NAMES.index(name) + 1}:7001"]
"""


def haproxy_file(folder):
    def listen(port):
        checks = f"check port {METRICS} inter 300ms fall 1 rise 1 agent-check agent-port {AGENT} agent-inter 300ms"
        servers = "".join(f"    server {name} {host}:{port} weight 100 {checks}\n" for name, host in HOSTS.items())
        return f"listen port{port}\n    bind {BALANCER}:{port}\n    option httpchk GET /readyz\n{servers}"

    # `retries` are those of connects; nothing is sent twice.
    return f"""
global
    maxconn 4000
    log stdout format raw local0
    stats socket {folder}/{STATS}
defaults
    mode tcp
    log global
    log-format "ended %s %ts"
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    retries 3
    option redispatch 1
{listen(SHORT)}{listen(LONG)}{listen(SECRET)}"""


class Programs:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.running, self.successors = binary, folder, {}, []

    def start(self, name, *words):
        with open(f"{self.folder}/{name}.err", "ab") as errors, open(f"{self.folder}/{name}.out", "ab") as lines:
            self.running[name] = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=lines, stderr=errors, start_new_session=True
            )

    def instance(self, name):
        self.start(name, self.binary, "run", f"{self.folder}/{name}.toml")

    def says(self, name):
        with open(f"{self.folder}/{name}.err", encoding="utf-8") as errors:
            return errors.read()

    def pid(self, name):
        return self.running[name].pid

    def end(self):
        for program in self.running.values():
            program.kill()
            program.wait()
        for pid in self.successors:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


async def until(limit, what, holds):
    end = time.monotonic() + limit
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        await asyncio.sleep(0.05)


def states(folder):
    """What haproxy thinks of each server at the port of short sessions: state, weight, sessions now."""
    with socket.socket(socket.AF_UNIX) as stats:
        stats.connect(f"{folder}/{STATS}")
        stats.sendall(b"show stat\n")
        text = b"".join(iter(lambda: stats.recv(65536), b"")).decode()
    rows = [line.split(",") for line in text.splitlines()]
    columns = {name.lstrip("# "): place for place, name in enumerate(rows[0])}
    servers = [row for row in rows if row[0] == f"port{SHORT}" and row[1] in HOSTS]
    return {row[1]: {key: row[columns[key]] for key in ("status", "weight", "stot", "wretr", "wredis")} for row in servers}


def readyz(name):
    try:
        with urllib.request.urlopen(f"http://{HOSTS[name]}:{METRICS}/readyz", timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


async def named_echo(name):
    """Says its name, and then sends back what comes."""

    async def serve(reader, writer):
        try:
            writer.write(f"{name:5}".encode())
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
            writer.write_eof()
        except ConnectionError:
            pass
        writer.close()

    return await asyncio.start_server(serve, f"127.0.3.{NAMES.index(name) + 1}", LONG, backlog=512)


class LongClients:
    """Sessions that live for seconds, and how each ended."""

    def __init__(self):
        self.over, self.ends, self.live = False, collections.Counter(), collections.Counter()

    def start(self, count, hosts):
        return [asyncio.create_task(self.hold(number / count, hosts[number % len(hosts)])) for number in range(count)]

    async def hold(self, phase, host):
        await asyncio.sleep(phase * LONG_SECONDS)
        while not self.over:
            try:
                reader, writer = await asyncio.open_connection(host, LONG)
            except OSError as error:
                # An instance that stops or is gone refuses those that come directly; haproxy must not.
                if host == BALANCER:
                    self.ends["none", f"not connected: {error}"] += 1
                await asyncio.sleep(0.1)
                continue
            name, end = await self.one(reader, writer)
            self.ends[name, end] += 1

    async def one(self, reader, writer):
        name = "none"
        try:
            name = (await asyncio.wait_for(reader.readexactly(5), 10)).decode().strip()
            self.live[name] += 1
            began, count = time.monotonic(), 0
            while time.monotonic() < began + LONG_SECONDS:
                piece = struct.pack(">I", count) * 250
                writer.write(piece)
                if await asyncio.wait_for(reader.readexactly(len(piece)), 10) != piece:
                    return name, "wrong bytes"
                count += 1
                await asyncio.sleep(0.05)
            writer.write_eof()
            rest = await asyncio.wait_for(reader.read(), 10)
            return name, "surplus bytes" if rest else "whole"
        except asyncio.IncompleteReadError:
            return name, "cut by FIN"
        except ConnectionResetError:
            return name, "RST"
        except (OSError, asyncio.TimeoutError) as error:
            return name, repr(error)
        finally:
            self.live[name] -= 1
            writer.transport.abort()


class TlsClients(LongClients):
    """The same over TLS, in threads: asyncio takes an end without close_notify for one with it."""

    def __init__(self, certificate):
        super().__init__()
        self.threads = concurrent.futures.ThreadPoolExecutor(TLS_CLIENTS)
        self.tls = ssl.create_default_context(cafile=certificate)

    async def hold(self, phase, host):
        await asyncio.sleep(phase * LONG_SECONDS)
        while not self.over:
            name, end = await asyncio.get_running_loop().run_in_executor(self.threads, self.session, host)
            self.ends[name, end] += 1

    def session(self, host):
        name = "none"
        try:
            with socket.create_connection((host, SECRET), 10) as plain, self.tls.wrap_socket(
                    plain, server_hostname="fleet.test", suppress_ragged_eofs=False) as secret:
                name = exactly(secret, 5).decode().strip()
                self.live[name] += 1
                began, count = time.monotonic(), 0
                while time.monotonic() < began + LONG_SECONDS:
                    piece = struct.pack(">I", count) * 250
                    secret.sendall(piece)
                    if exactly(secret, len(piece)) != piece:
                        return name, "wrong bytes"
                    count += 1
                    time.sleep(0.05)
                # Sends close_notify, and fails if another thing than close_notify comes.
                secret.unwrap().close()
                return name, "whole"
        except ssl.SSLEOFError:
            return name, "cut without close_notify"
        except ConnectionResetError:
            return name, "RST"
        except OSError as error:
            return name, repr(error)
        finally:
            self.live[name] -= 1


def exactly(secret, count):
    """`count` bytes. Errors: the stream was cut, or ended by close_notify before them."""
    there = b""
    while len(there) < count:
        piece = secret.recv(count - len(there))
        if not piece:
            raise OSError("ended by close_notify")
        there += piece
    return there


def make_certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=fleet.test", "-addext", "subjectAltName=DNS:fleet.test", "-keyout", f"{folder}/fleet.key", "-out", f"{folder}/fleet.pem"],
        check=True, stderr=subprocess.DEVNULL)


async def drain_and_start_again(programs, folder):
    began = time.monotonic()
    os.kill(programs.pid("one"), signal.SIGTERM)
    await until(1, "/readyz of one says 503", lambda: readyz("one") == 503)
    await until(DELAY_SECONDS, "haproxy gives it no more", lambda: states(folder)["one"]["status"] not in ("UP", "no check"))
    status = states(folder)["one"]["status"]
    await until(20, "one has drained", lambda: programs.running["one"].poll() is not None)
    code, took = programs.running["one"].poll(), time.monotonic() - began
    assert code == 0, f"one ended with {code}"
    before = int(states(folder)["one"]["stot"])
    programs.instance("one")
    await until(5, "haproxy takes it back", lambda: states(folder)["one"]["status"].startswith("UP"))
    await until(5, "it has sessions again", lambda: int(states(folder)["one"]["stot"]) > before + 100)
    print(f"measured one: SIGTERM, {status} in haproxy, exit code 0 after {took:.1f} s, started again and UP")


async def upgrade(programs):
    old, not_ready = programs.running["three"], 0
    os.kill(old.pid, signal.SIGUSR2)
    end = time.monotonic() + 20
    while old.poll() is None:
        assert time.monotonic() < end, "three does not end"
        not_ready += await asyncio.to_thread(readyz, "three") != 200
        await asyncio.sleep(0.02)
    words = programs.says("three").split(" has taken over")[0].split()
    programs.successors.append(int(words[-1]))
    assert old.poll() == 0, f"the old process of three ended with {old.poll()}"
    assert not_ready == 0, f"/readyz said {not_ready} times that it is not ready"
    print("measured three: SIGUSR2, ready all the time, the old process drained with exit code 0")


Seen = collections.namedtuple("Seen", "report balanced secret direct lost killed_after upgraded_after haproxy")


async def scenario(binary, folder):
    make_certificate(folder)
    programs, balanced, direct = Programs(binary, folder), LongClients(), LongClients()
    secret = TlsClients(f"{folder}/fleet.pem")
    servers = [await named_echo(name) for name in NAMES]
    try:
        for name in NAMES:
            with open(f"{folder}/{name}.toml", "w", encoding="utf-8") as file:
                file.write(instance_file(name, folder))
            programs.instance(name)
        programs.start("echo", binary, "echo", "--listen", "127.0.2.1:7000", "--listen", "127.0.2.2:7000", "--log", "off")
        with open(f"{folder}/haproxy.cfg", "w", encoding="utf-8") as file:
            file.write(haproxy_file(folder))
        for name in [*NAMES, "echo"]:
            await until(10, f"{name} listens", lambda name=name: "listening on" in programs.says(name))
        programs.start("haproxy", "haproxy", "-db", "-f", f"{folder}/haproxy.cfg")
        await until(10, "haproxy knows all", lambda: os.path.exists(f"{folder}/{STATS}") and all(
            state["status"] == "UP" for state in states(folder).values()))
        long = balanced.start(BALANCED_CLIENTS, [BALANCER]) + direct.start(DIRECT_CLIENTS, list(HOSTS.values()))
        long += secret.start(TLS_CLIENTS, [BALANCER])
        load = await asyncio.create_subprocess_exec(
            "timeout", str(LOAD_SECONDS + 10), binary, "load", f"tcp://{BALANCER}:{SHORT}", "--mode", "churn", "-c", "64", "--rate", str(RATE),
            "--duration", f"{LOAD_SECONDS}s", "--json", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        began = time.monotonic()
        await asyncio.sleep(LONG_SECONDS)
        await drain_and_start_again(programs, folder)
        # The clients are between two reads: what is live is what the kill ends.
        killed_after, lost = time.monotonic() - began, [clients.live["two"] for clients in (balanced, secret, direct)]
        programs.running["two"].kill()
        await asyncio.sleep(2)
        await upgrade(programs)
        upgraded_after = time.monotonic() - began
        report = json.loads((await load.communicate())[0])
        balanced.over = secret.over = direct.over = True
        await asyncio.gather(*long)
        return Seen(report, balanced.ends, secret.ends, direct.ends, lost, killed_after, upgraded_after, states(folder))
    finally:
        balanced.over = secret.over = direct.over = True
        for server in servers:
            server.close()
        programs.end()


def judge_load(seen, resets):
    """Behind haproxy: connections end early only at the kill, and only as many as it reset."""
    causes = {cause: count for cause, count in seen.report["errors_by_cause"].items() if count}
    seconds = [second["second"] for second in seen.report["seconds"] if second["errors"]]
    print(f"measured load: {seen.report['requests']} connections, {seen.report['rate']:.0f}/s, errors {causes or 'none'} in the "
          f"seconds {seconds} (killed after {seen.killed_after:.1f} s), p99 {seen.report['response_ms']['p99']:.1f} ms")
    if set(causes) - {"reset", "ended_early"}:
        yield f"connections of the load failed otherwise: {causes}"
    if sum(causes.values()) > resets:
        yield f"{causes} of the load, and haproxy knows of {resets} resets"
    if any(not seen.killed_after - 1 <= second <= seen.killed_after + 3 for second in seconds):
        yield f"errors at other times than the kill: {seconds}"
    if seen.report["requests"] < RATE * LOAD_SECONDS * 0.95:
        yield f"only {seen.report['requests']} connections"
    if seen.upgraded_after > LOAD_SECONDS:
        yield "the load ended before the upgrade"


def judge_long(way, ends, lost, may_end):
    """Long sessions: those that were live on two end so, all others whole."""
    whole = sum(count for (_, end), count in ends.items() if end == "whole")
    early = {key: count for key, count in ends.items() if key[1] != "whole"}
    print(f"measured long sessions {way}: {whole} whole, {early or 'none'} not; {lost} were live on two at its kill")
    # At the kill a session may not have its name yet, or may be between its last byte and its end.
    if any(name not in ("two", "none") or end != may_end for name, end in early) or early.get(("none", may_end), 0) > 3:
        yield f"long sessions {way} ended otherwise: {early}"
    if abs(lost - early.get(("two", may_end), 0)) > 3 or lost == 0:
        yield f"{lost} long sessions {way} were live on two, and {early} ended"


def main(binary, folder):
    seen = asyncio.run(scenario(os.path.abspath(binary), folder))
    with open(f"{folder}/haproxy.out", encoding="utf-8") as log:
        ended = collections.Counter(line.strip().removeprefix("ended ") for line in log if line.startswith("ended "))
    resets = ended["two SD"]
    wrong = [*judge_load(seen, resets)]
    wrong += judge_long("through haproxy", seen.balanced, seen.lost[0], "cut by FIN")
    wrong += judge_long("through haproxy with TLS", seen.secret, seen.lost[1], "cut without close_notify")
    wrong += judge_long("directly", seen.direct, seen.lost[2], "RST")
    retried = {name: int(row["wretr"]) + int(row["wredis"]) for name, row in seen.haproxy.items()}
    print(f"measured haproxy: {sum(ended.values())} sessions, {resets} reset by two; {retried} connects tried again")
    if others := {key: count for key, count in ended.items() if key != "two SD" and not key.endswith(" --")}:
        wrong.append(f"haproxy saw sessions end otherwise: {others}")
    if resets < seen.lost[0] + seen.lost[1] - 3:
        wrong.append(f"two ended {seen.lost[0] + seen.lost[1] - resets} sessions by something else than a reset")
    print("\n".join(wrong) or "only the kill's own sessions ended, by RST")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
