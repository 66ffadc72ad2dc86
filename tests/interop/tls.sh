# TLS through the proxy, with a certificate made on the spot: the handshake verifies, a conversation goes both ways,
# and a bulk answer arrives whole.
. "$(dirname "$0")/lib.sh"
need openssl curl

handshake() {
    within 20 openssl s_client -connect "127.0.0.1:$WWW_PROXY" -servername localhost -CAfile "$TMP/cert.pem" \
        -verify_hostname localhost -verify_return_error </dev/null >"$TMP/session"
    grep -q 'Verify return code: 0 (ok)' "$TMP/session"
}

# s_server -rev sends each line back to front.
conversation() {
    start client sh -c '(echo stressed; sleep 2) | openssl s_client -quiet -connect "$1" -CAfile "$2"' sh "127.0.0.1:$REV_PROXY" "$TMP/cert.pem"
    eventually 10 grep -q desserts "$TMP/client.out"
}

bulk() {
    within 60 curl -sS --fail --http1.0 --cacert "$TMP/cert.pem" --resolve "localhost:$WWW_PROXY:127.0.0.1" \
        "https://localhost:$WWW_PROXY/big" -o "$TMP/got"
    same "$TMP/got" "$TMP/big"
}

# The program's own client: the same servers, and curl's exit codes.
own_client() {
    within 20 "$SWITCHBOARD" client "https://localhost:$WWW/cert.pem" --cacert "$TMP/cert.pem" --body >"$TMP/own"
    same "$TMP/own" "$TMP/cert.pem"
    echo stressed | within 20 "$SWITCHBOARD" client "tls://localhost:$OWN_REV" --cacert "$TMP/cert.pem" |
        grep -q desserts
    for target in "https://localhost:$WWW/" "https://127.0.0.2:$WWW/"; do
        ours=0 theirs=0
        within 20 "$SWITCHBOARD" client "$target" >"$TMP/own" 2>&1 || ours=$?
        within 20 curl -sS "$target" >"$TMP/own" 2>&1 || theirs=$?
        [ "$ours" = "$theirs" ] || return 1
    done
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TMP/key.pem" -out "$TMP/cert.pem" -days 2 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
head -c 64M /dev/urandom >"$TMP/big"

tls_server() {
    start "$1" sh -c 'cd "$0" && exec openssl s_server -accept "127.0.0.1:$1" -cert cert.pem -key key.pem -quiet "$2"' "$TMP" "$2" "$3"
    await_port "$2"
}

WWW=$(free_port)
tls_server www "$WWW" -WWW
serve www_proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$WWW"
WWW_PROXY=$PORT
REV=$(free_port)
tls_server rev "$REV" -rev
serve rev_proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$REV"
REV_PROXY=$PORT
# s_server talks with one client at a time.
OWN_REV=$(free_port)
tls_server own_rev "$OWN_REV" -rev

check "the handshake verifies the certificate" handshake
check "a conversation goes both ways" conversation
check "the program's own client, with curl's exit codes" own_client
check "64 MiB over TLS, sha256 equal" bulk
