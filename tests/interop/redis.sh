# redis through the proxy: commands, binary values, bulk loading, a subscriber that is spoken to first, and
# redis-benchmark with 50 connections.
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli redis-benchmark

cli() { within 20 redis-cli -h 127.0.0.1 -p "$PORT" "$@"; }

values() {
    [ "$(cli ping)" = PONG ]
    head -c 16M /dev/urandom >"$TMP/value"
    [ "$(cli -x set value <"$TMP/value")" = OK ]
    cli --raw get value >"$TMP/got"
    truncate -s 16M "$TMP/got" # Without the line end that redis-cli adds.
    same "$TMP/got" "$TMP/value"
}

bulk_load() {
    local i
    for i in {1..50000}; do printf 'SET key:%d %d\r\n' "$i" "$i"; done | cli --pipe >"$TMP/pipe"
    grep -q 'errors: 0, replies: 50000' "$TMP/pipe"
    [ "$(cli get key:50000)" = 50000 ]
}

subscriber() {
    start subscriber within 20 redis-cli -h 127.0.0.1 -p "$PORT" subscribe news
    eventually 5 grep -q '^subscribe' "$TMP/subscriber.out"
    [ "$(cli publish news extra)" = 1 ]
    eventually 5 grep -q '^extra' "$TMP/subscriber.out"
}

# benchmark OPTIONS…: a line of requests per second for each test, and no error.
benchmark() {
    within 60 redis-benchmark -h 127.0.0.1 -p "$PORT" -q "$@" 2>&1 | tr '\r' '\n' >"$TMP/benchmark"
    [ "$(grep -c 'requests per second' "$TMP/benchmark")" = 4 ]
    absent -i error "$TMP/benchmark"
}

REDIS=$(free_port)
start redis redis-server --bind 127.0.0.1 --port "$REDIS" --save '' --appendonly no --dir "$TMP"
await_port "$REDIS"
serve proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$REDIS"

check "commands and a 16 MiB value" values
check "50,000 commands by redis-cli --pipe, no error" bulk_load
check "a subscriber gets what is published" subscriber
check "redis-benchmark -n 20000 -c 50 -P 1" benchmark -n 20000 -c 50 -P 1 -t ping,set,get
check "redis-benchmark -n 100000 -c 50 -P 16" benchmark -n 100000 -c 50 -P 16 -t ping,set,get
