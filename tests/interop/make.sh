# The Makefile's servers and client: what is typed reaches the program as it is, Ctrl-C ends a server without an error,
# and the demo ends by itself.
. "$(dirname "$0")/lib.sh"
need make nc

# up NAME TARGET VARIABLES…: a server by make, as on a terminal: a process group of its own that SIGINT reaches whole.
up() {
    local name=$1
    shift
    start "$name" env --default-signal=INT setsid make --no-print-directory "$@"
    eventually 60 eval "grep -q '^listening on ' '$TMP/$name.err' || ended $PID"
    PORT=$(sed -n 's/^listening on [^ ,]*:\([0-9]*\).*/\1/p' "$TMP/$name.err")
}

ctrl_c() {
    up echo echo LISTEN=127.0.0.1:0
    [ "$(echo "Foobar" | within 10 nc localhost "$PORT" -q 1)" = Foobar ]
    eventually 5 grep -q Foobar "$TMP/echo.out"
    kill -INT -- "-$PID"
    eventually 10 ended "$PID"
    # Of the recipe; make itself may lose the race with its child's end ("wait: No child processes").
    absent '\*\*\* \[' "$TMP/echo.err"
}

through() {
    up origin origin LISTEN=127.0.0.1:0
    local origin=$PORT
    up proxy proxy LISTEN=127.0.0.1:0 UPSTREAM="127.0.0.1:$origin"
    within 20 make client TARGET="http://127.0.0.1:$origin/?a=\$b&c='d'" VIA="127.0.0.1:$PORT" >"$TMP/page"
    grep -q '^HTTP/1.1 200' "$TMP/page"
    eventually 5 grep -qF "GET /?a=\$b&c='d' HTTP/1.1" "$TMP/proxy.out"
}

# fails STATUS TARGET VARIABLES…: make says which exit code the program had.
fails() {
    local status=$1
    shift
    if within 20 make "$@" 2>"$TMP/err"; then return 1; fi
    grep -q "Error $status\$" "$TMP/err"
}

check "make echo shows what is sent; Ctrl-C ends it without an error" ctrl_c
check "make origin, proxy and client together; a target with \$, & and ' in it" through
check "an address that is none: exit code 2" fails 2 echo LISTEN="nowhere; echo injected"
check "no listener: the client's exit code 7" fails 7 client TARGET="http://127.0.0.1:$(free_port)/"
# What is installed is whole: the manual pages are read by man without a warning, bash completes, systemd takes the unit.
installs() {
    within 60 make --no-print-directory install DESTDIR="$TMP/root" PREFIX=/usr
    local usr=$TMP/root/usr page
    [ "$("$usr/bin/switchboard" --version)" = "$("$SWITCHBOARD" --version)" ]
    for page in switchboard.1 switchboard-proxy.1 switchboard-flags.7; do
        [ -s "$usr/share/man/man${page##*.}/$page" ]
    done
    if command -v groff >/dev/null; then
        ! groff -man -Tutf8 -wall -z "$usr"/share/man/man?/* 2>&1 | grep .
    fi
    [ "$(bash -c '. "$1"; COMP_WORDS=(switchboard proxy --log ""); COMP_CWORD=3; _switchboard; echo "${COMPREPLY[@]}"' \
        - "$usr/share/bash-completion/completions/switchboard")" = "text json off" ]
    if command -v zsh >/dev/null; then zsh -n "$usr/share/zsh/site-functions/_switchboard"; fi
    if command -v fish >/dev/null; then fish -n "$usr/share/fish/vendor_completions.d/switchboard.fish"; fi
    grep -q '^ExecStart=/usr/bin/switchboard run /etc/switchboard.toml' "$usr/lib/systemd/system/switchboard.service"
    if command -v systemd-analyze >/dev/null; then
        sed "s|^ExecStart=/usr|ExecStart=$usr|" "$usr/lib/systemd/system/switchboard.service" >"$TMP/switchboard.service"
        ! systemd-analyze verify "$TMP/switchboard.service" 2>&1 | grep .
    fi
}

check "make install puts the binary, manual pages, completions and a unit below DESTDIR" installs
check "make demo ends by itself" within 60 make demo
