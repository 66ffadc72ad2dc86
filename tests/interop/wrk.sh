# wrk with 200 connections on nginx through the proxy: no socket error, no answer that is not 2xx or 3xx.
. "$(dirname "$0")/lib.sh"
need wrk nginx

# load PATH: `Socket errors` and `Non-2xx or 3xx responses` are lines that wrk prints only where there are any.
load() {
    within 30 wrk -t 2 -c 200 -d 5s "http://127.0.0.1:$PORT$1" | tee "$TMP/wrk"
    grep -qE '^ +[1-9][0-9]* requests in' "$TMP/wrk"
    absent -E 'Socket errors|Non-2xx' "$TMP/wrk"
}

NGINX=$(free_port)
start_nginx "$NGINX"
serve proxy proxy --listen 127.0.0.1:0 --upstream "127.0.0.1:$NGINX" --log off
check "wrk, 200 connections, a small page" load /
check "wrk, 200 connections, 1 MiB each" load /big
