# switchboard audit of HAProxy, nginx (as it comes, and with proxy_half_close), socat, and of our own proxy; of all but socat
# also as those that end TLS. What is asserted of the others was measured and holds in every run; what depends on the moment
# is left out.
. "$(dirname "$0")/lib.sh"
need haproxy nginx socat openssl python3

NGINX_STREAM=/usr/lib/nginx/modules/ngx_stream_module.so

# audit NAME VIA ORIGIN OPTIONS…: in the background; report in NAME.audit.out.
audit() { start "$1.audit" "$SWITCHBOARD" audit --via "$2" --origin "$3" --idle 2s --json "${@:4}"; }

# verdicts NAME VERDICT CHECK…: the report gives each of these checks this verdict; `all` stands for every check.
verdicts() {
    python3 - "$TMP/$1.audit.out" "${@:2}" <<'END'
import json, sys
path, verdict, *wanted = sys.argv[1:]
report = json.load(open(path))
found = {check["name"]: check for check in report["checks"]}
assert report["complete"], report
wrong = [found[name] for name in (found if wanted == ["all"] else wanted) if found[name]["verdict"] != verdict]
for check in wrong:
    print(json.dumps(check, indent=1))
sys.exit(1 if wrong else 0)
END
}

# start_haproxy NAME PORT ORIGIN [WORDS]: the words stand behind the address that it binds.
start_haproxy() {
    cat >"$TMP/$1.cfg" <<END
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen relay
    bind 127.0.0.1:$2 ${4:-}
    server origin 127.0.0.1:$3 check inter 500ms
END
    start "$1" haproxy -db -q -f "$TMP/$1.cfg"
    await_port "$2"
}

# start_stream NAME PORT ORIGIN [DIRECTIVES [WORDS]]: the words stand behind the address that it listens on.
start_stream() {
    mkdir -p "$TMP/$1"
    {
        if [ -e "$NGINX_STREAM" ]; then echo "load_module $NGINX_STREAM;"; fi
        cat <<END
daemon off; master_process off; pid $TMP/$1/pid; error_log stderr crit;
events { worker_connections 2048; }
stream { server { listen 127.0.0.1:$2 backlog=4096 ${5:-}; proxy_pass 127.0.0.1:$3; ${4:-} } }
END
    } >"$TMP/$1.conf"
    start "$1" nginx -p "$TMP/$1" -e stderr -c "$TMP/$1.conf"
    await_port "$2" || { cat "$TMP/$1.err" >&2; return 1; }
}

socat_plain() {
    start socat socat "TCP-LISTEN:$1,bind=127.0.0.1,fork,reuseaddr,backlog=128" "TCP:127.0.0.1:$2"
    await_port "$1"
}

# begin NAME [OPTIONS…]: the relay that the function NAME starts, and an audit of it.
AUDITS=()
begin() {
    local via origin
    via=$(free_port) origin=$(free_port)
    "$1" "$via" "$origin"
    audit "$1" "127.0.0.1:$via" "127.0.0.1:$origin" "${@:2}"
    AUDITS+=("$PID")
}
await_audits() {
    local pid
    for pid in "${AUDITS[@]}"; do eventually 60 ended "$pid"; done
    AUDITS=()
}

haproxy_plain() { start_haproxy haproxy_plain "$1" "$2"; }
haproxy_tls() { start_haproxy haproxy_tls "$1" "$2" "ssl crt $TMP/both.pem"; }
nginx_default() { start_stream nginx_default "$1" "$2"; }
nginx_half_close() { start_stream nginx_half_close "$1" "$2" "proxy_half_close on;"; }
PAIR="ssl_certificate $TMP/cert.pem; ssl_certificate_key $TMP/key.pem;"
nginx_tls() { start_stream nginx_tls "$1" "$2" "$PAIR" ssl; }
nginx_tls_half_close() { start_stream nginx_tls_half_close "$1" "$2" "proxy_half_close on; $PAIR" ssl; }
ours() { start ours "$SWITCHBOARD" proxy --listen "127.0.0.1:$1" --upstream "127.0.0.1:$2" --control off --log off "${@:3}" && await_port "$1"; }
ours_copying() { ours "$1" "$2" --splice off; }
# Its log tells which version was spoken.
ours_tls12() {
    start ours_tls12 "$SWITCHBOARD" proxy --listen "127.0.0.1:$1" --upstream "127.0.0.1:$2" --control off --log json \
        --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem" && await_port "$1"
}
ours_tls() { ours "$1" "$2" --tls-cert "$TMP/cert.pem" --tls-key "$TMP/key.pem"; }

# spoken NAME VERSION: the log of NAME has connections that spoke this version, and none that spoke another.
spoken() {
    grep -q "\"tls\":\"$2\"" "$TMP/$1.out" && ! grep '"tls":"' "$TMP/$1.out" | grep -vq "\"tls\":\"$2\""
}

own() { within 60 "$SWITCHBOARD" audit --self --idle 2s "$@"; }

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TMP/key.pem" -out "$TMP/cert.pem" -days 2 \
    -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
cat "$TMP/cert.pem" "$TMP/key.pem" >"$TMP/both.pem"

for name in haproxy_plain nginx_default nginx_half_close socat_plain ours ours_copying; do begin $name; done
await_audits
for name in haproxy_tls nginx_tls nginx_tls_half_close ours_tls; do begin $name --via-tls --cacert "$TMP/cert.pem"; done
begin ours_tls12 --via-tls --cacert "$TMP/cert.pem" --tls-max 1.2
await_audits

RESETS="reset-at-once reset-before-reply reset-during-reply reset-after-reply"
HALF_CLOSED="half-close-0s half-close-1s half-close-5s upload-after-reply"
# Of these nothing depends on how a connection ends.
OTHERS="early-reply early-data speaks-first bulk-upload bulk-reply stalled-client stalled-origin urgent many idle"
TRUNCATED="truncated-upload truncated-record"

check "ours: the same in every row" verdicts ours same all
check "ours with --splice off: the same in every row" verdicts ours_copying same all
check "--self: the same in every row" own
check "ours over TLS: the same in every row" verdicts ours_tls same all
check "ours over TLS 1.2: the same in every row" verdicts ours_tls12 same all
check "ours over TLS 1.2: no other version was spoken" spoken ours_tls12 TLSv1.2
check "--self --via-tls --send-proxy v2: the same in every row" own --via-tls --send-proxy v2
check "haproxy: the reply after a half-close arrives" verdicts haproxy_plain same $HALF_CLOSED
check "haproxy: a reset looks like a clean end" verdicts haproxy_plain lies $RESETS refused
check "haproxy: a client's reset is one, and small bytes are not held" verdicts haproxy_plain same client-reset one-byte-writes
check "haproxy: the rest is the same, with health checks beside it" verdicts haproxy_plain same $OTHERS proxy-header
check "nginx: the reply after a half-close is lost" verdicts nginx_default "lost data" $HALF_CLOSED
check "nginx: a reset looks like a clean end" verdicts nginx_default lies $RESETS client-reset refused
check "nginx: the rest is the same" verdicts nginx_default same $OTHERS one-byte-writes proxy-header
check "nginx, proxy_half_close on: the reply after a half-close arrives" verdicts nginx_half_close same $HALF_CLOSED
check "nginx, proxy_half_close on: a reset looks like a clean end" verdicts nginx_half_close lies $RESETS client-reset refused
check "socat: a reply that comes later than its -t is lost" verdicts socat_plain "lost data" half-close-1s half-close-5s
check "socat: a reset looks like a clean end" verdicts socat_plain lies $RESETS client-reset refused
check "socat: small bytes wait for acknowledgements" verdicts socat_plain differs one-byte-writes
check "socat: the rest is the same" verdicts socat_plain same upload-after-reply $OTHERS
check "haproxy over TLS: a reset is confirmed as a clean end, and a client's FIN without close_notify is one" \
    verdicts haproxy_tls lies $RESETS refused $TRUNCATED
check "haproxy over TLS: the reply after a half-close arrives, and the rest is the same" \
    verdicts haproxy_tls same $HALF_CLOSED client-reset ${OTHERS/urgent /} one-byte-writes proxy-header
check "nginx over TLS: a reset is confirmed as a clean end" verdicts nginx_tls lies $RESETS client-reset refused $TRUNCATED
check "nginx over TLS: the reply after a half-close is lost" verdicts nginx_tls "lost data" $HALF_CLOSED
check "nginx over TLS: no close_notify if the client has ended first" \
    verdicts nginx_tls differs early-reply early-data many idle proxy-header
check "nginx over TLS, proxy_half_close on: no client gets a close_notify" \
    verdicts nginx_tls_half_close differs $HALF_CLOSED early-reply early-data speaks-first bulk-reply many idle proxy-header
check "nginx over TLS, proxy_half_close on: a client that was cut off looks complete" \
    verdicts nginx_tls_half_close lies client-reset refused $TRUNCATED
