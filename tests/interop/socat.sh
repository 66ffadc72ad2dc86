# socat on both sides: each direction ends by itself, and over unix sockets as over TCP.
. "$(dirname "$0")/lib.sh"
need socat

# A reply that comes a second after the client's end of stream.
late_reply() {
    start upstream socat -t 10 "TCP-LISTEN:$UPSTREAM,bind=127.0.0.1,reuseaddr" SYSTEM:'wc -c; sleep 1; echo late'
    await_port "$UPSTREAM"
    [ "$(head -c 1M /dev/zero | within 20 socat -t 10 - "TCP:127.0.0.1:$PORT")" = "1048576
late" ]
}

# An upload that goes on after the upstream's end of stream.
late_upload() {
    head -c 16M /dev/urandom >"$TMP/sent"
    start upstream socat -t 10 "TCP-LISTEN:$UPSTREAM,bind=127.0.0.1,reuseaddr" SYSTEM:"echo hello; exec >&-; cat >$TMP/got",pipes
    await_port "$UPSTREAM"
    [ "$( (sleep 1; cat "$TMP/sent") | within 20 socat -t 10 - "TCP:127.0.0.1:$PORT")" = hello ]
    eventually 10 ended "$PID"
    same "$TMP/sent" "$TMP/got"
}

# cat_back ADDRESS: 64 MiB both ways at once.
cat_back() {
    head -c 64M /dev/urandom >"$TMP/sent"
    within 60 socat -t 30 - "$1" <"$TMP/sent" >"$TMP/got"
    same "$TMP/sent" "$TMP/got"
}

UPSTREAM=$(free_port)
serve proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$UPSTREAM"
check "the reply to a client that half-closed arrives, a second later" late_reply
check "the upload goes on after the upstream's end" late_upload

start cat socat -t 30 "UNIX-LISTEN:$TMP/cat.sock,fork" SYSTEM:cat
eventually 10 test -S "$TMP/cat.sock"
serve to_unix proxy --listen 127.0.0.1:0 --upstream "unix:$TMP/cat.sock"
check "64 MiB both ways, TCP to unix" cat_back "TCP:127.0.0.1:$PORT"
serve unix_to_tcp proxy --listen "unix:$TMP/front.sock" --upstream "127.0.0.1:$PORT"
check "64 MiB both ways, unix to TCP to unix" cat_back "UNIX-CONNECT:$TMP/front.sock"
serve unix_echo echo --listen "unix:$TMP/echo.sock"
check "64 MiB echoed over a unix socket" cat_back "UNIX-CONNECT:$TMP/echo.sock"
