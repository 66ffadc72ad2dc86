# The harness of the interop subjects: servers started on free ports and stopped by their pids, bounded waits, checks,
# counts. A subject sources this file, says what it needs, starts its servers, and then holds its checks:
#
#     check "what it shows" function arguments…        (a function that fails, or a command in it, fails the check)
#
# run.sh runs it and counts.
set -euo pipefail
export LC_ALL=C
unset MAKEFLAGS MAKEOVERRIDES MFLAGS MAKELEVEL # A make that a subject runs is not part of `make interop`.

SUBJECT=$(basename "$0" .sh)
: "${INTEROP_RESULTS:?run it with tests/interop/run.sh $SUBJECT}"
TMP=$(mktemp -d "${TMPDIR:-/tmp}/switchboard-$SUBJECT.XXXXXX")
touch "$TMP/pids"

# ── checks ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# result ok|FAIL|skip TEXT: one line, counted.
result() { printf '%-4s %s: %s\n' "$1" "$SUBJECT" "$2" | tee -a "$INTEROP_RESULTS"; }

# check NAME COMMAND…: runs COMMAND in a subshell that stops at the first failing command; what it says is shown if it fails.
check() {
    local name=$1 status=0
    shift
    (set -x; "$@") >"$TMP/check.log" 2>&1 &
    wait $! || status=$?
    if [ "$status" = 0 ]; then result ok "$name"; return; fi
    result FAIL "$name (status $status)"
    tail -n 25 "$TMP/check.log" | cut -c 1-300 | sed 's/^/     | /'
}

# skip WHY: one line; where CI=true it is a failure.
skip() { if [ "${CI:-}" = true ]; then result FAIL "$1"; else result skip "$1"; fi; }

# need PROGRAM…: ends the subject where one is not installed.
need() {
    local program
    for program; do
        command -v "$program" >/dev/null || { skip "$program is not installed"; exit 0; }
    done
}

# ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────────

# within SECONDS PROGRAM…: the program's own status, or 124 where it takes longer. It stays in the group that run.sh ends.
within() { timeout --foreground -k 2 "$@"; }

# eventually SECONDS COMMAND…: tries COMMAND until it holds.
eventually() {
    local limit=$1 end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || { echo "not within $limit s: $*"; return 1; }
        sleep 0.05
    done 2>/dev/null
}

# listens PORT: a program of this machine does.
listens() { grep -qE ":$(printf %04X "$1") [0-9A-F]+:0000 0A" /proc/net/tcp /proc/net/tcp6; }

# free_port: prints one without a listener, below the range that clients get, and each once: what it is for may listen late.
free_port() {
    local port
    while port=$((20000 + RANDOM % 12000)); listens "$port" || ! mkdir "$TMP/port.$port" 2>/dev/null; do :; done
    echo "$port"
}

same() { [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ]; }
absent() { if grep "$@"; then return 1; fi; }
ended() { ! kill -0 "$1"; }

# ── servers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

# start NAME PROGRAM…: in the background, output in NAME.out and NAME.err; sets PID.
start() {
    local name=$1
    shift
    "$@" </dev/null >"$TMP/$name.out" 2>"$TMP/$name.err" &
    PID=$!
    echo "$PID" >>"$TMP/pids"
}

# await_port PORT: until the server just started (PID) listens there.
await_port() { eventually 10 eval "listens $1 || ended $PID" && listens "$1"; }

# serve NAME ARGUMENTS…: the built binary; waits for its start line; sets PID, ADDR and PORT.
serve() {
    local name=$1
    shift
    start "$name" "$SWITCHBOARD" "$@"
    eventually 10 eval "grep -q '^listening on ' '$TMP/$name.err' || ended $PID" || true
    ADDR=$(sed -n 's/^listening on \([^ ,]*\).*/\1/p' "$TMP/$name.err" | head -n 1)
    PORT=${ADDR##*:}
    [ -n "$ADDR" ] || { cat "$TMP/$name.err" >&2; return 1; }
}

# stop PID: SIGTERM, and its exit status once it ended.
stop() {
    kill -TERM "$1"
    eventually 10 ended "$1"
    wait "$1"
}

# start_nginx PORT [MEGABYTES]: serves $TMP/www there, with a page and a file of random bytes; takes uploads; sets PID.
start_nginx() {
    mkdir -p "$TMP/nginx" "$TMP/www/upload"
    echo "a page from nginx" >"$TMP/www/index.html"
    head -c "${2:-1}M" /dev/urandom >"$TMP/www/big"
    cat >"$TMP/nginx.conf" <<END
daemon off; master_process off; worker_rlimit_nofile 4096; pid $TMP/nginx/pid; error_log stderr warn;
events { worker_connections 2048; }
http {
    access_log off; keepalive_requests 1000000; client_max_body_size 0;
    client_body_temp_path $TMP/nginx/body; proxy_temp_path $TMP/nginx/proxy; fastcgi_temp_path $TMP/nginx/fastcgi;
    uwsgi_temp_path $TMP/nginx/uwsgi; scgi_temp_path $TMP/nginx/scgi;
    server {
        listen 127.0.0.1:$1 backlog=4096; root $TMP/www; sendfile on;
        location /upload/ { dav_methods PUT; }
        location /small/ { client_max_body_size 1k; dav_methods PUT; }
    }
}
END
    start nginx nginx -p "$TMP/nginx" -e stderr -c "$TMP/nginx.conf"
    await_port "$1" || { cat "$TMP/nginx.err" >&2; return 1; }
}

# start_cutter PORT FIN|RST: answers HTTP there with four bytes of a promised 100,000, and ends with a FIN or an RST; sets PID.
start_cutter() {
    local options=TCP-LISTEN:$1,bind=127.0.0.1,fork,reuseaddr
    [ "$2" = FIN ] || options+=,linger=0,end-close
    cat >"$TMP/cutter" <<'END'
#!/bin/sh
while read -r line && [ ${#line} -gt 1 ]; do :; done
printf 'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf'
sleep 0.3
END
    chmod +x "$TMP/cutter"
    start cutter socat "$options" "EXEC:$TMP/cutter"
    await_port "$1"
}

# ── the end ─────────────────────────────────────────────────────────────────────────────────────────────────────────

cleanup() {
    local status=$? pid
    trap '' INT TERM
    while read -r pid; do kill -TERM "$pid"; done <"$TMP/pids" 2>/dev/null || true
    while read -r pid; do eventually 3 ended "$pid" || kill -KILL "$pid"; done <"$TMP/pids" >/dev/null 2>&1 || true
    wait
    rm -rf "$TMP"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
