# strace shows the path of the bytes: with --splice auto a bulk transfer crosses by splice(2), with --splice off never.
. "$(dirname "$0")/lib.sh"
need strace nginx curl

# traced NAME ARGUMENTS…: a proxy whose calls that move bytes are written to NAME.trace. -D: it stays our child itself.
traced() {
    local name=$1
    shift
    start "$name" strace -D -f -qq -e trace=splice,sendfile,recvfrom,sendto,recvmsg,sendmsg,read,write,readv,writev \
        -e signal=none -s 0 -o "$TMP/$name.trace" "$SWITCHBOARD" proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$NGINX" --log off "$@"
    eventually 10 grep -q '^listening on ' "$TMP/$name.err"
    PORT=$(sed -n 's/^listening on [^ ,]*:\([0-9]*\).*/\1/p' "$TMP/$name.err")
    within 60 curl -sS --fail "http://127.0.0.1:$PORT/big" -o "$TMP/got"
    same "$TMP/got" "$TMP/www/big"
    kill "$PID"
    eventually 10 ended "$PID"
}

# moved NAME CALL: the bytes that CALL moved.
moved() { awk -v call=" $2(" 'index($0, call) || (index($0, "<... " substr(call, 2, length(call) - 2) " resumed>")) { if ($NF > 0) sum += $NF } END { printf "%d\n", sum }' "$TMP/$1.trace"; }

# Every byte is spliced twice: into a pipe and out of it.
spliced() {
    traced auto
    [ "$(moved auto splice)" -ge $((SIZE * 2 * 9 / 10)) ]
}

copied() {
    traced off --splice off
    [ "$(grep -c splice "$TMP/off.trace")" = 0 ]
    [ "$(($(moved off recvfrom) + $(moved off read) + $(moved off recvmsg) + $(moved off readv)))" -ge "$SIZE" ]
}

NGINX=$(free_port)
start_nginx "$NGINX" 64
SIZE=$((64 * 1024 * 1024))
check "--splice auto: at least nine tenths of 64 MiB cross by splice" spliced
check "--splice off: none, and 64 MiB arrive all the same" copied
