#!/bin/sh
# The toy: what a careful administrator would script over lvm2 and qemu-img. It checks every status, keeps the old LV
# until the new one is there, and knows nothing of cuts.
VG=$LVMQCOW_DRIVER_VG
. "${0%/*}/sh_json.sh"

run() { # COMMAND...: refuse with what it says if it fails
    said=$("$@" 2>&1) || { refuse other "$1: $said"; return 1; }
}
dev() { echo "/dev/$VG/$1"; }
exists() { lvm lvs "$VG/$1" >/dev/null 2>&1; }
size_of() { qemu-img info -U -f qcow2 "$(dev "$1")" | sed -n 's/.*(\([0-9]*\) bytes).*/\1/p' | head -n 1; }
parent_of() { qemu-img info -U -f qcow2 "$(dev "$1")" | sed -n 's/^backing file: \([^ ]*\).*/\1/p' | head -n 1; }
needed() { qemu-img measure -O qcow2 -o cluster_size=128k,extended_l2=on --size "$1" | sed -n 's/^fully allocated size: //p'; }
format() { # LV SIZE [BACKING]
    if [ "${3-}" ]; then
        run qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on -F qcow2 -b "$3" "$(dev "$1")" "$2"
    else
        run qemu-img create -q -f qcow2 -o cluster_size=128k,extended_l2=on "$(dev "$1")" "$2"
    fi
}
snap() { echo "snap_${1%.qcow2}_$2.qcow2"; }
layers() { lvm lvs --noheadings -o lv_name "$VG" | tr -d ' ' | grep -E "^(snap_${volume%.qcow2}_.*\.qcow2|$volume)$"; }
chain() ( # LV: the snapshots that it reads through, oldest first
    below=$(parent_of "$1"); [ "$below" ] || exit 0
    chain "$below"; name=${below#snap_"${volume%.qcow2}"_}; echo "${name%.qcow2}"
)
child_of() { for each in $(layers); do [ "$(parent_of "$each")" = "$1" ] && echo "$each"; done; }
activate() { for each in $(layers); do lvm lvchange -ay "$VG/$each" || return 1; done; }

create() {
    exists "$volume" && { refuse exists "$volume"; return; }
    run lvm lvcreate -y -W n -L "$(needed "$size")b" -n "$volume" "$VG" || return
    format "$volume" "$size" || { lvm lvremove -y "$VG/$volume" >/dev/null 2>&1; return; }
    done_
}
snapshot() {
    old=$(snap "$volume" "$snapshot")
    exists "$old" && { refuse exists "$snapshot"; return; }
    activate >/dev/null 2>&1
    bytes=$(size_of "$volume")
    run lvm lvrename "$VG" "$volume" "$old" || return
    run lvm lvcreate -y -W n -L "$(needed "$bytes")b" -n "$volume" "$VG" || { lvm lvrename "$VG" "$old" "$volume" >/dev/null 2>&1; return; }
    format "$volume" "$bytes" "$old" || return
    done_
}
rollback() {
    activate >/dev/null 2>&1
    old=$(snap "$volume" "$snapshot")
    [ "$(parent_of "$volume")" = "$old" ] || { refuse not-possible "$snapshot is not the newest snapshot"; return; }
    format "$volume" "$(size_of "$old")" "$old" || return
    done_
}
delete_snapshot() {
    activate >/dev/null 2>&1
    gone=$(snap "$volume" "$snapshot") child=$(child_of "$(snap "$volume" "$snapshot")") parent=$(parent_of "$(snap "$volume" "$snapshot")")
    exists "$gone" || { refuse not-found "$snapshot"; return; }
    if [ "$parent" ]; then
        run qemu-img rebase -f qcow2 -F qcow2 -b "$parent" "$(dev "$child")" || return
    else
        run qemu-img rebase -f qcow2 -b '' "$(dev "$child")" || return
    fi
    run lvm lvremove -y "$VG/$gone" || return
    done_
}
resize() {
    activate >/dev/null 2>&1
    want=$(needed "$size") have=$(blockdev --getsize64 "$(dev "$volume")")
    [ "$have" -ge "$want" ] || run lvm lvextend -L "${want}b" "$VG/$volume" || return
    run qemu-img resize -q -f qcow2 "$(dev "$volume")" "$size" || return
    done_
}
rename() {
    exists "$new" && { refuse exists "$new"; return; }
    [ "$(layers)" = "$volume" ] || { refuse not-possible "$volume has snapshots"; return; }
    run lvm lvrename "$VG" "$volume" "$new" || return
    done_
}
remove() {
    for each in $(layers); do run lvm lvremove -y "$VG/$each" || return; done
    done_
}
list() {
    printf '{"ok": true, "volumes": ['
    comma=
    for volume in $(lvm lvs --noheadings -o lv_name "$VG" | tr -d ' ' | grep '^vm-'); do
        was=$(lvm lvs --noheadings -o lv_active "$VG/$volume" | tr -d ' ')
        activate >/dev/null 2>&1
        names=$(chain "$volume" | sed 's/.*/"&"/' | paste -sd ,)
        printf '%s{"volume": "%s", "size_bytes": %s, "snapshots": [%s]}' "$comma" "$volume" "$(size_of "$volume")" "$names"
        [ "$was" ] || for each in $(layers); do lvm lvchange -an "$VG/$each" >/dev/null 2>&1; done
        comma=,
    done
    echo ']}'
}

while IFS= read -r line; do
    volume=$(field volume) snapshot=$(field snapshot) size=$(field size_bytes) new=$(field new)
    case $(field op) in
    hello) echo '{"ok": true, "protocol": 1, "name": "toy", "version": "1", "capabilities": ["create", "snapshot", "rollback", "delete_snapshot", "resize", "rename", "remove", "activate", "deactivate"]}' ;;
    create) create ;;
    snapshot) snapshot ;;
    rollback) rollback ;;
    delete_snapshot) delete_snapshot ;;
    resize) resize ;;
    rename) rename ;;
    remove) remove ;;
    activate) run activate && done_ ;;
    deactivate) ok=1; for each in $(layers); do run lvm lvchange -an "$VG/$each" || { ok=; break; }; done; [ "$ok" ] && done_ ;;
    path) if [ "$snapshot" ]; then lv=$(snap "$volume" "$snapshot"); else lv=$volume; fi; echo "{\"ok\": true, \"path\": \"$(dev "$lv")\"}" ;;
    list) list ;;
    *) refuse other "unknown request" ;;
    esac
done
