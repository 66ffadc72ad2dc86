# switchboard load on real servers: nginx over HTTP and redis over TCP, each with the rate of the generator that is made for
# it beside ours. That it works and reports no error is checked here; how the rates compare belongs into the benchmark.
. "$(dirname "$0")/lib.sh"
need nginx wrk redis-server redis-benchmark redis-cli python3

# load TARGET OPTIONS…: no error, and the report in $TMP/report.
load() {
    within 30 "$SWITCHBOARD" load "$@" --json >"$TMP/report" 2>"$TMP/lines"
    python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert r["errors"] == 0 < r["requests"]; print("ours", r["rate"])' "$TMP/report"
}

# is KEY VALUE: the report says so; KEY is a Python expression over it.
is() { [ "$(python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$TMP/report" "$1")" = "$2" ]; }

beside_wrk() {
    within 30 wrk -t 1 -c 50 -d 2s "http://127.0.0.1:$NGINX/" | grep Requests/sec
    load "http://127.0.0.1:$NGINX/" -c 50 --duration 2s
    is 'list(r["status"])' "['200']"
    [ "$(wc -l <"$TMP/lines")" -ge 1 ]
}

# Every answer has a file of a MiB: nginx itself says how many bytes it sent.
big() {
    load "http://127.0.0.1:$NGINX/big" -c 4 --requests 40
    is 'r["received_bytes"] > 40 * 1048576 and r["requests"]' 40
}

missing() {
    local status=0
    within 30 "$SWITCHBOARD" load "http://127.0.0.1:$NGINX/missing" -c 2 --requests 10 >"$TMP/out" 2>&1 || status=$?
    [ "$status" = 1 ]
    grep -q '^errors       10: 10 status 404$' "$TMP/out"
}

beside_redis_benchmark() {
    within 30 redis-benchmark -h 127.0.0.1 -p "$REDIS" -c 50 -n 50000 -t ping_inline -q | tr '\r' '\n' | grep 'per second'
    load "tcp://127.0.0.1:$REDIS" --send 'PING\r\n' --expect 7 -c 50 --requests 50000
    is 'r["requests"]' 50000
}

# The server's own books: one connection a request, each PING counted once.
churn() {
    local before after
    before=$(redis-cli -h 127.0.0.1 -p "$REDIS" info stats | sed -n 's/^total_commands_processed:\([0-9]*\).*/\1/p')
    load "tcp://127.0.0.1:$REDIS" --send 'PING\r\n' --expect 7 -c 10 --mode churn --requests 2000
    after=$(redis-cli -h 127.0.0.1 -p "$REDIS" info stats | sed -n 's/^total_commands_processed:\([0-9]*\).*/\1/p')
    # The question itself is a command too.
    [ $((after - before)) = 2001 ]
    is 'r["connections"]["made"]' 2000
}

gone() {
    local status=0
    within 30 "$SWITCHBOARD" load "tcp://127.0.0.1:$(free_port)" >"$TMP/out" 2>&1 || status=$?
    [ "$status" = 7 ]
    grep -q 'cannot connect to 127.0.0.1:[0-9]*: connection refused$' "$TMP/out"
}

NGINX=$(free_port)
start_nginx "$NGINX"
REDIS=$(free_port)
start redis redis-server --bind 127.0.0.1 --port "$REDIS" --save '' --appendonly no --dir "$TMP"
await_port "$REDIS"
check "nginx: wrk and ours, 50 connections, no error" beside_wrk
check "nginx: a MiB an answer, all of it" big
check "nginx: a missing page is an error by its status" missing
check "redis: redis-benchmark's inline PING and ours, no error" beside_redis_benchmark
check "redis: a connection a request, counted by redis as by us" churn
check "no listener: one line and code 7" gone
