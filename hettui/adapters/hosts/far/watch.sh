# Readings: one block for each line that comes on stdin, which whoever listens sends. $1: milliseconds between readings
# of NVIDIA cards, for which one nvidia-smi goes on: a new one for each reading costs nine times as much. All else is
# read by the shell itself, without starting a program.
workers_folder 2>/dev/null || W=/nowhere
first() { { IFS= read -r R <"$1"; } 2>/dev/null || R=; }

smi=
if command -v nvidia-smi >/dev/null 2>&1; then
    nvidia-smi --query-gpu=uuid,memory.used,memory.total,utilization.gpu,temperature.gpu,power.draw,power.limit,clocks.sm,clocks.max.sm,pcie.link.gen.current,pcie.link.width.current,fan.speed \
        --format=csv,noheader,nounits -lms "$1" 2>/dev/null </dev/null | while IFS= read -r R; do say nv "$R"; done &
    smi=$!
fi
cards=
for card in /sys/class/drm/card[0-9]*/device; do
    [ -r "$card/mem_info_vram_used" ] || continue
    real=$(readlink -f "$card")
    cards="$cards $card|${real##*/}"
done
say begin "$(getconf CLK_TCK 2>/dev/null || echo 100)" "$(getconf PAGESIZE 2>/dev/null || echo 4096)"
while IFS= read -r word; do
    for rec in "$W"/*.pid; do
        { read -r pid born warden <"$rec"; } 2>/dev/null || continue
        { IFS= read -r L <"/proc/$pid/stat"; } 2>/dev/null || continue
        own=${rec##*/}
        L=${L##*) }
        set -- $L
        [ "${20}" = "$born" ] && say proc "${own%.pid}" "$pid" "$1" "$((${12} + ${13}))" "${22}"
    done
    for card in $cards; do
        first "${card%|*}/mem_info_vram_total"; total=$R
        first "${card%|*}/mem_info_vram_used"; used=$R
        first "${card%|*}/gpu_busy_percent"; busy=$R
        heat= power=
        for f in "${card%|*}"/hwmon/hwmon*; do
            first "$f/temp1_input"; heat=$R
            first "$f/power1_average"; power=$R
        done
        say amd "${card#*|}" "${total:-–}" "${used:-–}" "${busy:-–}" "${heat:-–}" "${power:-–}"
    done
    say done
done
[ -n "$smi" ] && kill "$smi" 2>/dev/null
