# iperf3 through the proxy, which carries its control connection and its data connections alike: each direction, and both.
. "$(dirname "$0")/lib.sh"
need iperf3

measure() {
    within 30 iperf3 -c 127.0.0.1 -p "$PORT" -t 2 "$@" | tee "$TMP/iperf3"
    grep -q 'receiver' "$TMP/iperf3"
    absent -E ' 0.00 bits/sec +receiver' "$TMP/iperf3"
}

IPERF3=$(free_port)
start iperf3 iperf3 -s -B 127.0.0.1 -p "$IPERF3"
await_port "$IPERF3"
# iperf3 takes its connections for its streams in the order in which they come. Several threads dial side by side, which keeps
# no order among connections that come at once; with --bidir both ends of two streams then send, or both wait.
serve proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$IPERF3" --threads 1
check "from the client" measure
check "to the client" measure -R
check "both ways, four streams each" measure --bidir -P 4
