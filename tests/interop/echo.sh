# netcat against the echo server: what is sent comes back, to the last byte and for many at once, and the log shows it
# without letting it touch the terminal.
. "$(dirname "$0")/lib.sh"
need nc

foobar() { [ "$(echo "Foobar" | within 10 nc localhost "$1" -q 1)" = Foobar ]; }

bulk() {
    head -c 64M /dev/urandom >"$TMP/sent"
    within 60 nc -N 127.0.0.1 "$PORT" <"$TMP/sent" >"$TMP/got"
    same "$TMP/sent" "$TMP/got"
}

many_at_once() {
    local i pids=()
    for i in {1..50}; do
        (seq "$i" 20000 | within 30 nc -N 127.0.0.1 "$PORT" | cmp - <(seq "$i" 20000)) &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
}

shown() { eventually 5 grep -qF "$1" "$TMP/$2.out"; }

nothing_raw() {
    printf '\033]0;title\007\033[2J\302\233\342\200\256\n' | within 10 nc -N 127.0.0.1 "$PORT" >/dev/null
    eventually 5 grep -q 'title' "$TMP/echo.out"
    [ "$(LC_ALL=C.UTF-8 grep -cP '[\x00-\x08\x0b-\x1f\x7f\x{80}-\x{9f}\x{202a}-\x{202e}]' "$TMP/echo.out")" = 0 ]
}

json_lines() {
    foobar "$PORT"
    eventually 5 grep -q '"event":"close"' "$TMP/json.out"
    python3 - "$TMP/json.out" <<'END'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
assert [e["event"] for e in events if e["event"] != "data"] == ["open", "close"], events
end = events[-1]
assert (end["mode"], end["cause"], end["first_closer"]) == ("echo", "done", "client"), end
assert end["client_bytes"] == end["upstream_bytes"] == 7, end
END
}

serve echo echo --listen 127.0.0.1:0 --dump text --log text
check "echo Foobar | nc localhost PORT -q 1 prints Foobar" foobar "$PORT"
check "the log shows what was sent" shown Foobar echo
check "nothing that a peer sends reaches the log raw" nothing_raw
status=0; stop "$PID" || status=$?
check "SIGTERM ends it with exit code 0" test "$status" = 0

serve plain echo --listen 127.0.0.1:0 --log off
check "64 MiB come back identical" bulk
check "50 clients at once each get their own bytes" many_at_once

serve hex echo --listen 127.0.0.1:0 --dump hex
check "Foobar with --dump hex" foobar "$PORT"
check "the hex dump shows it" shown "466f 6f62 6172" hex

serve json echo --listen 127.0.0.1:0 --log json
if command -v python3 >/dev/null; then check "--log json: one object a line, with how it ended" json_lines; else skip "python3 is not installed"; fi

if listens 8001; then
    result skip "port 8001 is taken: the default port is not tried"
else
    start default "$SWITCHBOARD" echo
    await_port 8001 || true
    check "echo Foobar | nc localhost 8001 -q 1, on the default port" foobar 8001
fi
