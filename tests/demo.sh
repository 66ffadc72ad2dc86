#!/usr/bin/env bash
# The main job, offline: an origin server, a proxy in front of it, and clients that ask through the proxy: one that
# prints the page, three programs at once, and one program with eight connections at once. Then the proxy's event lines.
# Ends by itself, within a minute; exit code 0 where every answer was whole and both servers drained.
set -euo pipefail

SWITCHBOARD=${SWITCHBOARD:-target/release/switchboard}
TMP=$(mktemp -d)
PIDS=()
trap 'status=$?; kill "${PIDS[@]}" 2>/dev/null || true; wait; rm -rf "$TMP"; exit $status' EXIT
trap 'exit 130' INT TERM

say() { printf '\n── %s\n' "$*"; }

# serve NAME ARGUMENTS…: starts a server on a free port and waits for its start line, which names the port; sets ADDRESS.
serve() {
    local name=$1 tries
    shift
    "$SWITCHBOARD" "$@" --listen 127.0.0.1:0 >"$TMP/$name.out" 2>"$TMP/$name.err" &
    PIDS+=($!)
    for ((tries = 0; tries < 200; tries++)); do
        ADDRESS=$(sed -n 's/^listening on \([^ ,]*\).*/\1/p' "$TMP/$name.err")
        [ -z "$ADDRESS" ] || break
        sleep 0.05
    done
    cat "$TMP/$name.err"
    [ -n "$ADDRESS" ]
}

client() { timeout 15 "$SWITCHBOARD" client "http://$ORIGIN/" --via "$PROXY" "$@"; }

say "an origin, and a proxy in front of it"
serve origin origin
ORIGIN=$ADDRESS
serve proxy proxy --upstream "$ORIGIN" --dump text --log text
PROXY=$ADDRESS

say "a client through the proxy: switchboard client http://$ORIGIN/ --via $PROXY"
client

say "what the proxy saw of it"
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
