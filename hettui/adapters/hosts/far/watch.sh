# Readings: one block for each line that comes on stdin, which whoever listens sends. $1: milliseconds between readings
# of NVIDIA cards, for which one nvidia-smi goes on: a new one for each reading costs nine times as much. All else is
# read by the shell itself, without starting a program. Of AMD and Intel cards the kernel's files are sent as they are,
# and only what has changed: whoever listens reads them as those of his own cards.
workers_folder 2>/dev/null || W=/nowhere
first() { { IFS= read -r R <"$1"; } 2>/dev/null || R=; }
# All lines of a file, with | between them.
whole() {
    R=
    while IFS= read -r L || [ -n "$L" ]; do R=$R${R:+|}$L; done <"$1"
}

smi=
if command -v nvidia-smi >/dev/null 2>&1; then
    nvidia-smi --query-gpu=uuid,memory.used,memory.total,utilization.gpu,temperature.gpu,power.draw,power.limit,clocks.sm,clocks.max.sm,pcie.link.gen.current,pcie.link.width.current,fan.speed \
        --format=csv,noheader,nounits -lms "$1" 2>/dev/null </dev/null | while IFS= read -r R; do say nv "$R"; done &
    smi=$!
fi

# The files of cards: F$n is one's path, O$n what was sent of it. Below /sys/devices, and two elsewhere.
files=0 tables=
add() {
    for f do
        [ -f "$f" ] && [ -r "$f" ] || continue
        case ${f##*/} in *[!A-Za-z0-9_]*) continue ;; esac
        files=$((files + 1))
        eval "F$files=\$f O$files= C$files=\$card"
        say path "$files" "${f#/sys/}"
        [ "$files" -lt 1500 ] || return
    done
}
for node in /sys/class/drm/card[0-9] /sys/class/drm/card[0-9][0-9]; do
    [ -r "$node/device/vendor" ] || continue
    driver=$(readlink -f "$node/device/driver" 2>/dev/null)
    driver=${driver##*/}
    case $driver in amdgpu | i915 | xe) ;; *) continue ;; esac
    card=$(readlink -f "$node/device")
    real=$(readlink -f "$node")
    case $card in /sys/*) ;; *) continue ;; esac
    say drm "${node##*/}" "${card#/sys/}" "${real#/sys/}" "$driver"
    for n in vendor device revision class; do add "$card/$n"; done
    add "$card/power/runtime_status" "$card"/mem_info_*_total "$card"/mem_info_*_used "$card/gpu_busy_percent" \
        "$card/pp_dpm_sclk" "$card/product_name" "$card"/ras/*_err_count "$card"/current_link_* "$card"/max_link_* \
        "$card"/hwmon/hwmon*/name "$card"/hwmon/hwmon*/temp*_* "$card"/hwmon/hwmon*/power1_* \
        "$card"/hwmon/hwmon*/power2_* "$card"/hwmon/hwmon*/energy*_input "$card"/hwmon/hwmon*/freq*_* \
        "$card"/hwmon/hwmon*/pwm1 "$card"/hwmon/hwmon*/pwm1_max "$card"/tile*/physical_vram_size_bytes \
        "$card"/tile*/memory/physical_vram_size_bytes "$card"/tile0/gt0/freq0/*_freq \
        "$card"/tile0/gt0/freq0/throttle/* "$real"/gt/gt0/rps_*_freq_mhz "$real"/gt/gt0/throttle_reason_* \
        "$real"/gt_*_freq_mhz "$real/lmem_total_bytes" "/sys/module/$driver/version"
    [ -r "$card/gpu_metrics" ] && tables="$tables $card/gpu_metrics"
    up=${card%/*}
    for n in 1 2 3 4; do
        case ${up##*/} in *:*:*.*) ;; *) break ;; esac
        add "$up/vendor" "$up/device" "$up/class" "$up"/current_link_* "$up"/max_link_*
        up=${up%/*}
    done
done
say begin "$(getconf CLK_TCK 2>/dev/null || echo 100)" "$(getconf PAGESIZE 2>/dev/null || echo 4096)"

changed_files() {
    n=0
    while [ "$n" -lt "$files" ]; do
        n=$((n + 1))
        eval "f=\$F$n old=\$O$n card=\$C$n"
        case $f in
        */power/runtime_status) ;;
        *)
            # Reading a card that is asleep would wake it up.
            first "$card/power/runtime_status"
            case $R in suspend*) continue ;; esac
            ;;
        esac
        { whole "$f"; } 2>/dev/null || R=
        [ "$R" = "$old" ] && continue
        eval "O$n=\$R"
        say f "$n" "$R"
    done
}

round=0
while IFS= read -r word; do
    for rec in "$W"/*.pid; do
        { read -r pid born warden <"$rec"; } 2>/dev/null || continue
        { IFS= read -r L <"/proc/$pid/stat"; } 2>/dev/null || continue
        own=${rec##*/}
        L=${L##*) }
        set -- $L
        [ "${20}" = "$born" ] && say proc "${own%.pid}" "$pid" "$1" "$((${12} + ${13}))" "${22}"
    done
    [ "$files" -gt 0 ] && changed_files
    if [ -n "$tables" ] && [ "$((round % 5))" = 0 ]; then
        for f in $tables; do
            say table "${f#/sys/}" "$(od -An -v -tx1 -N 512 "$f" 2>/dev/null | tr -d ' \n')"
        done
    fi
    round=$((round + 1))
    say done
done
[ -n "$smi" ] && kill "$smi" 2>/dev/null
