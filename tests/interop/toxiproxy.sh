# toxiproxy's own client libraries for Python, Node and Rust, and curl, against `switchboard faults`: its API by each of them, and
# what the faults do to connections, seen from the client. toxiproxy-install installs the libraries. Last, the recipes for a flaky
# network in a test, with redis.
. "$(dirname "$0")/lib.sh"
need curl redis-server
LIBRARIES=$(realpath -m "${CARGO_TARGET_DIR:-target}/interop")
HERE=tests/interop

# ── curl ────────────────────────────────────────────────────────────────────────────────────────────────────────────

# call METHOD PATH OPTION…: the head of the answer in $TMP/head, its body in $TMP/body.
call() { within 10 curl -sS -X "$1" -D "$TMP/head" -o "$TMP/body" "${@:3}" "http://$API$2"; }

# answers STATUS [TEXT]: the last call was answered so, with this text in its body.
answers() {
    cat "$TMP/head" "$TMP/body"
    grep -q "^HTTP/1.1 $1 " "$TMP/head"
    [ $# = 1 ] || grep -qF -- "$2" "$TMP/body"
}

proxy_of() { printf '{"name":"%s","listen":"127.0.0.1:0","upstream":"%s"}' "$1" "$ECHO"; }

# curl posts what it is given as a form.
as_a_form() {
    call POST /proxies -d "$(proxy_of form)"
    answers 201 '"name":"form"'
    call PATCH /proxies/form -d '{"enabled":false}'
    answers 200 '"enabled":false'
    call GET /proxies/form
    answers 200 '"enabled":false'
    call DELETE /proxies/form -d '{}'
    answers 204
    [ ! -s "$TMP/body" ]
    absent -i '^content-length: [1-9]\|^transfer-encoding' "$TMP/head"
}

chunked() {
    call POST /proxies -H 'Transfer-Encoding: chunked' -d "$(proxy_of chunked)"
    answers 201 '"name":"chunked"'
    call DELETE /proxies/chunked
    answers 204
}

# It waits 20 s for the permission before it sends; 10 s are all it has here.
expect_continue() {
    call POST /proxies -H 'Expect: 100-continue' --expect100-timeout 20 -d "$(proxy_of expect)"
    grep -q '^HTTP/1.1 100 ' "$TMP/head"
    answers 201 '"name":"expect"'
    call DELETE /proxies/expect
    answers 204
}

# No length at all, and a length of 0.
without_a_body() {
    call POST /reset
    answers 204
    call POST /reset -d ''
    answers 204
    call POST /proxies
    answers 400 'bad request body: '
}

# One connection, a 204 in its middle.
kept_alive() {
    call POST /proxies -d "$(proxy_of kept)"
    within 10 curl -sS -w '%{http_code} %{num_connects}\n' -o "$TMP/body" "http://$API/version" \
        --next -sS -w '%{http_code} %{num_connects}\n' -X DELETE -o "$TMP/body" "http://$API/proxies/kept" \
        --next -sS -w '%{http_code} %{num_connects}\n' -o "$TMP/body" "http://$API/proxies/kept" >"$TMP/codes"
    [ "$(tr '\n' , <"$TMP/codes")" = '200 1,204 0,404 0,' ]
}

# What a browser sends is refused; a name of a container is no reason to.
who_may() {
    call GET /version -A 'Mozilla/5.0 (X11)'
    answers 403 'User agent not allowed'
    call GET /version -H 'Origin: http://evil.example'
    answers 403
    call GET /version -A 'toxiproxy-cli/v2 (Mozilla/5.0)' -H 'Host: toxiproxy:8474' -H 'sec-fetch-mode: cors'
    answers 200 '"version"'
    grep -qi '^x-toxiproxy-request-id: .' "$TMP/head"
    grep -qi '^content-type: application/json' "$TMP/head"
}

# error STATUS TEXT METHOD PATH [BODY]: exactly so.
error() {
    call "$3" "$4" ${5:+-d "$5"}
    answers "$1"
    [ "$(cat "$TMP/body")" = "{\"error\":\"$2\",\"status\":$1}" ]
}

errors() {
    call POST /proxies -d "$(proxy_of here)"
    trap 'call DELETE /proxies/here' EXIT
    error 404 'proxy not found' GET /proxies/none
    error 404 'proxy not found' DELETE /proxies/none
    error 404 'proxy not found' POST /proxies/none/toxics '{}'
    error 409 'proxy already exists' POST /proxies "$(proxy_of here)"
    error 400 'missing required field: name' POST /proxies '{"listen":null}'
    error 400 'missing required field: upstream' POST /proxies '{"NAME":"x"}'
    call POST /populate -d "[$(proxy_of new),{\"upstream\":\"x\"}]"
    answers 400 '"error":"missing required field: name at proxy 2"'
    grep -qF '"proxies":[]' "$TMP/body"
    error 404 'proxy not found' GET /proxies/new
    error 400 'stream was invalid, can be either upstream or downstream' POST /proxies/here/toxics '{"type":"x","stream":"y"}'
    error 400 'invalid toxic type' POST /proxies/here/toxics '{"type":"x"}'
    error 404 'toxic not found' GET /proxies/here/toxics/none
    call POST /proxies/here/toxics -d '{"type":"noop"}'
    answers 200 '"name":"noop_downstream"'
    error 409 'toxic already exists' POST /proxies/here/toxics '{"Type":"latency","name":"noop_downstream"}'
    error 500 "listen tcp $ECHO: bind: address already in use" POST /proxies "{\"name\":\"x\",\"upstream\":\"y\",\"listen\":\"$ECHO\"}"
    error 500 'listen tcp: address nonsense: missing port in address' POST /proxies '{"name":"x","upstream":"y","listen":"nonsense"}'
    call PUT /proxies
    answers 405
    call GET /nothing
    answers 404 '404 page not found'
}

# As Testcontainers names one.
names() {
    call POST /proxies -d "$(proxy_of redis:6379@x)"
    answers 201
    call POST /proxies/redis%3A6379%40x/toxics -d '{"type":"latency","attributes":{"latency":1}}'
    answers 200 '"latency":1'
    call DELETE /proxies/redis:6379@x
    answers 204
}

# ── the libraries ───────────────────────────────────────────────────────────────────────────────────────────────────

# installed LANGUAGE PROGRAM…: this library and what runs it are there.
installed() {
    local program
    for program in "${@:2}"; do
        command -v "$program" >/dev/null || { skip "$1: $program is not installed"; return 1; }
    done
    [ -e "$LIBRARIES/$1" ] || { skip "$1: its library is not installed: $HERE/toxiproxy-install $1 does it"; return 1; }
}

of_python() { within 20 python3 "$HERE/toxiproxy-python/library.py" "$API" "$ECHO" "$1"; }
of_node() { within 20 node "$TMP/node/library.mjs" "$API" "$ECHO" "$1"; }
of_rust() { within 20 "$LIBRARIES/rust/debug/switchboard-toxiproxy" "$API" "$ECHO" "$1"; }

# Offline: its crates are there.
compile() { within 100 cargo build -q --offline --locked --manifest-path "$HERE/toxiproxy-rust/Cargo.toml" --target-dir "$LIBRARIES/rust"; }

# library LANGUAGE: each check that it has. Nothing is left behind, and the server has not complained.
library() {
    local line
    while IFS='|' read -r name what; do
        check "$1: $what" "of_$1" "$name"
    done < <(checks_of "$1")
    check "$1: no proxy is left" none_left
}

none_left() {
    call GET /proxies
    answers 200
    [ "$(cat "$TMP/body")" = '{}' ]
}

# checks_of LANGUAGE: those of each, and those that not every library can do.
checks_of() {
    cat <<'END'
version|it is a version of toxiproxy's
proxies|a proxy is made, found, listed, deleted; a MiB crosses it
populate|populate, and an equal proxy stays
toxics|every kind that it can make, as it was made; all removed
latency|latency, seen by the client
bandwidth|bandwidth, seen by the client
timeout|timeout: nothing comes, then the end
limit_data|limit_data: exactly so many bytes, then the end
slow_close|slow_close: data at once, the end later
slicer|slicer: slices, and every byte
half_close|a client that ended its stream gets all that is on its way
reset|reset
END
    if [ "$1" != rust ]; then
        echo "errors|its errors are told apart"
        echo "reset_peer|reset_peer: ECONNRESET"
    fi
    if [ "$1" != node ]; then echo "down|down: connection refused while the block runs, then the same port"; fi
    if [ "$1" = python ]; then
        echo "live|toxics come and go on a live session"
        echo "own_kinds|kinds of our own are made and listed"
    fi
    if [ "$1" = rust ]; then echo "others|kinds of our own, with fields of our own, are listed"; fi
}

recipe() { FAULTS_API=$API REDIS=127.0.0.1:$REDIS within 30 "$@"; }

# ── what runs ───────────────────────────────────────────────────────────────────────────────────────────────────────

serve echo echo --listen 127.0.0.1:0 --log off --control off
ECHO=$ADDR
REDIS=$(free_port)
start redis redis-server --bind 127.0.0.1 --port "$REDIS" --save '' --appendonly no --dir "$TMP"
await_port "$REDIS"
API_PORT=$(free_port)
API=127.0.0.1:$API_PORT
start faults "$SWITCHBOARD" faults --api "$API"
FAULTS=$PID
await_port "$API_PORT" || { cat "$TMP/faults.err" >&2; exit 1; }

check "curl: JSON as a form, PATCH, a DELETE with a body" as_a_form
check "curl: a chunked body" chunked
check "curl: Expect: 100-continue" expect_continue
check "curl: no body, with and without a length" without_a_body
check "curl: one connection, also after a 204" kept_alive
check "curl: a browser may not, any Host may" who_may
check "curl: errors, word for word" errors
check "curl: a name with : and @" names

if installed python python3; then
    export PYTHONPATH=$LIBRARIES/python PYTHONDONTWRITEBYTECODE=1
    library python
    check "python: a flaky network in a test, by pytest" recipe python3 -m pytest -q -p no:cacheprovider "$HERE/toxiproxy-python/test_flaky.py"
fi
if installed node node; then
    mkdir "$TMP/node"
    cp "$HERE"/toxiproxy-node/*.mjs "$TMP/node"
    ln -s "$LIBRARIES/node/node_modules" "$TMP/node/node_modules"
    library node
    check "node: a flaky network in a test, by node --test" recipe node --test "$TMP/node/flaky.test.mjs"
fi
if installed rust cargo; then
    check "rust: it compiles" compile
    library rust
fi

status=0
stop "$FAULTS" || status=$?
check "SIGTERM ends it, with exit code 0" [ "$status" = 0 ]
