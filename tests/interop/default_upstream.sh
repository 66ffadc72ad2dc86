# The defaults as they are: in a network of its own, where www.google.com is a local nginx on port 80, plain
# `make echo`, `make proxy` and `make client` work on their default ports. Needs root, to make that network.
. "$(dirname "$0")/lib.sh"
need nginx nc unshare ip make

if [ "${1:-}" != inside ]; then
    if ! unshare -n -m true 2>/dev/null; then skip "needs root, to make a network of its own"; exit 0; fi
    trap - EXIT
    rm -rf "$TMP"
    exec unshare -n -m --propagation private bash "$0" inside
fi

ip link set lo up
{ echo "127.0.0.1 www.google.com"; cat /etc/hosts; } >"$TMP/hosts"
mount --bind "$TMP/hosts" /etc/hosts
start_nginx 80

answered() {
    within 30 make client "$@" >"$TMP/page"
    grep -q '^HTTP/1.1 200 OK' "$TMP/page"
    grep -q 'a page from nginx' "$TMP/page"
}

foobar() {
    [ "$(echo "Foobar" | within 10 nc localhost 8001 -q 1)" = Foobar ]
    eventually 5 grep -q Foobar "$TMP/echo.out"
}

# The log of the proxy names the upstream as asked for and as found, and shows the request.
shown() {
    eventually 5 grep -q "$1" "$TMP/proxy.out"
}

start echo make echo
eventually 60 grep -q '^listening on 127.0.0.1:8001' "$TMP/echo.err"
start proxy make proxy
eventually 60 grep -q '^listening on 127.0.0.1:8002' "$TMP/proxy.err"

check "make echo, and nc to port 8001" foobar
check "make client prints the page of www.google.com" answered
check "make client VIA=127.0.0.1:8002 prints it through make proxy" answered VIA=127.0.0.1:8002
check "make proxy shows the request" shown 'GET / HTTP/1.1'
check "make proxy shows the Host that was asked for" shown 'Host: www.google.com'
check "make proxy shows where it connected" shown '127.0.0.1:80'
