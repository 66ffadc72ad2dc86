#!/usr/bin/env bash
# The main job, offline: an origin server, a proxy in front of it, and clients that ask through the proxy: one that
# prints the page, three programs at once, and one program with eight connections at once. Then the proxy's event lines.
# Ends by itself, within a minute; exit code 0 where every answer was whole and both servers drained. With KEEP=1 it goes
# on until you leave it, with traffic, and `top` on the proxy.
set -euo pipefail

SWITCHBOARD=${SWITCHBOARD:-target/release/switchboard}
TMP=$(mktemp -d)
PIDS=()
trap 'status=$?; kill "${PIDS[@]}" 2>/dev/null || true; wait; rm -rf "$TMP"; exit $status' EXIT
trap 'exit 130' INT TERM

say() { printf '\n── %s\n' "$*"; }

# await PATTERN FILE: until a line of the file matches, ten seconds at most.
await() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        ! grep -q "$1" "$2" 2>/dev/null || return 0
        sleep 0.05
    done
    cat "$2"
    echo "no line matches '$1' within 10 s"
    return 1
}

# serve NAME ARGUMENTS…: starts a server on a free port, which its start line names; sets ADDRESS.
serve() {
    local name=$1
    shift
    "$SWITCHBOARD" "$@" --listen 127.0.0.1:0 >"$TMP/$name.out" 2>"$TMP/$name.err" &
    PIDS+=($!)
    await '^listening on ' "$TMP/$name.err"
    cat "$TMP/$name.err"
    ADDRESS=$(sed -n 's/^listening on \([^ ,]*\).*/\1/p' "$TMP/$name.err")
}

client() { timeout --foreground 15 "$SWITCHBOARD" client "http://$ORIGIN/" --via "$PROXY" "$@"; }

say "an origin, and a proxy in front of it"
serve origin origin
ORIGIN=$ADDRESS
serve proxy proxy --upstream "$ORIGIN" --dump text --log text --control "$TMP/proxy.sock"
PROXY=$ADDRESS

say "a client through the proxy: switchboard client http://$ORIGIN/ --via $PROXY"
client

say "what the proxy saw of it"
await ' #1 close ' "$TMP/proxy.out"
cat "$TMP/proxy.out"

say "three clients at once, and one with eight connections: --parallel 8"
ASKING=()
for i in 1 2 3; do
    client >"$TMP/page$i" &
    ASKING+=($!)
done
client --parallel 8 >/dev/null
for pid in "${ASKING[@]}"; do wait "$pid"; done
for i in 1 2 3; do head -n 1 "$TMP/page$i"; done

if [ "${KEEP:-0}" != 0 ]; then
    "$SWITCHBOARD" load "http://$PROXY/bytes/20000" -c 8 --rate 40 --duration 1h >/dev/null 2>&1 &
    PIDS+=($!)
    say "it goes on: in another terminal, look into it, and change it"
    echo "$SWITCHBOARD ctl --control $TMP/proxy.sock list"
    echo "$SWITCHBOARD ctl --control $TMP/proxy.sock stats"
    echo "$SWITCHBOARD client http://$ORIGIN/ --via $PROXY"
    if [ -t 0 ] && [ -t 1 ]; then
        sleep 3
        "$SWITCHBOARD" top --control "$TMP/proxy.sock"
    else
        echo "Ctrl-C ends it"
        wait "${PIDS[@]}"
    fi
    exit 0
fi

say "both servers stop at SIGTERM, when the last session is done"
kill -TERM "${PIDS[@]}"
for ((tries = 0; tries < 400; tries++)); do
    kill -0 "${PIDS[@]}" 2>/dev/null || break
    sleep 0.05
done
for pid in "${PIDS[@]}"; do
    if kill -KILL "$pid" 2>/dev/null; then echo "process $pid had to be killed"; fi
    wait "$pid"
    echo "exit code $?"
done
PIDS=()

say "how each session ended, by the proxy's log"
grep ' #[0-9]* close ' "$TMP/proxy.out"
[ "$(grep -c ' #[0-9]* close done' "$TMP/proxy.out")" = 12 ]

say "to try next"
echo "make demo KEEP=1                            # the same, and top on it"
echo "$SWITCHBOARD proxy 8080=example.com:80 -v   # forward a port, and see what crosses it"
echo "$SWITCHBOARD audit --self                   # what a proxy can break, and this one does not"
