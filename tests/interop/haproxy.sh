# haproxy in front of the proxy and behind it, as a relay of bytes and of HTTP; its health checks connect and go.
. "$(dirname "$0")/lib.sh"
need haproxy nginx curl

# haproxy_to NAME MODE PORT: an haproxy that relays to PORT and checks its health; sets PID and HAPROXY.
haproxy_to() {
    HAPROXY=$(free_port)
    cat >"$TMP/$1.cfg" <<END
global
    maxconn 1000
    stats socket $TMP/$1.sock
defaults
    mode $2
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen relay
    bind 127.0.0.1:$HAPROXY
    server next 127.0.0.1:$3 check inter 100ms pool-max-conn 0
END
    start "$1" haproxy -db -q -f "$TMP/$1.cfg"
    await_port "$HAPROXY" || { cat "$TMP/$1.err" >&2; return 1; }
}

bulk() {
    within 60 curl -sS --fail "http://127.0.0.1:$1/big" -o "$TMP/got"
    same "$TMP/got" "$TMP/www/big"
    within 60 curl -sS --fail -T "$TMP/www/big" "http://127.0.0.1:$1/upload/copy"
    same "$TMP/www/upload/copy" "$TMP/www/big"
}

many() {
    within 30 curl -sS -Z --parallel-max 50 -w '%{http_code}\n' "http://127.0.0.1:$1/?[1-300]" -o /dev/null >"$TMP/codes"
    [ "$(grep -cx 200 "$TMP/codes")" = 300 ]
}

# More than ten health checks later the haproxies in front still hold the proxy for alive, and it does not hold them as sessions.
healthy() {
    local log=$TMP/proxy.out
    [ "$(grep -c '"event":"open"' "$log")" -gt 10 ]
    absent 'is DOWN' "$TMP/front_tcp.err" "$TMP/front_http.err"
    eventually 5 eval "[ \$(grep -c '\"event\":\"open\"' '$log') -le \$((\$(grep -c '\"event\":\"close\"' '$log') + 2)) ]"
}

NGINX=$(free_port)
start_nginx "$NGINX" 64

haproxy_to behind tcp "$NGINX"
serve before proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$HAPROXY"
check "behind the proxy: 64 MiB each way" bulk "$PORT"
check "behind the proxy: 300 requests, 50 at once" many "$PORT"

serve proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$NGINX" --log json
haproxy_to front_tcp tcp "$PORT"
TCP=$HAPROXY
haproxy_to front_http http "$PORT"
for mode in TCP HTTP; do
    if [ $mode = TCP ]; then port=$TCP; else port=$HAPROXY; fi
    check "in front as $mode: 64 MiB each way" bulk "$port"
    check "in front as $mode: 300 requests, 50 at once" many "$port"
done
check "its health checks leave no session behind" healthy
