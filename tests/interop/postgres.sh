# psql to a PostgreSQL that speaks TLS, and to one behind a listener that ends TLS: it asks for TLS in a way of its own
# (SSLRequest), which is answered here, and passed on where the connection goes by its name.
. "$(dirname "$0")/lib.sh"
need openssl psql
POSTGRES=$(for bin in "$(dirname "$(readlink -f "$(command -v initdb || echo /none)")")" /usr/lib/postgresql/*/bin; do
    if [ -x "$bin/initdb" ]; then echo "$bin"; break; fi
done)
[ -n "$POSTGRES" ] || { skip "initdb is not installed"; exit 0; }

# as PROGRAM…: PostgreSQL does not run as root.
as() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

# ask PORT SSLMODE SQL
ask() { within 20 env PGSSLROOTCERT="$TMP/cert.pem" psql "host=localhost hostaddr=127.0.0.1 port=$1 sslmode=$2 user=postgres dbname=postgres" -XAtc "$3"; }

# secured PORT SSLMODE SERVER: psql speaks TLS to us, and the server says whether it does too (t or f).
secured() {
    [ "$(ask "$1" "$2" "select ssl from pg_stat_ssl where pid = pg_backend_pid()")" = "$3" ]
    ask "$1" "$2" '\conninfo' | grep -q 'SSL connection (protocol: TLSv1.3'
    [ "$(ask "$1" "$2" "select repeat('x', 1000) from generate_series(1, 20000)" | wc -c)" = 20020000 ]
}

# refuses PORT: a certificate with another name is not taken for the server's.
refuses() {
    local said
    said=$(within 20 env PGSSLROOTCERT="$TMP/cert.pem" psql "host=other hostaddr=127.0.0.1 port=$1 sslmode=verify-full user=postgres" -XAtc 'select 1' 2>&1) && return 1
    grep -q "$2" <<<"$said"
}

# plainly: who does not want TLS is no client of a listener that ends it.
plainly() { if ask "$1" disable 'select 1'; then return 1; fi; }

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TMP/key.pem" -out "$TMP/cert.pem" -days 2 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
DATA=$TMP/data
chmod 711 "$TMP"
mkdir -m 700 "$DATA"
if [ "$(id -u)" = 0 ]; then chown postgres "$DATA"; fi
as "$POSTGRES/initdb" -D "$DATA" -U postgres -A trust --no-sync -E UTF8 --locale C >/dev/null
cp "$TMP/cert.pem" "$TMP/key.pem" "$DATA"
chmod 600 "$DATA/key.pem"
if [ "$(id -u)" = 0 ]; then chown postgres "$DATA/cert.pem" "$DATA/key.pem"; fi
SERVER=$(free_port) PASS=$(free_port)
start postgres as "$POSTGRES/postgres" -D "$DATA" -p "$SERVER" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c fsync=off -c ssl=on -c ssl_cert_file=cert.pem -c ssl_key_file=key.pem -c autovacuum=off
await_port "$SERVER" || { cat "$TMP/postgres.err" >&2; exit 1; }
eventually 10 ask "$SERVER" require 'select 1' >/dev/null

serve end proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$SERVER" --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem"
END=$PORT
serve both proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$SERVER" --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem" \
    --upstream-tls --upstream-ca "$TMP/cert.pem" --upstream-name localhost
BOTH=$PORT
cat >"$TMP/pass.toml" <<END
[listener.pass]
listen = "127.0.0.1:$PASS"
[[listener.pass.route]]
sni = "localhost"
upstream = "127.0.0.1:$SERVER"
[[listener.pass.route]]
refuse = true
END
serve pass run "$TMP/pass.toml"

check "the server itself speaks TLS" secured "$SERVER" verify-full t
for mode in require verify-full; do
    check "sslmode=$mode to a listener that ends TLS" secured "$END" $mode f
    check "sslmode=$mode that passes by its name" secured "$PASS" $mode t
done
check "a certificate with another name is refused by psql" refuses "$END" 'does not match host name "other"'
check "a client without TLS is refused where TLS is ended" plainly "$END"
check "TLS on both sides" secured "$BOTH" verify-full t
