# switchboard audit of HAProxy, nginx (as it comes, and with proxy_half_close), socat, and of our own proxy. What is asserted
# of the others was measured and holds in every run; what depends on the moment is left out.
. "$(dirname "$0")/lib.sh"
need haproxy nginx socat python3

NGINX_STREAM=/usr/lib/nginx/modules/ngx_stream_module.so

# audit NAME VIA ORIGIN: in the background; report in NAME.audit.out.
audit() { start "$1.audit" "$SWITCHBOARD" audit --via "$2" --origin "$3" --idle 2s --json; }

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

start_haproxy() {
    cat >"$TMP/haproxy.cfg" <<END
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen relay
    bind 127.0.0.1:$1
    server origin 127.0.0.1:$2 check inter 500ms
END
    start haproxy haproxy -db -q -f "$TMP/haproxy.cfg"
    await_port "$1"
}

# start_stream NAME PORT ORIGIN [DIRECTIVE]
start_stream() {
    mkdir -p "$TMP/$1"
    {
        if [ -e "$NGINX_STREAM" ]; then echo "load_module $NGINX_STREAM;"; fi
        cat <<END
daemon off; master_process off; pid $TMP/$1/pid; error_log stderr crit;
events { worker_connections 2048; }
stream { server { listen 127.0.0.1:$2 backlog=4096; proxy_pass 127.0.0.1:$3; ${4:-} } }
END
    } >"$TMP/$1.conf"
    start "$1" nginx -p "$TMP/$1" -e stderr -c "$TMP/$1.conf"
    await_port "$2" || { cat "$TMP/$1.err" >&2; return 1; }
}

start_socat() {
    start socat socat "TCP-LISTEN:$1,bind=127.0.0.1,fork,reuseaddr,backlog=128" "TCP:127.0.0.1:$2"
    await_port "$1"
}

# begin NAME STARTER [ARGUMENTS…]: a relay and an audit of it.
AUDITS=()
begin() {
    local via origin
    via=$(free_port) origin=$(free_port)
    "$2" "$via" "$origin" "${@:3}"
    audit "$1" "127.0.0.1:$via" "127.0.0.1:$origin"
    AUDITS+=("$PID")
}
nginx_default() { start_stream nginx_default "$1" "$2"; }
nginx_half_close() { start_stream nginx_half_close "$1" "$2" "proxy_half_close on;"; }
ours() { start ours "$SWITCHBOARD" proxy --listen "127.0.0.1:$1" --upstream "127.0.0.1:$2" --control off --log off "${@:3}" && await_port "$1"; }

own() { within 60 "$SWITCHBOARD" audit --self; }

begin haproxy start_haproxy
begin nginx nginx_default
begin nginx_half_close nginx_half_close
begin socat start_socat
begin ours ours
begin copying ours --splice off
for pid in "${AUDITS[@]}"; do eventually 60 ended "$pid"; done

RESETS="reset-at-once reset-before-reply reset-during-reply reset-after-reply"
HALF_CLOSED="half-close-0s half-close-1s half-close-5s upload-after-reply"
# Of these nothing depends on how a connection ends.
OTHERS="early-reply early-data speaks-first bulk-upload bulk-reply stalled-client stalled-origin urgent many idle"

check "ours: the same in every row" verdicts ours same all
check "ours with --splice off: the same in every row" verdicts copying same all
check "--self: the same in every row" own
check "haproxy: the reply after a half-close arrives" verdicts haproxy same $HALF_CLOSED
check "haproxy: a reset looks like a clean end" verdicts haproxy lies $RESETS refused
check "haproxy: a client's reset is one, and small bytes are not held" verdicts haproxy same client-reset one-byte-writes
check "haproxy: the rest is the same, with health checks beside it" verdicts haproxy same $OTHERS proxy-header
check "nginx: the reply after a half-close is lost" verdicts nginx "lost data" $HALF_CLOSED
check "nginx: a reset looks like a clean end" verdicts nginx lies $RESETS client-reset refused
check "nginx: the rest is the same" verdicts nginx same $OTHERS one-byte-writes proxy-header
check "nginx, proxy_half_close on: the reply after a half-close arrives" verdicts nginx_half_close same $HALF_CLOSED
check "nginx, proxy_half_close on: a reset looks like a clean end" verdicts nginx_half_close lies $RESETS client-reset refused
check "socat: a reply that comes later than its -t is lost" verdicts socat "lost data" half-close-1s half-close-5s
check "socat: a reset looks like a clean end" verdicts socat lies $RESETS client-reset refused
check "socat: small bytes wait for acknowledgements" verdicts socat differs one-byte-writes
check "socat: the rest is the same" verdicts socat same upload-after-reply $OTHERS
