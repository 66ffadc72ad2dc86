# PROXY headers between programs: HAProxy and nginx in front of us and behind us, in version 1 and 2, whole and byte by byte;
# curl as a client that sends one. The origin says who it takes its client for, and what that client connected to.
. "$(dirname "$0")/lib.sh"
need haproxy nginx curl openssl python3

NGINX_STREAM=/usr/lib/nginx/modules/ngx_stream_module.so

# A relay that cuts what a connection begins with into single bytes: cutter PORT TARGET.
cat >"$TMP/cutter.py" <<'END'
import asyncio, sys
port, target = map(int, sys.argv[1:])
async def pump(reader, writer, begin):
    try:
        while data := await reader.read(1 << 16):
            cut, begin = data[:begin], max(0, begin - len(data))
            for byte in cut:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.001)
            writer.write(data[len(cut):])
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
async def serve(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", target)
    await asyncio.gather(pump(reader, there[1], 300), pump(there[0], writer, 0))
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()
asyncio.run(main())
END

# Asks with a header of its own, in two segments at each of its cuts, and in single bytes: cuts PORT VERSION ANSWER.
cat >"$TMP/cuts.py" <<'END'
import ipaddress, socket, struct, sys, time
port, version, answer = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
if version == 1:
    header = b"PROXY TCP4 192.0.2.7 198.51.100.9 4321 80\r\n"
else:
    ends = ipaddress.ip_address("192.0.2.7").packed + ipaddress.ip_address("198.51.100.9").packed + struct.pack("!HH", 4321, 80)
    rest = ends + b"\x04\x00\x03pad" + b"\x05\x00\x04four"
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(rest)) + rest
request = b"GET / HTTP/1.0\r\n\r\n"
whole = header + request
def ask(pieces):
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            client.sendall(piece)
            time.sleep(0.002)
        got = b"".join(iter(lambda: client.recv(4096), b""))
        assert got.endswith(answer), (pieces, got)
for cut in range(len(header) + 1):
    ask([whole[:cut], whole[cut:]] if cut else [whole])
ask([bytes([byte]) for byte in header] + [request])
print(len(header) + 2, "cuts")
END

# Takes one connection, and prints the types of the TLVs of its header: tlvs PORT.
cat >"$TMP/tlvs.py" <<'END'
import socket, struct, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
client, _ = server.accept()
stream = client.makefile("rb")
head = stream.read(16)
rest = stream.read(struct.unpack("!H", head[14:])[0])[12:]
while rest:
    kind, size = struct.unpack("!BH", rest[:3])
    print("%02x" % kind, rest[3 : 3 + size])
    rest = rest[3 + size :]
sys.stdout.flush()
END

# told PORT OPTIONS…: the origin takes curl for its client, and knows what curl connected to.
told() {
    local own
    own=$(within 10 curl -sS --fail "${@:2}" -w '%{local_ip}:%{local_port}' -o "$TMP/said" "http://127.0.0.1:$1/")
    [ "$(cat "$TMP/said")" = "$own 127.0.0.1:$1" ]
}

cuts() { within 30 python3 "$TMP/cuts.py" "$1" "$2" "192.0.2.7:4321 198.51.100.9:80"; }

# tells PORT: of the client's TLS, which HAProxy ends, its header tells us, and ours the next HAProxy.
tells() {
    within 10 curl -sS --fail --cacert "$TMP/cert.pem" --resolve "localhost:$1:127.0.0.1" "https://localhost:$1/tlv" -o "$TMP/said"
    grep -x "localhost id-[0-9]*" "$TMP/said" || { cat "$TMP/said"; return 1; }
}

# passes PORT: HAProxy's own header of TLS has more; all of it arrives.
passes() {
    within 10 curl -sS --cacert "$TMP/cert.pem" --resolve "localhost:$1:127.0.0.1" "https://localhost:$1/" -o "$TMP/said" || true
    eventually 5 grep -q "^20 b'.*TLSv1" "$TMP/tlvs.out"
    grep -qx "02 b'localhost'" "$TMP/tlvs.out"
    grep -qx "05 b'id-[0-9]*'" "$TMP/tlvs.out"
}

refused_without() {
    if within 10 curl -sS "http://127.0.0.1:$1/" -o "$TMP/said"; then return 1; fi
    eventually 5 grep -q '"cause":"proxy_header"' "$TMP/$2.out"
}

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TMP/key.pem" -out "$TMP/cert.pem" -days 2 \
    -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
cat "$TMP/cert.pem" "$TMP/key.pem" >"$TMP/both.pem"

# The origins, which want a header: nginx and HAProxy.
NGINX=$(free_port) HAPROXY=$(free_port)
mkdir -p "$TMP/nginx"
nginx_origin() {
    cat <<END
daemon off; master_process off; pid $TMP/nginx/pid; error_log stderr crit;
events { }
http {
    access_log off; client_body_temp_path $TMP/nginx/body; proxy_temp_path $TMP/nginx/proxy; fastcgi_temp_path $TMP/nginx/fastcgi;
    uwsgi_temp_path $TMP/nginx/uwsgi; scgi_temp_path $TMP/nginx/scgi;
    server {
        listen 127.0.0.1:$NGINX proxy_protocol;
        location / { return 200 "\$proxy_protocol_addr:\$proxy_protocol_port \$proxy_protocol_server_addr:\$proxy_protocol_server_port"; }
    }
}
END
}
nginx_origin >"$TMP/nginx.conf"
start nginx nginx -p "$TMP/nginx" -e stderr -c "$TMP/nginx.conf"
await_port "$NGINX"
cat >"$TMP/origin.cfg" <<END
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen origin
    bind 127.0.0.1:$HAPROXY accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[fc_pp_authority] %[fc_pp_unique_id]" if { path /tlv }
    http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port]"
END
start origin haproxy -db -q -f "$TMP/origin.cfg"
await_port "$HAPROXY"

# We before them.
for version in v1 v2; do
    serve "send_nginx_$version" proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$NGINX" --send-proxy $version
    check "nginx takes our $version, and knows the client" told "$PORT"
    serve "send_haproxy_$version" proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$HAPROXY" --send-proxy $version
    check "HAProxy takes our $version, and knows the client" told "$PORT"
done

# We between: what came in is what goes on.
serve to_nginx proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$NGINX" --accept-proxy 127.0.0.0/8 --send-proxy v1 --log json
TO_NGINX=$PORT
serve to_haproxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$HAPROXY" --accept-proxy 127.0.0.0/8 --send-proxy v2 --log json
TO_HAPROXY=$PORT
TLVS=$(free_port)
serve to_tlvs proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$TLVS" --accept-proxy 127.0.0.0/8 --send-proxy v2
TO_TLVS=$PORT
for pair in "$TO_NGINX v1" "$TO_HAPROXY v2"; do
    read -r port sent <<<"$pair"
    check "curl --haproxy-protocol, and $sent behind" told "$port" --haproxy-protocol
    check "v1 at each of its cuts, and $sent behind" cuts "$port" 1
    check "v2 at each of its cuts, and $sent behind" cuts "$port" 2
done
check "curl without a header is refused, and the cause is told" refused_without "$TO_NGINX" to_nginx

# HAProxy and nginx in front, straight and through the cutter.
CUT_NGINX=$(free_port) CUT_HAPROXY=$(free_port)
start cut_nginx python3 "$TMP/cutter.py" "$CUT_NGINX" "$TO_NGINX"
await_port "$CUT_NGINX"
start cut_haproxy python3 "$TMP/cutter.py" "$CUT_HAPROXY" "$TO_HAPROXY"
await_port "$CUT_HAPROXY"
start tlvs python3 "$TMP/tlvs.py" "$TLVS"
await_port "$TLVS"
FRONTS=()
cat >"$TMP/front.cfg" <<'END'
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
END
{
    if [ -e "$NGINX_STREAM" ]; then echo "load_module $NGINX_STREAM;"; fi
    echo "daemon off; master_process off; pid $TMP/nginx/front; error_log stderr crit; events { } stream {"
} >"$TMP/front.conf"
for next in "$TO_NGINX whole,v1" "$CUT_NGINX bytes,v1" "$TO_HAPROXY whole,v2" "$CUT_HAPROXY bytes,v2"; do
    read -r port how <<<"$next"
    for send in send-proxy send-proxy-v2; do
        front=$(free_port)
        printf 'listen front%s\n    bind 127.0.0.1:%s\n    server next 127.0.0.1:%s %s\n' "$front" "$front" "$port" $send >>"$TMP/front.cfg"
        FRONTS+=("$front HAProxy's $send, ${how%,*}, and ${how#*,} behind")
    done
    front=$(free_port)
    echo "server { listen 127.0.0.1:$front; proxy_pass 127.0.0.1:$port; proxy_protocol on; }" >>"$TMP/front.conf"
    FRONTS+=("$front nginx's proxy_protocol, ${how%,*}, and ${how#*,} behind")
done
echo "}" >>"$TMP/front.conf"
END_TLS=$(free_port) END_TLVS=$(free_port)
for pair in "$END_TLS $TO_HAPROXY" "$END_TLVS $TO_TLVS"; do
    read -r front port <<<"$pair"
    cat >>"$TMP/front.cfg" <<END
listen tls$front
    bind 127.0.0.1:$front ssl crt $TMP/both.pem
    unique-id-format id-%cp
    server next 127.0.0.1:$port send-proxy-v2 proxy-v2-options unique-id,authority,ssl
END
done
start front haproxy -db -q -f "$TMP/front.cfg"
await_port "$END_TLVS" || { cat "$TMP/front.err" >&2; exit 1; }
start front_nginx nginx -p "$TMP/nginx" -e stderr -c "$TMP/front.conf"
await_port "$front" || true
for front in "${FRONTS[@]}"; do
    read -r port name <<<"$front"
    eventually 10 listens "$port"
    check "$name" told "$port"
done
check "HAProxy's authority and unique id reach the HAProxy behind us" tells "$END_TLS"
check "so do its facts of TLS" passes "$END_TLVS"
