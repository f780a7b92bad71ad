# One worker on this machine: started and told about, found again, ended. $1 start, attach or end; $2 the worker's id;
# for `end` also $3 own when this run of it is what ends;
# for `start` also $3 the folder of llama.cpp, $4 lease in seconds, $5 port that is liked best, $6 1: that port or none,
# $7 MiB that the cache of tensors may take, $8 what it is, for people, $9 MiB that this worker may have to keep there,
# $10 the sizes of such tensors with a comma between, nothing where they are not known; then NAME=VALUE…, --, options.
# `N` is the marker of this run of the worker, `G` the warden's text, `A` the address at which it listens.
op=$1 id=$2
workers_folder || exit 70
rec=$W/$id
log=$rec.log

known() {
    pid= born= port= run=
    { read -r pid born warden <"$rec.pid"; } 2>/dev/null && is "$pid" "$born" || return 1
    { read -r port run <"$rec.port"; } 2>/dev/null
}

# The sshd that serves us: our parent, or that of the shells between.
our_line() {
    q=$$ LINE= BORN=
    [ -r /proc/self/stat ] || return
    for n in 1 2 3 4 5; do
        look "$q" || return
        q=$P
        { IFS= read -r comm <"/proc/$q/comm"; } 2>/dev/null || return
        case $comm in
        sshd* | dropbear*)
            look "$q" && kill -0 "$q" 2>/dev/null && LINE=$q BORN=$S
            return
            ;;
        *sh | busybox) ;;
        *) return ;;
        esac
    done
}

# Hangs the line up by which the worker was reached before, if that is another one than ours.
take_line() {
    our_line
    { read -r old age <"$rec.line"; } 2>/dev/null || old=
    if [ -n "$old" ] && [ "$old" != "$LINE" ] && is "$old" "$age"; then
        kill -TERM "$old" 2>/dev/null
    fi
    [ -n "$LINE" ] && echo "$LINE $BORN" >"$rec.line"
}

# Whoever asks last is followed: a start that is still on its way finds its turn gone. One that has not got as far as
# taking it is remembered where it is ours: $1 is `own`, and no worker of it was found.
give_up() {
    rm -f "$rec.turn"
    if [ "$1" = own ] && ! { known && [ "$run" = "$N" ]; }; then echo "$N" >>"$rec.ended"; fi
}

end_it() {
    known || return 0
    echo asked >"$rec.why"
    finish "$pid" "$born" || { say problem "its worker (pid $pid) does not end even after SIGKILL"; return 1; }
    for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
        [ -e "$rec.pid" ] || return 0
        sleep 0.25 2>/dev/null || sleep 1
    done
    # Its warden was killed, too.
    rm -f "$rec.pid" "$rec.lease" "$rec.line" "$rec.why" "$rec.port" "$rec.what" "$rec.sh"
}

free_mib() { df -Pk "$place" 2>/dev/null | awk 'NR == 2 {print int($4 / 1024)}'; }

# MiB of the files in the cache; of those as large as one of $1, where that is said.
kept_mib() {
    ls -ln "$place/rpc" 2>/dev/null | awk -v sizes="$1" '
        BEGIN { n = split(sizes, part, ","); for (i = 1; i <= n; i++) wanted[part[i]] = 1 }
        NF > 8 && (!n || $5 in wanted) { sum += $5 } END { print int(sum / 1048576) }'
}

# Takes away what is no tensor, and then what was not read for longest, until the cache takes no more than it may and
# what is still to come has room: a disk that becomes full cuts it short. False where there is none even so.
make_room() {
    for size in $(printf %s "$sizes" | tr , ' '); do
        grep -qx "$size" "$place/rpc.sizes" 2>/dev/null || echo "$size" >>"$place/rpc.sizes"
    done
    sweep "$place/rpc"
    [ -z "$sizes" ] || most=$((most - $(kept_mib "$sizes")))
    [ "$most" -gt 0 ] || most=0
    free=$(free_mib)
    room=$(($(kept_mib '') + ${free:-0} - 2048 - most))
    [ "$room" -ge 0 ] || return 1
    [ "$room" -lt "$cache" ] || room=$cache
    kept=0
    ls -tu "$place/rpc" 2>/dev/null | while IFS= read -r f; do
        size=$(($(wc -c <"$place/rpc/$f") / 1048576 + 1))
        kept=$((kept + size))
        [ "$kept" -le "$room" ] || rm -f "$place/rpc/$f"
    done
    free=$(free_mib)
    [ "${free:-0}" -ge $((2000 + most)) ]
}

# A port that nobody uses: $1 if it can be, else the next one; below those that the kernel gives to whoever asks for any.
free_port() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v like="$1" -v fixed="$2" '
        function number(hex,  i, n) {
            for (i = 1; i <= length(hex); i++) n = n * 16 + index("0123456789ABCDEF", substr(hex, i, 1)) - 1
            return n
        }
        { k = split($2, part, ":"); if (k > 1) used[number(part[k])] = 1 }
        END {
            for (n = 0; n < 400; n++) {
                port = like + n
                if (port > 65535) break
                if (!(port in used) && !(port in tried)) { print port; exit }
                if (fixed == 1) exit
            }
        }'
}

begin() {
    find_server "$bin" || { say missing "$LOOKED"; exit 127; }
    # llama.cpp's own cache of large tensors, which never lets go of anything by itself.
    place=${XDG_CACHE_HOME:-$HOME/.cache}/hettui
    if [ "$cache" -gt 0 ] && mkdir -p "$place" 2>/dev/null && make_room; then
        set -- "LLAMA_CACHE=$place" "$@" -c
    else
        [ "$cache" = 0 ] || say unkept "$most"
        place=
    fi
    [ -n "$LIBS" ] && set -- "LD_LIBRARY_PATH=$LIBS${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "$@"
    for n in 1 2 3 4 5; do
        port=$(free_port "$like" "$fixed")
        [ -n "$port" ] || { say taken "$like"; exit 71; }
        launch "$@"
        # A port that is not free is noticed at once; anything else is for whoever watches.
        for t in 1 2 3 4 5 6; do
            listens "$port" && break 2
            known || break
            sleep 0.2 2>/dev/null || sleep 1
        done
        known && break
        grep -q 'Failed to create server socket' "$log" 2>/dev/null || break
        [ "$fixed" = 1 ] && { say taken "$port"; exit 71; }
        like=$((port + 1))
        # Its warden takes the records away, and the turn.
        wait "$new" 2>/dev/null
        echo "$N" >"$rec.turn"
    done
    take_line
    if known; then
        build_sum
        say worker "$pid" "$born" "$port" "$B"
    else
        say ended
    fi
}

listens() {
    cat /proc/net/tcp 2>/dev/null | awk -v wanted="$(printf '%04X' "$1")" '
        $4 == "0A" && substr($2, index($2, ":") + 1) == wanted { found = 1 } END { exit !found }'
}

# Its arguments as words of sh.
quoted() {
    for word do
        printf "'"
        printf %s "$word" | sed "s/'/'\\\\''/g"
        printf "' "
    done
}

# The words before -- are its environment, those behind it its options.
launch() {
    rm -f "$rec.why"
    : >"$log"
    printf '%s %s\n' "$port" "$N" >"$rec.port"
    printf '%s\n' "$what" >"$rec.what"
    echo "0 $N" >"$rec.lease"
    own=
    for word do
        shift
        if [ "$word" = -- ]; then own=1; set -- "$@" "$PROGRAM" -H "$A" -p "$port"; else set -- "$@" "$word"; fi
    done
    [ -n "$own" ] || set -- "$@" "$PROGRAM" -H "$A" -p "$port"
    # In a file: whoever looks for the rpc server's name among the processes finds the worker alone.
    {
        printf 'C=%s\n' "$(quoted "$place")"
        printf 'set -- %s\n' "$(quoted "$rec" "$lease" "$N" env "$@")"
        printf '%s\n' "$G"
    } >"$rec.sh"
    new=
    command -v setsid >/dev/null 2>&1 && new=setsid
    GGML_NO_BACKTRACE=1 HETTUI_WORKER=$id $new /bin/sh "$rec.sh" </dev/null >>"$log" 2>&1 &
    new=$! n=0
    while [ ! -e "$rec.pid" ] && kill -0 "$new" 2>/dev/null && [ "$n" -lt 200 ]; do
        n=$((n + 1))
        sleep 0.05 2>/dev/null || sleep 1
    done
}

# The worker's log on stdout from byte $1 on, as it is, after one line that says so; a word a moment on stdin keeps it.
stream() {
    printf '%s log\n' "$M"
    tail -c "+$1" -f "$log" 2>/dev/null &
    following=$!
    beat=0
    while IFS= read -r word; do
        case $word in
        end)
            give_up other
            if end_it; then say gone; fi
            break
            ;;
        *)
            beat=$((beat + 1))
            if known; then echo "$beat $N $$" >"$rec.lease"; else T=gone; fi
            say beat "$T"
            ;;
        esac
    done
    # What it said last is on its way.
    sleep 0.2 2>/dev/null || sleep 1
    kill "$following" 2>/dev/null
}

case $op in
start)
    bin=$3 lease=$4 like=$5 fixed=$6 cache=$7 what=$8
    shift 8
    most=$1 sizes=$2
    shift 2
    if given_up "$N"; then
        forget_end "$N"
        exit 73
    fi
    echo "$N" >"$rec.turn"
    end_it || exit 72
    take_line
    begin "$@"
    stream 1
    ;;
attach)
    if known; then
        take_line
        say worker "$pid" "$born" "$port" again
    else
        say ended
    fi
    stream "$3"
    ;;
end)
    take_line
    give_up "$3"
    end_it && say gone
    [ -e "$rec.pid" ] || rm -f "$rec.line"
    ;;
esac
