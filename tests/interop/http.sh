# curl and nginx, through the proxy: bulk both ways, reused connections, an answer before the upload's end, and
# answers that are cut off, which must look as they do directly.
. "$(dirname "$0")/lib.sh"
need curl nginx socat

get() {
    within 60 curl -sS --fail "http://127.0.0.1:$PORT/big" -o "$TMP/got"
    same "$TMP/got" "$TMP/www/big"
}

put() {
    within 60 curl -sS --fail -T "$TMP/www/big" "http://127.0.0.1:$PORT/upload/copy"
    same "$TMP/www/upload/copy" "$TMP/www/big"
}

at_once() {
    within 60 curl -sS --fail -T "$TMP/www/big" "http://127.0.0.1:$PORT/upload/again" &
    local upload=$!
    get
    wait "$upload"
    same "$TMP/www/upload/again" "$TMP/www/big"
}

reused() {
    [ "$(within 10 curl -sS --fail -w '%{num_connects} ' "http://127.0.0.1:$PORT/?[1-5]" -o "$TMP/page#1")" = "1 0 0 0 0 " ]
}

parallel() {
    within 30 curl -sS -Z --parallel-max 50 -w '%{http_code}\n' "http://127.0.0.1:$PORT/?[1-500]" -o /dev/null >"$TMP/codes"
    [ "$(grep -cx 200 "$TMP/codes")" = 500 ]
}

# An answer of 413 comes while the body is still on its way: curl must get it as it does directly.
early_answer() {
    local port
    for port in "$NGINX" "$PORT"; do
        [ "$(within 20 curl -sS -H 'Expect:' -w '%{http_code}' -o /dev/null -T "$TMP/www/big" "http://127.0.0.1:$port/small/x")" = 413 ]
    done
}

# cut_off FIN|RST STATUS: curl's exit code for an answer that ends too early.
cut_off() {
    local port status
    start_cutter "$CUT" "$1"
    for port in "$CUT" "$CUT_PROXY"; do
        status=0
        within 20 curl -sS "http://127.0.0.1:$port/" || status=$?
        [ "$status" = "$2" ]
    done
    kill "$PID"
    eventually 5 ended "$PID"
}

NGINX=$(free_port)
start_nginx "$NGINX" 256
CUT=$(free_port)
serve cut_proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$CUT"
CUT_PROXY=$PORT
serve proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$NGINX"

check "GET of 256 MiB, sha256 equal" get
check "PUT of 256 MiB, sha256 equal" put
check "GET and PUT of 256 MiB at once, sha256 equal" at_once
check "five requests on one connection" reused
check "500 requests, 50 at once" parallel
check "an answer that comes before the upload's end arrives, as directly" early_answer
check "an answer cut off by FIN: curl says 18 (partial file), as directly" cut_off FIN 18
check "an answer cut off by RST: curl says 56 (receive failure), as directly" cut_off RST 56

serve copying proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$NGINX" --splice off
check "GET of 256 MiB with --splice off, sha256 equal" get
