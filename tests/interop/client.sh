# The program's own client against nginx, a server that cuts off, and none: what it prints, and its exit codes (curl's).
. "$(dirname "$0")/lib.sh"
need nginx socat

# exits STATUS ARGUMENTS…
exits() {
    local expected=$1 status=0
    shift
    within 20 "$SWITCHBOARD" client "$@" </dev/null >"$TMP/answer" || status=$?
    [ "$status" = "$expected" ]
}

page() {
    exits 0 "http://127.0.0.1:$NGINX/"
    grep -q '^HTTP/1.1 200 OK' "$TMP/answer"
    grep -q 'a page from nginx' "$TMP/answer"
    exits 0 "http://127.0.0.1:$NGINX/" --via "127.0.0.1:$PORT" --body
    same "$TMP/answer" "$TMP/www/index.html"
}

bulk() {
    exits 0 "http://127.0.0.1:$NGINX/big" --via "127.0.0.1:$PORT" --body
    same "$TMP/answer" "$TMP/www/big"
}

parallel() {
    within 30 "$SWITCHBOARD" client "http://127.0.0.1:$NGINX/" --via "127.0.0.1:$PORT" --parallel 50 --repeat 10 >/dev/null
}

# cut_off FIN|RST STATUS: an answer that ends too early, directly and through the proxy.
cut_off() {
    start_cutter "$CUT" "$1"
    exits "$2" "http://127.0.0.1:$CUT/"
    exits "$2" "http://127.0.0.1:$CUT/" --via "127.0.0.1:$CUT_PROXY"
    kill "$PID"
    eventually 5 ended "$PID"
}

tcp() {
    start rev socat -t 10 "TCP-LISTEN:$CUT,bind=127.0.0.1,fork,reuseaddr" SYSTEM:'rev'
    await_port "$CUT"
    exits 0 "tcp://127.0.0.1:$CUT" --via "127.0.0.1:$CUT_PROXY" --send stressed
    grep -q '^desserts' "$TMP/answer"
    kill "$PID"
    eventually 5 ended "$PID"
}

no_listener() {
    exits 7 "http://127.0.0.1:$CUT/"
    exits 56 "http://127.0.0.1:$CUT/" --via "127.0.0.1:$CUT_PROXY"
}

NGINX=$(free_port)
start_nginx "$NGINX" 64
CUT=$(free_port)
serve cut_proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$CUT"
CUT_PROXY=$PORT
serve proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$NGINX"

check "prints nginx's page, directly and through the proxy" page
check "64 MiB through the proxy, sha256 equal" bulk
check "50 clients at once, 10 times each" parallel
check "tcp://: sends, half-closes, prints the reply" tcp
check "an answer cut off by FIN: 18" cut_off FIN 18
check "an answer cut off by RST: 56" cut_off RST 56
check "no listener: 7, and 56 through the proxy" no_listener
check "a name that does not resolve: 6" exits 6 http://no-such-host.invalid/
