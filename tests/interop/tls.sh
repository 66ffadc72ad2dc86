# TLS with real programs, with a certificate made on the spot: openssl and curl through a plain relay, a route by name, and a
# listener that ends TLS; OpenSSL's half-closes and tickets; s_server as an upstream that is verified.
. "$(dirname "$0")/lib.sh"
need openssl curl nginx socat python3

# An OpenSSL client that ends its stream and still reads: half_close PORT VERSION CA. It prints the answer.
cat >"$TMP/half_close.py" <<'END'
import socket, ssl, sys
port, version, ca = int(sys.argv[1]), getattr(ssl.TLSVersion, sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=ca)
context.minimum_version = context.maximum_version = version
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
client = socket.create_connection(("127.0.0.1", port), 10)
def until(step):
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            if data := outgoing.read():
                client.sendall(data)
            piece = client.recv(1 << 16)
            incoming.write(piece) if piece else incoming.write_eof()
until(tls.do_handshake)
for _ in range(64):
    tls.write(b"x" * (1 << 14))
try:
    tls.unwrap()  # close_notify; that of the other side is still to come.
except ssl.SSLWantReadError:
    pass
client.sendall(outgoing.read())
client.shutdown(socket.SHUT_WR)
answer = b""
try:
    while True:
        answer += until(lambda: tls.read(1 << 16))
except ssl.SSLZeroReturnError:  # close_notify; a FIN alone is an SSLEOFError.
    pass
assert client.recv(1) == b"", "bytes after close_notify"
sys.stdout.write(answer.decode())
END

handshake() {
    within 20 openssl s_client -connect "127.0.0.1:$1" -servername localhost -CAfile "$TMP/cert.pem" "${@:2}" \
        -verify_hostname localhost -verify_return_error </dev/null >"$TMP/session"
    grep -q 'Verify return code: 0 (ok)' "$TMP/session"
}

# version PORT OPTION NAME: this version is spoken.
version() {
    handshake "$1" "$2"
    grep -q "^New, $3, Cipher is " "$TMP/session"
}

# s_server -rev sends each line back to front.
conversation() {
    start client sh -c '(echo stressed; sleep 2) | openssl s_client -quiet -connect "$1" -CAfile "$2"' sh "127.0.0.1:$1" "$TMP/cert.pem"
    eventually 10 grep -q desserts "$TMP/client.out"
}

https() { within 60 curl -sS --fail --cacert "$TMP/cert.pem" --resolve "localhost:$1:127.0.0.1" "${@:3}" "https://localhost:$1$2"; }

bulk() {
    https "$1" /big --http1.0 -o "$TMP/got"
    same "$TMP/got" "$TMP/big"
}

both_ways() {
    https "$1" /big -o "$TMP/got"
    same "$TMP/got" "$TMP/www/big"
    https "$1" /upload/copy -T "$TMP/www/big" >/dev/null
    same "$TMP/www/upload/copy" "$TMP/www/big"
}

# The reply comes once the stream has ended: it is the sum of all that came.
half_close() {
    within 20 python3 "$TMP/half_close.py" "$1" "$2" "$TMP/cert.pem" >"$TMP/sum"
    [ "$(cut -d' ' -f1 "$TMP/sum")" = "$(head -c 1M /dev/zero | tr '\0' x | sha256sum | cut -d' ' -f1)" ]
}

# s_client ends its stream by close_notify and FIN: that is no cut.
clean_end() {
    sh -c 'printf "GET / HTTP/1.0\r\n\r\n"; sleep 0.3' | within 10 openssl s_client -connect "127.0.0.1:$1" -CAfile "$TMP/cert.pem" >"$TMP/session"
    grep -q 'a page from nginx' "$TMP/session"
    eventually 5 eval "grep -q '\"cause\":\"done\"' '$TMP/end.out'"
    absent truncated "$TMP/end.out"
}

# resumes PORT OPTION NAME: a second handshake goes on with the ticket of the first.
resumes() {
    rm -f "$TMP/ticket"
    request() { printf 'GET / HTTP/1.0\r\n\r\n' | within 10 openssl s_client -connect "127.0.0.1:$1" -servername localhost -CAfile "$TMP/cert.pem" -ign_eof "${@:2}"; }
    request "$1" "$2" -sess_out "$TMP/ticket" >"$TMP/first"
    grep -q "^New, $3" "$TMP/first"
    request "$1" "$2" -sess_in "$TMP/ticket" >"$TMP/second"
    grep -q "^Reused, $3" "$TMP/second"
    grep -q 'a page from nginx' "$TMP/second"
}

another_name() {
    if within 10 curl -sS -k --resolve "other:$1:127.0.0.1" "https://other:$1/"; then return 1; fi
}

upstream() {
    within 20 curl -sS --fail "http://127.0.0.1:$1/big" --http1.0 -o "$TMP/got"
    same "$TMP/got" "$TMP/big"
}

# refuses NAME PORT WORDS: the client is reset before a byte, and the line of its end says why.
refuses() {
    local status=0
    within 20 curl -sS "http://127.0.0.1:$2/big" -o "$TMP/got" || status=$?
    [ "$status" = 56 ]
    eventually 5 eval "grep '\"cause\":\"tls_upstream\"' '$TMP/$1.out' | grep -q '$3'"
}

# The program's own client: the same servers, and curl's exit codes.
own_client() {
    within 20 "$SWITCHBOARD" client "https://localhost:$WWW/cert.pem" --cacert "$TMP/cert.pem" --body >"$TMP/own"
    same "$TMP/own" "$TMP/cert.pem"
    echo stressed | within 20 "$SWITCHBOARD" client "tls://localhost:$OWN_REV" --cacert "$TMP/cert.pem" --via "127.0.0.1:$OWN_REV_PROXY" |
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
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TMP/other.key" -out "$TMP/other.pem" -days 2 \
    -subj /CN=other -addext subjectAltName=DNS:other 2>/dev/null
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
# s_server has one client at a time.
OWN_REV=$(free_port)
tls_server own_rev "$OWN_REV" -rev
serve own_rev_proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$OWN_REV"
OWN_REV_PROXY=$PORT

check "the handshake verifies the certificate" handshake "$WWW_PROXY"
check "a conversation goes both ways" conversation "$REV_PROXY"
check "the program's own client, with curl's exit codes" own_client
check "64 MiB over TLS, sha256 equal" bulk "$WWW_PROXY"

NGINX=$(free_port) SUM=$(free_port) PASS=$(free_port)
start_nginx "$NGINX" 32
start sum socat -t 10 "TCP-LISTEN:$SUM,bind=127.0.0.1,fork,reuseaddr" EXEC:sha256sum
await_port "$SUM"
serve end proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$NGINX" --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem" --log json
END=$PORT
serve end_sum proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$SUM" --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem"
END_SUM=$PORT
cat >"$TMP/pass.toml" <<END
[listener.pass]
listen = "127.0.0.1:$PASS"
[[listener.pass.route]]
sni = "localhost"
upstream = "127.0.0.1:$END"
[[listener.pass.route]]
refuse = true
END
serve pass run "$TMP/pass.toml"

check "s_client's end is clean" clean_end "$END"
for port in "$END ends here" "$PASS passes by its name"; do
    read -r port how <<<"$port"
    check "curl https that $how: 32 MiB each way" both_ways "$port"
    for version in "-tls1_2 TLSv1.2" "-tls1_3 TLSv1.3"; do
        check "s_client $version that $how" version "$port" $version
        check "s_client $version that $how resumes with a ticket" resumes "$port" $version
    done
done
check "another name is refused" another_name "$PASS"
for version in TLSv1_2 TLSv1_3; do
    check "the reply after OpenSSL's half-close arrives, and ends by close_notify ($version)" half_close "$END_SUM" $version
done

tls() { serve "$1" proxy --listen 127.0.0.1:0 --upstream "tls://127.0.0.1:$WWW" --log json "${@:2}"; }
tls right --upstream-ca "$TMP/cert.pem" --upstream-name localhost
check "s_server as an upstream, verified: 64 MiB" upstream "$PORT"
tls wrong_name --upstream-ca "$TMP/cert.pem" --upstream-name other
check "s_server with another name is refused" refuses wrong_name "$PORT" "wrong name: the certificate has localhost, not other"
tls wrong_ca --upstream-ca "$TMP/other.pem" --upstream-name localhost
check "s_server of another authority is refused" refuses wrong_ca "$PORT" "self-signed\|unknown"
