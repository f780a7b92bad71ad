# Takes files of llama.cpp over stdin. $1: look, file, done or drop; $2 the sum that names this engine, $3 who sends it.
# What is not whole lies in a part folder, from where a later push goes on; `current` names the engine that is used.
E=${XDG_CACHE_HOME:-$HOME/.cache}/hettui/engine
own=$E/$2
part=$E/$2.part-$3
op=$1
shift 3
free() { df -Pk "$E" 2>/dev/null | awk 'NR == 2 {print $4}'; }
size() { wc -c <"$1" 2>/dev/null | tr -d ' '; }

case $op in
look)
    # $@: names of files. How much of each is there.
    if ! mkdir -p "$E" 2>/dev/null || ! : 2>/dev/null >"$E/.room"; then
        say problem "$E cannot be written"
        exit 70
    fi
    rm -f "$E/.room"
    command -v gzip >/dev/null 2>&1 && say has gzip
    say free "$(free)"
    if [ -d "$own" ]; then say whole; fi
    for name do
        [ -f "$part/$name" ] && say have "$name" "$(size "$part/$name")"
    done
    say looked
    ;;
file)
    # $1 its name, $2 where it goes on, $3 its size, $4 its sum, $5 gz when it comes packed.
    mkdir -p "$part" 2>/dev/null || { say problem "$part cannot be made"; exit 70; }
    f=$part/$1
    if [ "$2" = 0 ]; then : >"$f"; fi
    say ready
    if [ "$5" = gz ]; then gzip -dc >>"$f"; else cat >>"$f"; fi
    now=$(size "$f")
    if [ "${now:-0}" != "$3" ]; then
        if [ "$(free)" -lt 64 ]; then
            rm -rf "$part"
            say full
        else
            say short "${now:-0}"
        fi
        exit 71
    fi
    sum=$(cksum <"$f")
    if [ "${sum% *}" != "$4" ]; then
        rm -f "$f"
        say wrong "$1"
        exit 72
    fi
    say got "$1"
    ;;
done)
    # $1 the program, then alias=name for files that have several names.
    chmod 700 "$part/$1" || exit 73
    shift
    for pair do
        ln -sf "${pair#*=}" "$part/${pair%%=*}" || { say problem "$part cannot be written"; exit 73; }
    done
    rm -rf "$own"
    mv "$part" "$own" || { say problem "$own cannot be made"; exit 73; }
    before=
    { read -r before <"$E/current"; } 2>/dev/null
    [ "$before" = "${own##*/}" ] || [ -z "$before" ] || echo "$before" >"$E/before"
    echo "${own##*/}" >"$E/current.new" && mv "$E/current.new" "$E/current"
    { read -r before <"$E/before"; } 2>/dev/null
    # Two are kept: a worker of the one before may be started again from another desk.
    for d in "$E"/*/; do
        d=${d%/}
        case ${d##*/} in "${own##*/}" | "$before") ;; *) [ -d "$d" ] && rm -rf "$d" ;; esac
    done
    say placed "$own"
    ;;
use)
    echo "${own##*/}" >"$E/current.new" && mv "$E/current.new" "$E/current" && say placed "$own"
    ;;
drop)
    rm -rf "$own" "$part" "$E/current"
    rmdir "$E" "${E%/*}" 2>/dev/null
    say dropped
    ;;
esac
