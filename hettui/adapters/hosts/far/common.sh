# For every script of the far side. Plain POSIX sh; Linux's /proc where it is there. `M` is the session's marker.
LC_ALL=C
export LC_ALL
umask 077
# Whatever the login shell exported: our words are split at blanks.
IFS=' 	
'
say() { printf '%s %s\n' "$M" "$*" >&2; }

# Reads what the kernel knows of process $1: S when it was started, P its parent, T its state. False when it is gone.
look() {
    S= P= T=
    if [ -r /proc/self/stat ]; then
        { IFS= read -r L <"/proc/$1/stat"; } 2>/dev/null || return 1
        # The name before the last bracket may hold anything.
        L=${L##*) }
        set -- $L
        T=$1 P=$2 S=${20}
        case $T in Z | X) return 1 ;; esac
        return 0
    fi
    S=$(ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' _)
    P=$(ps -o ppid= -p "$1" 2>/dev/null | tr -d ' ')
    [ -n "$S" ]
}
is() { look "$1" && [ "$S" = "$2" ]; }

# Whether the start $1 of the worker whose records are $rec was asked to end.
given_up() { grep -qxF "$1" "$rec.ended" 2>/dev/null; }
forget_end() {
    grep -vxF "$1" "$rec.ended" >"$rec.$$"
    if [ -s "$rec.$$" ]; then mv "$rec.$$" "$rec.ended"; else rm -f "$rec.$$" "$rec.ended"; fi
}

# Ends process $1, if it is still the one that was started at $2. True when it is gone.
finish() {
    is "$1" "$2" || return 0
    kill -TERM "$1" 2>/dev/null
    for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        is "$1" "$2" || return 0
        [ "$n" = 12 ] && kill -KILL "$1" 2>/dev/null
        sleep 0.25 2>/dev/null || sleep 1
    done
    ! is "$1" "$2"
}

# The folder of records and logs: in the home, or, where that cannot be written, a private one in /tmp.
workers_folder() {
    W=${XDG_STATE_HOME:-$HOME/.local/state}/hettui/workers/$(uname -n)
    mkdir -p "$W" 2>/dev/null && : 2>/dev/null >"$W/.room" && rm -f "$W/.room" && return 0
    W=${TMPDIR:-/tmp}/hettui-$(id -u)
    mkdir -m 700 "$W" 2>/dev/null
    [ -d "$W" ] && [ ! -h "$W" ] && [ -O "$W" ] && W=$W/workers && mkdir -p "$W" && return 0
    say problem "neither its home nor ${TMPDIR:-/tmp} can be written there"
    return 1
}

# Takes away what in the cache of tensors $1 is as large as no tensor: it was cut short, or is no weight, and llama.cpp
# takes it for what its name says. Where $2 is said, only what is among those names: it was so a while ago, too, and is
# not on its way. ODD is what was found.
sweep() {
    ODD=$(ls -ln "$1" 2>/dev/null | awk -v sizes="$1.sizes" '
        BEGIN { while ((getline line < sizes) > 0) { good[line] = 1; some = 1 } }
        some && NF > 8 && !($5 in good) && length($NF) == 16 && $NF !~ /[^0-9a-f]/ { printf "%s ", $NF }')
    for f in $ODD; do
        case " ${2-$ODD}" in *" $f "*) rm -f "$1/$f" ;; esac
    done
}

# $1 with the tilde of that machine.
untilde() {
    U=$1
    case $U in
    '~') U=$HOME ;;
    '~/'*) U=$HOME/${U#'~/'} ;;
    '~'[A-Za-z_]*)
        who=${U%%/*}
        case $who in *[!~A-Za-z0-9._-]*) return ;; esac
        eval "home=$who"
        U=$home${U#"$who"}
        ;;
    esac
}

# Which build the server that was found is: the sum of it and of the library that has its protocol.
build_sum() {
    so=${real%/*}/libggml-rpc.so
    [ -f "$so" ] || so=${real%/*}/../lib/libggml-rpc.so
    [ -f "$so" ] || so=/dev/null
    B=$(cat "$real" "$so" 2>/dev/null | cksum 2>/dev/null)
    B=${B% *}.${B#* }
}

# Finds the rpc server, under both names that builds gave it: in folder $1 (or the file itself), else on the PATH and in
# usual places. Sets PROGRAM, and LIBS, the folder of the libraries beside it; LOOKED is where it was looked for.
find_server() {
    PROGRAM= LOOKED=
    if [ -n "$1" ]; then
        untilde "$1"
        LOOKED=$U
        if [ -f "$U" ] && [ -x "$U" ]; then PROGRAM=$U; fi
        for f in "$U" "$U/bin" "$U/build/bin"; do
            for n in ggml-rpc-server rpc-server; do
                [ -z "$PROGRAM" ] && [ -f "$f/$n" ] && [ -x "$f/$n" ] && PROGRAM=$f/$n
            done
        done
    else
        LOOKED='the PATH there and the usual places'
        # What `hettui hosts push` put there comes first: who did that wanted it.
        f=${XDG_CACHE_HOME:-$HOME/.cache}/hettui/engine
        { IFS= read -r n <"$f/current"; } 2>/dev/null || n=
        f=$f/$n
        for n in ggml-rpc-server rpc-server; do
            [ -z "$PROGRAM" ] && [ -f "$f/$n" ] && [ -x "$f/$n" ] && PROGRAM=$f/$n
        done
        for n in ggml-rpc-server rpc-server; do
            [ -z "$PROGRAM" ] && f=$(command -v "$n" 2>/dev/null) && [ -x "$f" ] && PROGRAM=$f
        done
        for f in "$HOME/.local/bin" "$HOME/llama.cpp/build/bin" /opt/llama.cpp/bin /opt/llama.cpp/build/bin \
            /usr/local/bin; do
            for n in ggml-rpc-server rpc-server; do
                [ -z "$PROGRAM" ] && [ -f "$f/$n" ] && [ -x "$f/$n" ] && PROGRAM=$f/$n
            done
        done
    fi
    [ -n "$PROGRAM" ] || return 1
    real=$(readlink -f "$PROGRAM" 2>/dev/null) || real=
    [ -n "$real" ] || real=$PROGRAM
    LIBS=
    for f in "${real%/*}" "${real%/*}/../lib"; do
        for so in "$f"/libggml*.so*; do
            [ -e "$so" ] && LIBS=$LIBS${LIBS:+:}$f
            break
        done
    done
    return 0
}
