# discovery: unbound and dnsmasq tell the servers of an upstream, and their records change while clients come and sessions live.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin
need unbound dnsmasq python3

# echo_on ADDRESS [PORT]: an echo there; sets PID and PORT.
echo_on() { serve "echo-$1-${2:-}" echo --listen "$1:${2:-0}" --log off --control off; }

# zone RECORD…: what unbound says of the zone test from now on.
zone() {
    {
        printf 'server:\n interface: 127.0.0.1\n port: %s\n do-daemonize: no\n use-syslog: no\n chroot: ""\n' "$DNS"
        printf ' username: ""\n pidfile: ""\n directory: "%s"\n module-config: "iterator"\n' "$TMP"
        printf ' local-zone: "test." static\n'
        [ $# = 0 ] || printf ' local-data: "%s"\n' "$@"
        printf 'remote-control:\n control-enable: no\n'
    } >"$TMP/unbound.conf"
    # At SIGHUP it reads its file again.
    if [ -n "${UNBOUND:-}" ]; then kill -HUP "$UNBOUND"; fi
}

# proxy DISCOVER [LINE…]: a server in front of what is discovered; sets ADDR, PORT, PID.
proxy() {
    {
        printf 'control = "off"\nlog = "json"\nthreads = 2\n'
        printf '[listener.front]\nlisten = "127.0.0.1:0"\nupstream = "web"\n'
        printf '[upstream.web]\ndiscover = "%s"\nresolver = "127.0.0.1:%s"\nrefresh = "1s"\n' "$1" "$DNS"
        printf '%s\n' "${@:2}"
    } >"$TMP/$1.toml"
    serve "$1" run "$TMP/$1.toml"
}

# said NAME TEXT COUNT: the proxy of that name has said COUNT times.
said() { [ "$(grep -c -- "$2" "$TMP/$1.err" || true)" = "$3" ]; }

# load SECONDS: 200 clients a second for so long; not one is lost.
load_begins() {
    start load within 60 "$SWITCHBOARD" load "tcp://127.0.0.1:$PORT" -c 20 --mode churn --rate 200 -z "$1s" --json
    LOAD=$PID
}
load_ends() {
    eventually 30 ended "$LOAD"
    python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print(r["requests"], r["errors"]); assert r["errors"] == 0 < r["requests"]' "$TMP/load.out"
}

# served NAME: the servers that sessions reached after line SEEN.
served() { tail -n "+$((SEEN + 1))" "$TMP/$1.out" | sed -n 's/.*"event":"connect".*"server":"\([^"]*\)".*/\1/p' | sort -u | tr '\n' ' '; }

# only NAME ADDRESS…: clients reach these servers and no others.
only() {
    local name=$1 wanted
    shift
    wanted=$(printf '%s\n' "$@" | sort | tr '\n' ' ')
    SEEN=$(wc -l <"$TMP/$name.out")
    within 5 "$SWITCHBOARD" load "tcp://127.0.0.1:$PORT" --mode churn -n 12 -c 1 >/dev/null
    eventually 5 eval "[ \"\$(served $name)\" = '$wanted' ]"
}

addresses_under_load() {
    local name=dns:web.test:$ECHO
    said "$name" "joined" 1
    only "$name" "127.0.0.1:$ECHO" "127.0.0.2:$ECHO"
    # A session that lives through all of it.
    start long within 60 "$SWITCHBOARD" load "tcp://127.0.0.1:$PORT" -c 4 --rate 40 -z 8s --json
    local long=$PID
    load_begins 6
    sleep 1
    zone "web.test. 1 IN A 127.0.0.2" "web.test. 1 IN A 127.0.0.3"
    eventually 10 said "$name" "127.0.0.3:$ECHO joined; 127.0.0.1:$ECHO left" 1
    only "$name" "127.0.0.2:$ECHO" "127.0.0.3:$ECHO"
    zone "web.test. 1 IN A 127.0.0.3"
    eventually 10 said "$name" "127.0.0.2:$ECHO left" 1
    load_ends
    only "$name" "127.0.0.3:$ECHO"
    eventually 20 ended "$long"
    python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); assert r["errors"] == 0 < r["requests"]' "$TMP/long.out"
}

# What unbound does not say, or says is not there, changes nothing.
failures_under_load() {
    local name=dns:web.test:$ECHO
    load_begins 7
    zone # NXDOMAIN
    eventually 10 said "$name" "the name does not exist; its server stays" 1
    kill -STOP "$UNBOUND"
    sleep 2
    kill -CONT "$UNBOUND"
    zone "web.test. 1 IN A 127.0.0.3" "web.test. 1 IN A 127.0.0.1"
    eventually 15 said "$name" "127.0.0.1:$ECHO joined" 1
    load_ends
    said "$name" "stays" 1
    said "$name" "answers again" 1
}

services_under_load() {
    local name=srv:_db._tcp.test
    only "$name" "127.0.0.1:$ONE" "127.0.0.1:$TWO"
    load_begins 6
    sleep 1
    zone "_db._tcp.test. 1 IN SRV 1 1 $TWO a.test." "_db._tcp.test. 1 IN SRV 2 1 $THREE a.test." "a.test. 1 IN A 127.0.0.1"
    eventually 10 said "$name" "127.0.0.1:$THREE joined; 127.0.0.1:$ONE left" 1
    only "$name" "127.0.0.1:$TWO"
    zone "_db._tcp.test. 1 IN SRV 1 1 $THREE a.test." "a.test. 1 IN A 127.0.0.1"
    eventually 10 said "$name" "127.0.0.1:$TWO left" 1
    load_ends
    only "$name" "127.0.0.1:$THREE"
}

# 10,000 sessions would take long here; a unit test has them.
weights() {
    local name=srv:_db._tcp.test
    zone "_db._tcp.test. 1 IN SRV 1 1 $ONE a.test." "_db._tcp.test. 1 IN SRV 1 3 $TWO a.test." "a.test. 1 IN A 127.0.0.1"
    eventually 10 said "$name" "127.0.0.1:$ONE, 127.0.0.1:$TWO joined; 127.0.0.1:$THREE left" 1
    SEEN=$(wc -l <"$TMP/$name.out")
    within 20 "$SWITCHBOARD" load "tcp://127.0.0.1:$PORT" --mode churn -n 400 >/dev/null
    count() { tail -n "+$((SEEN + 1))" "$TMP/$name.out" | grep '"event":"connect"' | grep -c "\"server\":\"127.0.0.1:$1\""; }
    eventually 5 eval "[ \$((\$(count $ONE) + \$(count $TWO))) -ge 400 ]"
    [ $(($(count "$TWO") * 10 / $(count "$ONE"))) -ge 29 ]
}

# More servers than a datagram of 512 bytes holds, and than unbound puts into one without a question for more.
many() {
    local records=() i
    for i in {1..200}; do records+=("many.test. 1 IN A 127.1.0.$i"); done
    zone "${records[@]}"
    proxy "dns:many.test:$ECHO" 'check = { every = "60s" }'
    said "dns:many.test:$ECHO" "and 192 more joined" 1
}

dnsmasq_too() {
    local name=srv:_line._tcp.test
    DNS=$(free_port)
    start dnsmasq dnsmasq --no-daemon --conf-file=/dev/null --port="$DNS" --listen-address=127.0.0.1 --bind-interfaces \
        --no-resolv --no-hosts --local-ttl=1 --pid-file= --user="$(id -un)" --srv-host="_line._tcp.test,a.test,$ONE,1,0" \
        --srv-host="_line._tcp.test,b.test,$ECHO,2,5" --addn-hosts="$TMP/hosts" --log-facility=-
    local dnsmasq=$PID
    await_port "$DNS"
    # It refuses to say anything of b.test, of which its hosts do not know yet.
    proxy "$name"
    said "$name" "b.test. name server 127.0.0.1:$DNS: it says REFUSED; its server stays" 1
    only "$name" "127.0.0.1:$ONE"
    echo "127.0.0.2 a.test
127.0.0.3 b.test" >"$TMP/hosts"
    load_begins 5
    # The serving priority has moved to where nothing listens: the backup serves.
    kill -HUP "$dnsmasq"
    eventually 10 said "$name" "127.0.0.2:$ONE, 127.0.0.3:$ECHO joined; 127.0.0.1:$ONE left" 1
    load_ends
    only "$name" "127.0.0.3:$ECHO"
}

DNS=$(free_port)
echo_on 127.0.0.1
ECHO=$PORT
echo_on 127.0.0.2 "$ECHO"
echo_on 127.0.0.3 "$ECHO"
zone "web.test. 1 IN A 127.0.0.1" "web.test. 1 IN A 127.0.0.2"
start unbound unbound -d -c "$TMP/unbound.conf"
UNBOUND=$PID
await_port "$DNS" || { cat "$TMP/unbound.err" >&2; exit 1; }
proxy "dns:web.test:$ECHO"
WEB=$PORT
check "addresses come and go at 200 clients a second, not one is lost" addresses_under_load
check "NXDOMAIN and silence change nothing, told once" failures_under_load

# In the order in which they are told.
mapfile -t PORTS < <(for i in {1..3}; do free_port; done | sort -n)
for port in "${PORTS[@]}"; do echo_on 127.0.0.1 "$port"; done
ONE=${PORTS[0]} TWO=${PORTS[1]} THREE=${PORTS[2]}
zone "_db._tcp.test. 1 IN SRV 1 1 $ONE a.test." "_db._tcp.test. 1 IN SRV 1 1 $TWO a.test." "a.test. 1 IN A 127.0.0.1"
sleep 0.5
proxy srv:_db._tcp.test
check "services change at 200 clients a second, not one is lost" services_under_load
check "their weights count" weights
check "200 addresses, over TCP where they do not fit" many
printf '127.0.0.1 a.test\n' >"$TMP/hosts"
check "dnsmasq: priorities, and hosts that change" dnsmasq_too
